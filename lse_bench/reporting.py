"""What a task tells while it works. Commands draw it on a terminal; a library call writes it to the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lse_bench.weights.store import Options

_log = logging.getLogger("lse_bench")


class Counter:
    """A count that is going on."""

    def advance(self, label: str = "") -> None:
        """One more is done. `label`: what is being counted, if that has changed."""

    def note(self, text: str) -> None:
        """What is being done at the moment."""

    def say(self, text: str) -> None:
        """A sentence that stays."""
        _log.info(text)

    def warn(self, text: str) -> None:
        """Something that went wrong and costs no result."""
        _log.warning(text)

    def fail(self, text: str) -> None:
        """A clip or job that has no result."""
        _log.warning(text)


class Report:
    """Where sentences and counts go."""

    def say(self, text: str) -> None:
        """A sentence on what is done."""
        _log.info(text)

    def warn(self, text: str) -> None:
        """A sentence on what may be wrong."""
        _log.warning(text)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """While something is done that has no count."""
        yield

    @contextmanager
    def counting(self, label: str, total: int | None) -> Iterator[Counter]:
        """While `total` things are done."""
        yield Counter()

    @contextmanager
    def fetching(self, offline: bool, trust: bool) -> Iterator[Options]:
        """While weights may be fetched."""
        from lse_bench.weights.store import Options

        yield Options(offline=offline, trust=trust, say=_log.warning)

    def weights(self, name_or_path: str, offline: bool, trust: bool) -> Path:
        """The file of weights that is meant, fetched if need be. Raises WeightsError."""
        from lse_bench.weights.store import resolve

        with self.fetching(offline, trust) as options:
            return resolve(name_or_path, options)
