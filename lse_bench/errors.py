"""The one family of errors. A message names the file, the value, the limit, the likely cause and the way out."""

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
# Signals that end a process by what it does itself, as native code does with a damaged file.
NATIVE = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
STATUSES: tuple[Status, ...] = get_args(Status)


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for an unknown name, with the nearest one: `no generator called wav2lop. Did you mean …`."""
    there = list(known)
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"no {what} called {name}.{hint} There are: {', '.join(there)}"


class LseBenchError(Exception):
    """Anything that LSE-Bench can explain. Its text is meant for the user, without a traceback."""


class UsageError(LseBenchError):
    """The call cannot be carried out as given: options, lists, run directories that do not fit."""


class WeightsError(LseBenchError):
    """A checkpoint is missing, damaged, unsafe or of another network."""


class ClipError(LseBenchError):
    """One clip cannot be scored. `status` is the record's status, `reason` the sentence without the path."""

    def __init__(self, path: Path | str, status: Status, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.status = status
        self.reason = reason
