"""Reports on the terminal. Messages and progress go to standard error. Standard output is for results."""

from __future__ import annotations

import threading
import time
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
_SHOWN_FAILURES = 20


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
            yield _Bar(progress, label, total)

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
    """A progress bar. It also prints the first failures as they happen."""

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self._progress, self._label, self._total = progress, label, total
        self._task = progress.add_task(label, total=total)
        self._told = time.monotonic()
        self._failed = 0

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

    def fail(self, text: str) -> None:
        self._failed += 1
        if self._failed <= _SHOWN_FAILURES:
            self._progress.console.print(text, style="red", highlight=False, markup=False, soft_wrap=True)
        elif self._failed == _SHOWN_FAILURES + 1:
            self._progress.console.print("… further failures are in the records", style="red")


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
