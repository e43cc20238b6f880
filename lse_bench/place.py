"""Failures to write into a folder: a full disk, a read-only disk, or a missing permission.

Such a failure stops the command, because it is not the fault of one clip.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from lse_bench.errors import LseBenchError

_ALWAYS = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EROFS])  # only writing causes these
_BELOW = frozenset([errno.EACCES, errno.EPERM])  # count only for a file below the folder, outside generators' scratch
_FULL = 1 << 16  # bytes free


class PlaceError(LseBenchError):
    """An error of a folder that cannot be written to."""


def refuse_place(error: BaseException, folder: Path) -> None:
    """Raise PlaceError if `error`, or one of its causes, is a failure to write into `folder`."""
    seen: BaseException | None = error
    while seen is not None:
        number = getattr(seen, "errno", None)
        if isinstance(number, int) and (number in _ALWAYS or (number in _BELOW and _names(seen, folder))):
            told = getattr(seen, "strerror", None) or str(seen)
            raise PlaceError(
                f"{folder}: cannot be written: {told}. {_free(folder)}The finished files are kept"
            ) from error
        seen = seen.__cause__ or seen.__context__
    if folder.is_dir() and shutil.disk_usage(folder).free < _FULL:  # an external program gives no errno
        raise PlaceError(f"{folder}: its disk is full. {_free(folder)}The finished files are kept") from error


def _names(error: BaseException, folder: Path) -> bool:
    """Return whether the error concerns a file below the folder, outside the scratch folders of generators."""
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
