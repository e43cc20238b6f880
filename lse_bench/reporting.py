"""The progress reports of a task. Commands show them on the terminal, and library calls write them to the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lse_bench.weights.download import FetchSettings

_log = logging.getLogger("lse_bench")


class Counter:
    """The progress of a counted piece of work."""

    def advance(self, label: str = "", seconds: float = 0.0) -> None:
        """Count one more finished item.

        `label`: a new name for what is counted; empty keeps the old one. `seconds`: the length of its video.
        """

    def skip(self, count: int) -> None:
        """Count items that an earlier call has finished. They say nothing of the speed."""

    def note(self, worker: str, text: str) -> None:
        """Show what is being done now. `worker`: by whom; empty for this process."""

    def say(self, text: str) -> None:
        """Report a message that stays visible."""
        _log.info(text)

    def warn(self, text: str) -> None:
        """Report a problem that costs no result."""
        _log.warning(text)

    def fail(self, name: str, reason: str) -> None:
        """Report a clip or job that has no result."""
        _log.warning("%s: %s", name, reason)


class Report:
    """The receiver of a task's messages and counts. This base class writes the messages to the log."""

    def say(self, text: str) -> None:
        """Report what the task does."""
        _log.info(text)

    def warn(self, text: str) -> None:
        """Report a possible problem."""
        _log.warning(text)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show `text` during a piece of work that has no count."""
        yield

    @contextmanager
    def counting(self, label: str, total: int | None) -> Iterator[Counter]:
        """Show a count during work on `total` items, and yield the counter. `total`: None if it is not known."""
        yield Counter()

    @contextmanager
    def fetching(self, offline: bool, trust: bool) -> Iterator[FetchSettings]:
        """Yield the options for fetching weights, and show the progress of a download."""
        from lse_bench.weights.download import FetchSettings

        yield FetchSettings(offline=offline, trust=trust, say=_log.warning)

    def weights(self, name_or_path: str, offline: bool, trust: bool) -> Path:
        """Return the file of weights for a name or path, fetched if it is absent.

        `offline`: True forbids the network. `trust`: True accepts a file without a published digest.
        Raises WeightsError if the file cannot be had.
        """
        from lse_bench.weights.store import resolve

        with self.fetching(offline, trust) as options:
            return resolve(name_or_path, options)
