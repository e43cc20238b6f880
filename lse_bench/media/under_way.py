"""Which media files are being read, written down before they are: native code that aborts leaves no other trace.

A supervisor (`lse_bench.supervisor`) names a folder in `LSE_BENCH_UNDER_WAY`. Every process of a command appends a line
when it opens a file and one when it closes it; files that are known to kill are refused.
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
    """Note that `path` is under way. Raises ClipError `error` for a file that has killed a process."""
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
    """Files that were opened and never closed, each once, and begin with an empty journal."""
    journal = folder / JOURNAL
    counts: dict[str, int] = {}
    for line in journal.read_bytes().split(b"\n") if journal.exists() else []:
        if line:
            mark, name = json.loads(line)
            counts[name] = counts.get(name, 0) + (1 if mark == "+" else -1)
    journal.unlink(missing_ok=True)
    return [name for name, count in counts.items() if count > 0]


def _append(folder: Path, mark: str, name: str) -> None:
    """One write: the lines of several processes and threads do not mix."""
    try:
        place = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except FileNotFoundError:  # the supervisor is gone
        return
    try:
        os.write(place, json.dumps([mark, name]).encode() + b"\n")
    finally:
        os.close(place)
