"""The command: inside this process, where the start of a process is not what is tested; in one of its own; killed."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lse_bench.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def lse_bench_here(*arguments: object) -> Ended:
    """What `lse-bench ARGUMENTS` does, without a process of its own."""
    kept, sys.argv = sys.argv, ["lse-bench", *map(str, arguments)]
    status = 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        finally:
            sys.argv = kept
    return Ended(status, out.getvalue(), error.getvalue())


def with_path(folder: Path) -> dict[str, str]:
    """This process's environment for another Python that finds modules in `folder` too."""
    there = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *([there] if there else [])])}


def lse_bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "lse_bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


_KILLED = """
import importlib, os, signal, sys
module, name, calls, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
target = importlib.import_module(module)
real = getattr(target, name)
def counted(*arguments, **named):
    global calls
    done = real(*arguments, **named)
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), number)
    return done
setattr(target, name, counted)
sys.argv = ["lse-bench", *sys.argv[5:]]
from lse_bench.cli import main
main()
"""


def signalled(number: signal.Signals, after: str, calls: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which gets a signal when it has called the function `after`
    (`module:name`) `calls` times. It has ended when this returns, and so has whatever it has started: that holds the
    same standard output.
    """
    module, name = after.split(":")
    command = [sys.executable, "-c", _KILLED, module, name, str(calls), str(int(number)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def killed(after: str, calls: int, *arguments: object) -> None:
    """The command in a process of its own, killed at once when it has called `after` so often."""
    ended = signalled(signal.SIGKILL, after, calls, *arguments)
    assert ended.returncode == -signal.SIGKILL, f"it ended before it could be killed: {ended.stderr}"
