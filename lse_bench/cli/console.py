"""Reports on the terminal. Messages and progress go to standard error. Standard output is for results."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from lse_bench.cli.stops import check
from lse_bench.reporting import Counter, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from lse_bench.weights.download import FetchSettings

_LONG, _EVERY = 2, 10  # without a terminal: seconds before the first progress line, and between two of them
_SHOWN_ALIKE, _SHOWN_KINDS = 3, 12  # failures of one kind that are printed, and kinds


def make_console() -> Console:
    """Return a console that writes to standard error."""
    from rich.console import Console

    return Console(stderr=True)


class ConsoleReport(Report):
    """A report that draws bars and spinners on a terminal. Without a terminal it prints a line now and then."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or make_console()

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self.console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def fail(self, text: str) -> None:
        """Print in red why the command fails."""
        self.console.print(text, style="red", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        if self.console.is_terminal:
            with self.console.status(text):
                yield
            return
        timer = threading.Timer(_LONG, self.console.print, [f"{text} …"], {"highlight": False, "markup": False})
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def counting(self, label: str, total: int | None) -> Iterator[Counter]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), Remaining(), console=self.console) as progress:
            bar = _Bar(progress, label, total)
            yield bar
            bar.close()

    @contextmanager
    def fetching(self, offline: bool, trust: bool) -> Iterator[FetchSettings]:
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        from lse_bench.weights.download import FetchSettings

        with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=self.console) as progress:
            task = progress.add_task("fetching", visible=False)

            def show(done: int, total: int | None) -> None:
                progress.update(task, completed=done, total=total, visible=True)

            def say(text: str) -> None:
                progress.console.print(text, highlight=False, markup=False)

            yield FetchSettings(offline=offline, trust=trust, say=say, progress=show)


class _Bar(Counter):
    """A progress bar. It also prints failures as they happen. Of equal ones it prints a few, and counts the others."""

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self._progress, self._label, self._total = progress, label, total
        self._task = progress.add_task(label, total=total)
        self._told = time.monotonic()
        self._failed: Counts[str] = Counts()  # by reason, where numbers and paths do not count

    def advance(self, label: str = "") -> None:
        check()
        self._label = label or self._label
        self._progress.update(self._task, advance=1, description=self._label)
        console = self._progress.console
        if console.is_terminal or time.monotonic() - self._told < _EVERY:
            return
        self._told, at = time.monotonic(), self._progress.tasks[0]
        of = "" if self._total is None else f" of {self._total:,}"
        left = "" if at.time_remaining is None else f", {timedelta(seconds=round(at.time_remaining))} left"
        self.say(f"{self._label}: {at.completed:,.0f}{of}{left}")

    def note(self, text: str) -> None:
        from rich.markup import escape

        self._progress.update(self._task, description=escape(text))

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self._progress.console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def fail(self, name: str, reason: str) -> None:
        alike = re.sub(r"\S*/\S*|\d+", "…", reason.replace(name, "…"))
        self._failed[alike] += 1
        if self._failed[alike] <= _SHOWN_ALIKE and len(self._failed) <= _SHOWN_KINDS:
            self._red(f"{name}: {reason}")

    def close(self) -> None:
        """Print how many failures were not shown."""
        for alike, count in list(self._failed.items())[:_SHOWN_KINDS]:
            if count > _SHOWN_ALIKE:
                self._red(f"{count - _SHOWN_ALIKE} more: {alike}")
        if rest := sum(list(self._failed.values())[_SHOWN_KINDS:]):
            self._red(f"{rest} more failures, with other reasons, are in the records")

    def _red(self, text: str) -> None:
        self._progress.console.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


def warn_of_weights(report: Report, sha256: str) -> None:
    """Warn if the weights with the digest `sha256` are not the published ones, `syncnet_v2`."""
    from lse_bench.weights.table import name_of_digest

    name = name_of_digest(sha256)
    if name == "syncnet-mini":
        report.warn(
            "syncnet-mini was trained on synthetic faces. On real faces its scores mean nothing. Do not compare them "
            "with published ones"
        )
    elif name != "syncnet_v2":
        report.warn(
            f"weights {sha256[:12]}… are not the published syncnet_v2. Do not compare these scores with published ones"
        )
