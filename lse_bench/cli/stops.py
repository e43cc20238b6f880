"""Stops: SIGTERM is one like Ctrl-C, and none is lost.

A signal's exception is raised wherever Python happens to be. Inside a destructor Python prints it and goes on as if
nothing had been asked. So what was asked is kept, and `check`, which every counted step of a command calls, raises it
again.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM, which Slurm, Kubernetes, docker stop, timeout and systemd send."""


_asked: list[type[KeyboardInterrupt]] = []


@contextmanager
def heard() -> Iterator[list[type[KeyboardInterrupt]]]:
    """Take both signals for stops meanwhile; yields the stops that were asked for so far."""

    def terminate(number: int, frame: object) -> None:
        if Terminated not in _asked:  # one is enough, while files are being finished
            _asked.append(Terminated)
            raise Terminated

    def interrupt(number: int, frame: object) -> None:
        _asked.append(KeyboardInterrupt)
        raise KeyboardInterrupt

    def lost(told: sys.UnraisableHookArgs) -> None:
        if not isinstance(told.exc_value, KeyboardInterrupt):  # `check` raises those again
            unraisable(told)

    _asked.clear()
    unraisable, sys.unraisablehook = sys.unraisablehook, lost
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, terminate)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # who ignores Ctrl-C has a reason
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        yield _asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = unraisable
        _asked.clear()


def check() -> None:
    """Raise the stop that was asked for and lost. One that is being handled is not raised again."""
    if _asked and not isinstance(sys.exception(), KeyboardInterrupt) and _is_main():
        raise _asked[-1]


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
