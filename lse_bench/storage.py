"""Text, JSON, TOML and array files: reading with clear errors and size limits, and atomic writing.

Files of JSON lines survive a kill, because one process at a time appends complete lines.
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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lse_bench.errors import ClipError, LseBenchError, UsageError
from lse_bench.place import refuse_place
from lse_bench.remote.addresses import address_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Append = Callable[[Mapping[str, Any]], None]
Keep = Callable[[bytes], bool]
TIMES, SPARE = 4, 64 << 20  # arrays hardly compress: the limit is TIMES the file size plus SPARE bytes
_BUFFER = 1 << 20  # bytes that are read at once
_BLOCK = 1 << 16  # bytes that are read at once from the end of a file
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some NFS and Lustre mounts return these


def read_bytes(path: Path) -> bytes:
    """Read the content of a regular file.

    Raises UsageError if it cannot be read or is not a regular file, since a pipe or a device may never end.
    """
    with _reading(path) as file:
        return file.read()


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    path = local_file(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path}: this is {'a folder' if path.is_dir() else 'no regular file'}. A file is needed")
        with path.open("rb", buffering=_BUFFER) as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def local_file(path: Path) -> Path:
    """Return a local file for a path or an address. Raises UsageError if the file at the address cannot be had."""
    if address_of(path) is None:
        return path
    from lse_bench.remote.cache import local_copy

    try:
        return local_copy(path)
    except ClipError as error:
        raise UsageError(error.reason) from None


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, without its byte order mark.

    Raises UsageError if it cannot be read or is not UTF-8. The message names the first wrong byte.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}: not a text file in UTF-8: byte {content[error.start]:#04x} in line {line}. Save it as UTF-8"
        ) from None


def parse_json(text: str | bytes, path: Path, way_out: str) -> Any:
    """Parse JSON that was read from `path`.

    `way_out`: the last sentence of the error message, which says what to do.
    Raises UsageError with the line if the JSON is damaged, or if an object has a name twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        told = "nested too deep"
    except json.JSONDecodeError as error:
        told = f"not JSON: {error.msg} in line {error.lineno}"
    except UnicodeDecodeError:
        told = "not UTF-8"
    except ValueError as error:  # integers of thousands of digits
        told = str(error).split(";")[0]
    raise UsageError(f"{path}: damaged: {told}. {way_out}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        double = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the name {double!r} stands twice in one object")
    return found


def read_object(path: Path, way_out: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    `way_out`: see `parse_json`. Raises UsageError if the file cannot be read, is damaged or holds something else.
    """
    content = parse_json(read_text(path), path, way_out)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: damaged: it holds a {type(content).__name__}, but an object is needed. {way_out}")
    return content


def parse_toml(text: str, path: Path | str) -> dict[str, Any]:
    """Parse TOML that was read from `path`. Raises UsageError with the line if it is not TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        told = "nested too deep"
    except ValueError as error:  # TOMLDecodeError, and integers of thousands of digits
        told = str(error).split(";")[0]
    raise UsageError(f"{path}: not TOML: {told}")


def refuse_growth(path: Path, unpacked: int, error: type[LseBenchError] = UsageError) -> None:
    """Raise `error` if a file's unpacked size is over the limit: 4 times the file size plus 64 MiB.

    `unpacked`: the unpacked size in bytes.
    """
    size = path.stat().st_size
    if unpacked > TIMES * size + SPARE:
        raise error(
            f"{path}: a file of {size:,} bytes that unpacks to {unpacked:,} or more. The limit is {TIMES} times its "
            f"size plus {SPARE >> 20} MiB, so nothing was loaded; get it again from its source"
        )


def refuse_bomb(path: Path, error: type[LseBenchError] = UsageError) -> None:
    """Raise `error` if a zip archive (an .npz, a torch checkpoint) unpacks to more than `refuse_growth` allows.

    Raises BadZipFile if the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        refuse_growth(path, sum(entry.file_size for entry in archive.infolist()), error)


def read_arrays(path: Path, way_out: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz file, by name.

    `way_out`: see `parse_json`. Raises UsageError if the file cannot be read, is damaged, holds pickles, or unpacks to
    more than `refuse_growth` allows.
    """
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


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the complete lines of a file, without their line ends; none if there is no file.

    A last line without a line end is left out, because a killed process may have written only a part of it. Raises
    UsageError if the file cannot be read.
    """
    if not path.exists():
        return
    with _reading(path) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


@contextmanager
def open_lines(path: Path, keep: Keep | None = None) -> Iterator[Append]:
    """Open a file for appending under a lock, and yield a function that appends one JSON line.

    The file has the complete line when that function returns. An incomplete last line is removed first.
    `keep`: says for each existing line whether it stays; None keeps every line.
    Raises UsageError if another process writes to the file.
    """
    with path.open("ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{path.parent}: another process is writing to this run. Wait until it ends, or choose another --out"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logging.getLogger(__name__).warning(
                "%s: its file system has no locks (%s), so a second command could write here at the same time. Start "
                "only one command at a time",
                *(path.parent, error.strerror),
            )
        complete = _complete(file)
        if complete != file.seek(0, os.SEEK_END):
            file.truncate(complete)
        if keep is not None:
            kept = b"".join(line + b"\n" for line in read_lines(path) if keep(line))
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


def _complete(file: BinaryIO) -> int:
    """Return how many bytes of a file are complete lines."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        last = file.read(end - start).rfind(b"\n")
        if last >= 0:
            return start + last + 1
        end = start
    return 0


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it appears, or is replaced, only when it is complete.

    Raises PlaceError if its folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        refuse_place(error, path.parent)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a partial file next to `path`, with the same suffix. It replaces `path` if the block succeeds.

    If the block fails, the partial file is removed, and `path` keeps its content.
    """
    partial = partial_of(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Return the name of the partial file of `path`; `remove_leftovers` finds what a kill leaves of it."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def remove_leftovers(folder: Path) -> int:
    """Remove the unfinished files and folders that killed commands left in `folder`, and return their number.

    Call it only while you hold the folder's lock. Then no running process uses them.
    """
    left = [*folder.glob(".scratch-*"), *folder.glob(".*.partial*")]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)


def differences(there: dict[str, Any], ours: dict[str, Any], lead: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each field in which two objects differ, with both values; None stands for an absent field.

    Fields of nested objects are named by their path: `lead`, then the names with spaces between them.
    """
    for name in sorted(set(there) | set(ours)):
        before, now = there.get(name), ours.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from differences(before, now, f"{lead}{name} ")
        elif before != now:
            yield lead + name, before, now


def refuse_another(out: Path, what: str, there: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise UsageError, naming the first field, if `out` holds work with other settings than the requested ones.

    `what`: what `out` holds, for the message. `there`, `ours`: the stored and the requested settings.
    """
    for name, before, now in differences(there, ours):
        raise UsageError(f"{out}: holds {what} with another {name} ({before}, now {now}); choose another --out")


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Return indented JSON with a final newline. Raises ValueError if a number is not finite."""
    return _encoded(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _encoded(text: str) -> bytes:
    """Encode JSON text as UTF-8.

    A lone surrogate, which stands for a byte of a file name that is not UTF-8, becomes a JSON escape. Reading the JSON
    gives the same surrogate again.
    """
    return text.encode("utf-8", errors="backslashreplace")
