"""The progress of counted work on the terminal: a bar, or a line now and then where there is no terminal."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter as Counts
from datetime import timedelta
from typing import TYPE_CHECKING

from lse_bench.cli.stops import check
from lse_bench.reporting import Counter

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY, _SILENCE = 10, 60  # without a terminal: seconds between two lines when something ends, and in any case
_DRAWN = 0.1  # seconds between two drawings of the bar
_SHOWN_ALIKE, _SHOWN_KINDS = 3, 12  # messages of one kind that are printed, and kinds
_SHOWN_WORKERS = 4  # workers whose current step is shown


class Bar(Counter):
    """A progress bar. It also prints failures and warnings. Of equal ones it prints a few, and counts the others."""

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self._progress, self._label, self._total = progress, label, total
        self._task = progress.add_task(label, total=total)
        self._begun = self._told = self._drawn = time.monotonic()
        self._count = 0
        self._seconds = 0.0
        self._notes: dict[str, str] = {}
        self._failures, self._warnings = _Alike("red", "failures"), _Alike("yellow", "warnings")
        self._ended = threading.Event()
        if not progress.console.is_terminal:
            threading.Thread(target=self._beat, daemon=True, name="progress").start()

    def advance(self, label: str = "", seconds: float = 0.0) -> None:
        check()
        self._label = label or self._label
        self._seconds += seconds
        self._count += 1
        now = time.monotonic()
        if now - self._drawn >= _DRAWN:
            self._draw(now)
        if not self._progress.console.is_terminal and now - self._told >= _EVERY:
            self._tell()

    def skip(self, count: int) -> None:
        self._count += count
        self._begun = time.monotonic()
        if count:
            self.say(f"{count:,} are finished already")

    def note(self, worker: str, text: str) -> None:
        notes = {name: note for name, note in self._notes.items() if name != worker}
        self._notes = notes | {worker: f"{worker}: {text}" if worker else text}  # replaced as a whole: threads read it
        self._draw(time.monotonic())

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self._print(self._warnings.shown(_kind(text), text), "yellow")

    def fail(self, name: str, reason: str) -> None:
        self._print(self._failures.shown(_kind(reason.replace(name, "…")), f"{name}: {reason}"), "red")

    def close(self) -> None:
        """Print how many failures and warnings were not shown."""
        self._ended.set()
        self._draw(time.monotonic())
        for alike in (self._warnings, self._failures):
            for line in alike.rest():
                self._print(line, alike.style)

    def _beat(self) -> None:
        while not self._ended.wait(max(1.0, self._told + _SILENCE - time.monotonic())):
            if time.monotonic() - self._told >= _SILENCE:
                self._tell()

    def _draw(self, now: float) -> None:
        self._drawn = now
        self._progress.update(self._task, completed=self._count, description=self._shown())

    def _tell(self) -> None:
        self._draw(time.monotonic())
        self._told, at = time.monotonic(), self._progress.tasks[0]
        of = "" if self._total is None else f" of {self._total:,}"
        left = "" if at.time_remaining is None else f", {timedelta(seconds=round(at.time_remaining))} left"
        notes = "".join(f"; {note}" for note in list(self._notes.values())[-_SHOWN_WORKERS:])
        self.say(f"{self._label}: {at.completed:,.0f}{of}{self._rate()}{left}{notes}")

    def _shown(self) -> str:
        from rich.markup import escape

        notes = list(self._notes.values())[-_SHOWN_WORKERS:]
        return escape("; ".join([f"{self._label}{self._rate()}", *notes]))

    def _rate(self) -> str:
        """Return hours of video an hour; nothing if the length of the clips is not known."""
        spent = time.monotonic() - self._begun
        return f", {self._seconds / spent:.1f} h of video/h" if self._seconds and spent > 1 else ""

    def _print(self, text: str | None, style: str) -> None:
        if text is not None:
            self._progress.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


class _Alike:
    """Messages counted by kind. `style`: their colour. `what`: their name in the plural."""

    def __init__(self, style: str, what: str) -> None:
        self.style, self._what = style, what
        self._counts: Counts[str] = Counts()

    def shown(self, kind: str, text: str) -> str | None:
        """Count a message and return it, or None if enough of its kind were shown."""
        self._counts[kind] += 1
        return text if self._counts[kind] <= _SHOWN_ALIKE and len(self._counts) <= _SHOWN_KINDS else None

    def rest(self) -> list[str]:
        """Return lines that count the messages that were not shown."""
        shown, others = list(self._counts.items())[:_SHOWN_KINDS], list(self._counts.values())[_SHOWN_KINDS:]
        lines = [f"{count - _SHOWN_ALIKE} more: {kind}" for kind, count in shown if count > _SHOWN_ALIKE]
        return [*lines, f"{sum(others)} more {self._what}, with other reasons, are in the records"] if others else lines


def _kind(text: str) -> str:
    """Return a message without its numbers and paths."""
    return re.sub(r"\S*/\S*|\d+", "…", text)
