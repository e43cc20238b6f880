"""Where the time of scoring goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter


class Times:
    """Seconds of decoding, in all threads together, and of computing on the device, since the beginning."""

    def __init__(self) -> None:
        self.decoding = 0.0
        self.network = 0.0
        self._lock = threading.Lock()

    def decodes(self) -> AbstractContextManager[None]:
        """Count the time of the block as decoding."""
        return self._counting("decoding")

    def computes(self) -> AbstractContextManager[None]:
        """Count the time of the block as computing on the device."""
        return self._counting("network")

    @contextmanager
    def _counting(self, name: str) -> Iterator[None]:
        begun = perf_counter()
        try:
            yield
        finally:
            with self._lock:
                setattr(self, name, getattr(self, name) + perf_counter() - begun)
