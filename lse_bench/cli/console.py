"""Reports on the terminal. Messages and progress go to standard error. Standard output is for results."""

from __future__ import annotations

import atexit
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lse_bench.cli.bar import Bar
from lse_bench.collecting import uncollected
from lse_bench.reporting import Counter, Report

if TYPE_CHECKING:
    from rich.console import Console

    from lse_bench.weights.download import FetchSettings

_LONG = 2  # seconds before work without a count is named, without a terminal


def make_console() -> Console:
    """Return a console that writes to standard error."""
    from rich.console import Console

    return Console(stderr=True)


def _show_all() -> None:
    """Show the collector all objects at the end if Triton is loaded, which counts what is left and complains."""
    if "triton" in sys.modules:
        gc.unfreeze()


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
    def importing(self, text: str = "Loading torch") -> Iterator[None]:
        """Show `text` while modules are imported.

        They are a million objects that live as long as the process. The garbage collector would look at all of them
        again and again, also at the end, which takes a third of the time of a short command.
        """
        with uncollected(), self.working(text):
            yield
            gc.freeze()
        atexit.register(_show_all)

    @contextmanager
    def counting(self, label: str, total: int | None) -> Iterator[Counter]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), Remaining(), console=self.console) as progress:
            bar = Bar(progress, label, total)
            try:
                yield bar
            finally:
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
