"""What the parts of the campaign share: how a command is run, what it left, and what counts against it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 900  # seconds after which a command hangs
COMMAND = (sys.executable, "-m", "lse_bench")


@dataclass
class Findings:
    """Counts of what was tried and of what went wrong, with a line for each of the latter."""

    tried: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def fault(self, kind: str, text: str) -> None:
        """Keep it, and print it at once: the campaign takes long. `kind`: hang, traceback, lost, wrong, left."""
        self.faults.append((kind, text))
        print(f"  {kind}: {text}", flush=True)


@dataclass(frozen=True)
class Ended:
    """How a command ended. `code`: None where it had to be killed."""

    code: int | None
    said: str

    @property
    def traceback(self) -> bool:
        """Whether Python's own words reached the user."""
        return "Traceback (most recent call last)" in self.said


def begin(arguments: Iterable[object]) -> subprocess.Popen[bytes]:
    """`lse-bench` with these arguments, in a session of its own; what it says is in `stdout`."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run(*arguments: object) -> Ended:
    """`lse-bench` with these arguments to its end, or to the limit."""
    process = begin(arguments)
    try:
        said, _ = process.communicate(timeout=LIMIT)
        return Ended(process.returncode, said.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return Ended(None, process.communicate()[0].decode(errors="replace"))


def judge(found: Findings, name: str, ended: Ended, allowed: tuple[int, ...] = (0, 1, 2)) -> None:
    """Count a command's end; a hang, a traceback and an end that is none of those allowed count against it."""
    found.tried += 1
    found.ended["hung" if ended.code is None else f"exit {ended.code}"] += 1
    last = (ended.said.strip().splitlines() or [""])[-1][:200]
    if ended.code is None:
        found.fault("hang", f"{name}: {last}")
    elif ended.traceback or ended.code not in allowed:
        found.fault("traceback", f"{name}: exit {ended.code}: {last}")


def leftovers(folder: Path) -> list[str]:
    """Files and folders below that a finished command should not leave."""
    return [str(path) for path in folder.rglob(".*") if path.name.endswith(".partial") or "scratch" in path.name]
