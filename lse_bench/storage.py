"""Files of text and JSON, read with a bound on what is believed, written whole.

JSON lines survive a kill: each line is appended whole, by one process at a time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import logging
import os
import shutil
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.place import refuse_place

if TYPE_CHECKING:
    from numpy.typing import NDArray

Append = Callable[[Mapping[str, Any]], None]
Keep = Callable[[bytes], bool]
TIMES, SPARE = 4, 64 << 20  # arrays hardly compress: unpacked at most so many times the file, and so many bytes more
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what some NFS and Lustre mounts answer


def read_bytes(path: Path) -> bytes:
    """The content of a regular file. Raises UsageError for anything else: a pipe or a device may never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path}: {'a folder' if path.is_dir() else 'no regular file'}, where a file is needed")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def read_text(path: Path) -> str:
    """A text file in UTF-8, without its byte order mark. Raises UsageError, which names the first wrong byte."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}: not a text file in UTF-8: byte {content[error.start]:#04x} in line {line}. Save it as UTF-8"
        ) from None


def parse_json(text: str | bytes, path: Path, way_out: str) -> Any:
    """JSON that came from `path`. Raises UsageError with the place and `way_out` when it is damaged."""
    try:
        return json.loads(text)
    except RecursionError:
        told = "nested too deep"
    except json.JSONDecodeError as error:
        told = f"not JSON: {error.msg} in line {error.lineno}"
    except UnicodeDecodeError:
        told = "not UTF-8"
    except ValueError as error:  # integers of thousands of digits
        told = str(error).split(";")[0]
    raise UsageError(f"{path}: damaged: {told}. {way_out}")


def read_object(path: Path, way_out: str) -> dict[str, Any]:
    """A file that holds one JSON object. Raises UsageError as `parse_json`, and for anything but an object."""
    content = parse_json(read_text(path), path, way_out)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: damaged: {type(content).__name__} where an object is needed. {way_out}")
    return content


def parse_toml(text: str, path: Path | str) -> dict[str, Any]:
    """TOML that came from `path`. Raises UsageError with the place."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        told = "nested too deep"
    except ValueError as error:  # TOMLDecodeError, and integers of thousands of digits
        told = str(error).split(";")[0]
    raise UsageError(f"{path}: not TOML: {told}")


def refuse_growth(path: Path, unpacked: int, error: type[LseBenchError] = UsageError) -> None:
    """Raise `error` for a file whose contents would take `unpacked` bytes, far more than it has."""
    size = path.stat().st_size
    if unpacked > TIMES * size + SPARE:
        raise error(
            f"{path}: a file of {size:,} bytes that unpacks to {unpacked:,} or more: at most {TIMES} times its size "
            f"and {SPARE >> 20} MiB are believed, and nothing was loaded. Get it again from its source"
        )


def refuse_bomb(path: Path, error: type[LseBenchError] = UsageError) -> None:
    """Raise `error` for a zip archive (an .npz, a torch checkpoint) that unpacks to far more than its size, and
    BadZipFile for a damaged one."""
    with zipfile.ZipFile(path) as archive:
        refuse_growth(path, sum(entry.file_size for entry in archive.infolist()), error)


def read_arrays(path: Path, way_out: str) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz. Raises UsageError when it is damaged, holds pickles, or unpacks to far too much."""
    import numpy as np

    content = read_bytes(path)
    try:
        refuse_bomb(path)
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        AttributeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UsageError(f"{path}: damaged: {type(error).__name__}: {error}. {way_out}") from None


def read_lines(path: Path) -> list[bytes]:
    """The complete lines of a file, none if it is not there; a last line without its end, from a kill, is left out."""
    if not path.exists():
        return []
    content = read_bytes(path)
    return content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]


@contextmanager
def open_lines(path: Path, keep: Keep | None = None) -> Iterator[Append]:
    """Open a file for appending, alone, and yield what appends to it; a line is on the disk when that returns.

    A half-written last line is cut off first, and lines that are not to be kept are taken out. Raises UsageError when
    another process is writing to it.
    """
    with path.open("ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{path.parent}: another process is writing to this run; wait for it or choose another --out"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logging.getLogger(__name__).warning(
                "%s: its file system knows no locks (%s): nothing keeps a second command from writing here at the same "
                "time; start one at a time",
                *(path.parent, error.strerror),
            )
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        content = file.read()
        complete = content.rfind(b"\n") + 1
        if complete != size:
            file.truncate(complete)
        if keep is not None:
            kept = b"".join(line + b"\n" for line in content[:complete].split(b"\n")[:-1] if keep(line))
            if len(kept) != complete:
                file.truncate(0)
                file.write(kept)
                file.flush()

        def append(content: Mapping[str, Any]) -> None:
            try:
                file.write(_encoded(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"))
                file.flush()
            except OSError as error:
                refuse_place(error, path.parent)
                raise

        yield append


def write_atomically(path: Path, content: bytes) -> None:
    """The file appears, or changes, when it is whole. Raises PlaceError when its folder cannot be written to."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        refuse_place(error, path.parent)
        raise


def remove_leftovers(folder: Path) -> int:
    """Take away what killed commands left half-made in `folder`, and count it. Only for whoever holds its lock: then no
    living process owns any of it."""
    left = [*folder.glob(".scratch-*"), *folder.glob(".*.partial*")]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)


def differences(there: dict[str, Any], ours: dict[str, Any], lead: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two objects differ, with both values; within objects by name."""
    for name in sorted(set(there) | set(ours)):
        before, now = there.get(name), ours.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from differences(before, now, f"{lead}{name} ")
        elif before != now:
            yield lead + name, before, now


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Indented JSON with a final newline."""
    return _encoded(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _encoded(text: str) -> bytes:
    """UTF-8. What stands for the bytes of a name that is none becomes JSON's own escape, and is read back as it was."""
    return text.encode("utf-8", errors="backslashreplace")
