"""Runs a command that reads clips in a process of its own, so that a clip which kills it costs that clip only.

Decoders are native code: a damaged file can end the process, and no `except` sees it. After such a death every file
that was under way is read once more, alone, in a process of its own. One that kills that too becomes a row, and so does
one that was alone under way at three deaths; then the same command goes on. A death from outside costs no clip.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lse_bench.errors import NATIVE
from lse_bench.media.under_way import DEADLY, VARIABLE, under_way

COMMANDS = ("score", "generate", "prepare", "fid", "fd-sync", "benchmark", "manifest", "verify")
_DEATHS = 3  # of a command with one clip under way
_MOST = 100  # deaths of one command
STARTED = "LSE_BENCH_STARTED"  # when, in ISO 8601: a folder named after it is the same in every life
_PARENT = "LSE_BENCH_PARENT"  # the reading end of a pipe that closes when the supervisor dies


def wanted(arguments: Sequence[str]) -> bool:
    """Whether a command line is to be supervised."""
    supervised = bool(arguments) and arguments[0] in COMMANDS and VARIABLE not in os.environ
    return supervised and os.name == "posix" and not {"-h", "--help"} & set(arguments)


def supervise(arguments: Sequence[str]) -> int:
    """Run `lse-bench ARGUMENTS` until it ends by itself, and return its exit status."""
    counts: Counter[str] = Counter()
    deadly: dict[str, str] = {}
    started = datetime.now().isoformat()
    with tempfile.TemporaryDirectory(prefix="lse-bench-") as name:
        folder = Path(name)
        for _ in range(_MOST):
            status = _run(arguments, folder, started)
            if status >= 0 or -status not in NATIVE:
                return status if status >= 0 else 128 - status
            died = signal.Signals(-status).name
            suspects = under_way(folder)
            found = {path: reason for path in suspects if (reason := _alone(path)) is not None}
            if len(suspects) == 1 and not found:
                counts[suspects[0]] += 1
                if counts[suspects[0]] == _DEATHS:
                    found[suspects[0]] = f"it was alone under way at {_DEATHS} deaths of the command ({died})"
            if not suspects or (len(suspects) > 1 and not found):
                print(f"lse-bench: ended by {died}; no clip does it alone", file=sys.stderr)
                return 128 - status
            for path, reason in found.items():
                print(f"{path}: {reason}; going on without it", file=sys.stderr)
            deadly |= found
            (folder / DEADLY).write_text(json.dumps(deadly), encoding="utf-8")
    return 1


def _run(arguments: Sequence[str], folder: Path, started: str) -> int:
    """One life of the command; signals reach it, and it ends when this process does."""
    reading, writing = os.pipe()
    environment = {**os.environ, VARIABLE: str(folder), _PARENT: str(reading), STARTED: started}
    command = [sys.executable, "-m", "lse_bench", *arguments]
    # A group of its own: what a terminal sends reaches this process alone, and the command once.
    child = subprocess.Popen(command, env=environment, pass_fds=(reading,), process_group=0)  # noqa: S603 - no shell
    os.close(reading)

    def pass_on(number: int, frame: object) -> None:
        child.send_signal(number)

    def pause(number: int, frame: object) -> None:
        child.send_signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        child.send_signal(signal.SIGCONT)  # when this process was let go on

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, pause)
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)


def end_with_supervisor() -> None:
    """In the child: end when the supervisor does, however it dies."""
    pipe = os.environ.pop(_PARENT, None)
    if pipe is None:
        return

    def wait() -> None:
        os.read(int(pipe), 1)  # nothing is ever written: this is its end
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="end-with-supervisor").start()


def _alone(path: str) -> str | None:
    """Why a file cannot be read, where reading it in a process of its own kills that."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-m", "lse_bench.media.alone", path]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - a list, no shell
    if done.returncode < 0 and -done.returncode in NATIVE:
        return f"reading it kills the process ({signal.Signals(-done.returncode).name}); the file is damaged"
    return None
