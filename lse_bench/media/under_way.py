"""Record which media files are being read. Native code that aborts leaves no other trace.

A supervisor (`lse_bench.supervisor`) names a folder in `LSE_BENCH_UNDER_WAY`. Every process of a command appends a line
to a journal before it opens a file, and another line when it closes the file. Files that have killed a process are
refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lse_bench.errors import ClipError

VARIABLE = "LSE_BENCH_UNDER_WAY"
JOURNAL, DEADLY = "journal", "deadly.json"


@contextmanager
def noted(path: Path) -> Iterator[None]:
    """Record that `path` is being read. Raises ClipError `error` if the file has killed a process before."""
    named = os.environ.get(VARIABLE)
    if not named:
        yield
        return
    folder, name = Path(named), str(path.absolute())
    if (folder / DEADLY).exists():
        reason = json.loads((folder / DEADLY).read_text(encoding="utf-8")).get(name)
        if reason is not None:
            raise ClipError(path, "error", reason)
    _append(folder, "+", name)
    try:
        yield
    finally:
        _append(folder, "-", name)


def under_way(folder: Path) -> list[str]:
    """Return the files that were opened and not closed, each once, and delete the journal in `folder`."""
    journal = folder / JOURNAL
    counts: dict[str, int] = {}
    for line in journal.read_bytes().split(b"\n") if journal.exists() else []:
        if line:
            mark, name = json.loads(line)
            counts[name] = counts.get(name, 0) + (1 if mark == "+" else -1)
    journal.unlink(missing_ok=True)
    return [name for name, count in counts.items() if count > 0]


def _append(folder: Path, mark: str, name: str) -> None:
    """Append a line to the journal in one write, so that lines of several processes and threads do not mix."""
    try:
        place = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except FileNotFoundError:  # the supervisor has ended and removed the folder
        return
    try:
        os.write(place, json.dumps([mark, name]).encode() + b"\n")
    finally:
        os.close(place)
