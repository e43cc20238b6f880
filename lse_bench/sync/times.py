"""Where the time of scoring goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Times:
    """Seconds of decoding, in all threads together, and of computing on the device, since the beginning."""

    def __init__(self) -> None:
        self.decoding = 0.0
        self.network = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def decodes(self) -> Iterator[None]:
        """Count the time of the block as decoding."""
        begun = perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.decoding += perf_counter() - begun

    @contextmanager
    def computes(self) -> Iterator[None]:
        """Count the time of the block as computing on the device."""
        begun = perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.network += perf_counter() - begun
