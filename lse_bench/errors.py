"""The exceptions of LSE-Bench. A message names the file, the value, the limit, the likely cause and the solution."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

Status = Literal[
    "ok",
    "unreadable",
    "no_video",
    "no_audio",
    "too_short",
    "wrong_fps",
    "no_face",
    "no_track",
    "empty_output",
    "generator_failed",
    "out_of_memory",
    "error",
]
# Signals by which a process ends through its own fault, for example native code that decodes a damaged file.
NATIVE = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
STATUSES: tuple[Status, ...] = get_args(Status)
_SHOWN = 50  # known names that a message shows


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown name, with the nearest known one.

    It begins like this: `no generator called wav2lop. Did you mean …`.
    `what`: the kind of thing, such as `generator`. `name`: the unknown name. `known`: all names that exist; the message
    shows the first 50.
    """
    there = list(known)
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    more = f", … ({len(there)} in all)" if len(there) > _SHOWN else ""
    return f"no {what} called {name}.{hint} There are: {', '.join(there[:_SHOWN])}{more}"


class LseBenchError(Exception):
    """An error that LSE-Bench can explain. Its text is for the user, who needs no traceback."""


class UsageError(LseBenchError):
    """An error in the call: wrong options, lists, files or run directories."""


class WeightsError(LseBenchError):
    """An error in a file of weights: it is missing, damaged, unsafe or of another network."""


class ClipError(LseBenchError):
    """An error that concerns one clip, which then has no score.

    `path`: the clip. `status`: the status of its record. `reason`: the message without the path.
    """

    def __init__(self, path: Path | str, status: Status, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type[ClipError], tuple[Path, Status, str]]:
        return type(self), (self.path, self.status, self.reason)
