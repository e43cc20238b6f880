"""Handling of stops. SIGTERM stops a command as Ctrl-C does, and no stop is lost.

Python raises the exception of a signal at an arbitrary point. Inside a destructor Python only prints the exception and
continues. So every requested stop is recorded. Each counted step of a command calls `check`, which raises a lost stop
again.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """A stop by SIGTERM, which Slurm, Kubernetes, docker stop, timeout and systemd send."""


_asked: list[type[KeyboardInterrupt]] = []


@contextmanager
def heard() -> Iterator[list[type[KeyboardInterrupt]]]:
    """Treat SIGINT and SIGTERM as stops inside the block. Yield the list of stops requested so far."""

    def terminate(number: int, frame: object) -> None:
        if Terminated not in _asked:  # a second SIGTERM must not interrupt the writing of files
            _asked.append(Terminated)
            raise Terminated

    def interrupt(number: int, frame: object) -> None:
        _asked.append(KeyboardInterrupt)
        raise KeyboardInterrupt

    def lost(told: sys.UnraisableHookArgs) -> None:
        if not isinstance(told.exc_value, KeyboardInterrupt):  # `check` raises stops again
            unraisable(told)

    _asked.clear()
    unraisable, sys.unraisablehook = sys.unraisablehook, lost
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, terminate)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a caller that ignores Ctrl-C has a reason
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        yield _asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = unraisable
        _asked.clear()


def check() -> None:
    """Raise the last requested stop if it was lost. A stop that is being handled is not raised again."""
    if _asked and not isinstance(sys.exception(), KeyboardInterrupt) and _is_main():
        raise _asked[-1]


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
