"""Run a command that reads clips in a child process, so that a crash costs only the clip that caused it.

Decoders are native code: a damaged file can end the process, and no `except` catches that. After such a crash every
file that was open is read again, each alone in a process of its own. A file that kills this process too becomes a
failed row. So does a file that was the only open one at three crashes. Then the same command continues. A signal from
outside, such as SIGTERM or SIGKILL, costs no clip.
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

COMMANDS = (
    *("score", "gate", "generate", "prepare", "fid", "fvd", "fd-sync", "benchmark", "manifest", "verify"),
    "reliability",
)
_DEATHS = 3  # crashes with the same single open clip, after which the clip is refused
_MOST = 100  # crashes of one command, after which the supervisor gives up
STARTED = "LSE_BENCH_STARTED"  # start time, ISO 8601: a folder named after it is the same after every restart
_PARENT = "LSE_BENCH_PARENT"  # the reading end of a pipe that closes when the supervisor ends


def wanted(arguments: Sequence[str]) -> bool:
    """Return whether a command line needs a supervisor."""
    supervised = bool(arguments) and arguments[0] in COMMANDS and VARIABLE not in os.environ
    return supervised and os.name == "posix" and not {"-h", "--help"} & set(arguments)


def supervise(arguments: Sequence[str]) -> int:
    """Run `lse-bench ARGUMENTS`, and restart it after a crash. Return its exit status.

    The status is 128 plus the signal's number if a signal ended the command, and 1 after 100 crashes.
    """
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
                    found[suspects[0]] = f"it was the only open file at {_DEATHS} crashes of the command ({died})"
            if not suspects or (len(suspects) > 1 and not found):
                print(f"lse-bench: ended by {died}; no single clip causes this", file=sys.stderr)
                return 128 - status
            for path, reason in found.items():
                print(f"{path}: {reason}; the command continues without it", file=sys.stderr)
            deadly |= found
            (folder / DEADLY).write_text(json.dumps(deadly), encoding="utf-8")
    return 1


def _run(arguments: Sequence[str], folder: Path, started: str) -> int:
    """Run the command once and return the exit status of its process.

    Signals to this process are passed on to the command, and the command ends when this process ends.
    """
    reading, writing = os.pipe()
    environment = {**os.environ, VARIABLE: str(folder), _PARENT: str(reading), STARTED: started}
    command = [sys.executable, "-m", "lse_bench", *arguments]
    # The child has its own process group. So a terminal's signal reaches this process only, which passes it on once.
    child = subprocess.Popen(command, env=environment, pass_fds=(reading,), process_group=0)  # noqa: S603 - no shell
    os.close(reading)

    def pass_on(number: int, frame: object) -> None:
        child.send_signal(number)

    def pause(number: int, frame: object) -> None:
        child.send_signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        child.send_signal(signal.SIGCONT)  # this line runs when this process is resumed

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, pause)
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)


def end_with_supervisor() -> None:
    """Make this child process end when its supervisor ends for any reason. Without a supervisor, do nothing."""
    pipe = os.environ.pop(_PARENT, None)
    if pipe is None:
        return

    def wait() -> None:
        os.read(int(pipe), 1)  # nothing is ever written, so this returns only when the pipe closes
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="end-with-supervisor").start()


def _alone(path: str) -> str | None:
    """Return the reason why a file is refused if reading it kills a separate process, else None."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-m", "lse_bench.media.alone", path]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - a list, no shell
    if done.returncode < 0 and -done.returncode in NATIVE:
        return f"reading it kills the process ({signal.Signals(-done.returncode).name}); the file is damaged"
    return None
