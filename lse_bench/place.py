"""Failures of the place: a full disk, a read-only one, no permission. They stop a command; they are no clip's fault."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from lse_bench.errors import LseBenchError

_ALWAYS = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EROFS])  # met by writing only
_BELOW = frozenset([errno.EACCES, errno.EPERM])  # of a file below the folder; a generator's scratch is its own affair
_FULL = 1 << 16  # bytes free


class PlaceError(LseBenchError):
    """A folder cannot be written to."""


def refuse_place(error: BaseException, folder: Path) -> None:
    """Raise PlaceError where `error`, or what it came from, is a failure of writing into `folder`."""
    seen: BaseException | None = error
    while seen is not None:
        number = getattr(seen, "errno", None)
        if isinstance(number, int) and (number in _ALWAYS or (number in _BELOW and _names(seen, folder))):
            told = getattr(seen, "strerror", None) or str(seen)
            raise PlaceError(
                f"{folder}: cannot be written: {told}. {_free(folder)}What is made so far is kept"
            ) from error
        seen = seen.__cause__ or seen.__context__
    if folder.is_dir() and shutil.disk_usage(folder).free < _FULL:  # a program of others says so in its own words
        raise PlaceError(f"{folder}: its disk is full. {_free(folder)}What is made so far is kept") from error


def _names(error: BaseException, folder: Path) -> bool:
    """Whether the error is of a file below the folder, and not of one in a hidden folder there, which others use."""
    names = [name for name in (getattr(error, "filename", None), getattr(error, "filename2", None)) if name]
    try:
        inside = [Path(str(name)).absolute().relative_to(folder.absolute()) for name in names]
    except ValueError:
        return False
    return any(not any(part.startswith(".scratch-") for part in path.parts) for path in inside)


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free:,} bytes are free. "
    except OSError:
        return ""
