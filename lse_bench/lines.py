"""Files of JSON lines that survive a kill: each line is appended whole, by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError

Append = Callable[[Mapping[str, Any]], None]
Keep = Callable[[bytes], bool]


def read_lines(path: Path) -> list[bytes]:
    """The complete lines of a file, none if it is not there; a last line without its end, from a kill, is left out."""
    if not path.exists():
        return []
    content = path.read_bytes()
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
            file.write((json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode())
            file.flush()

        yield append


def write_atomically(path: Path, content: bytes) -> None:
    """The file appears, or changes, when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Indented JSON with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
