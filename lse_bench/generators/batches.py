"""Split faces into small batches, for generators that run a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
BATCH = 8  # faces per pass: larger batches exceed a CPU's cache and keep more frames in memory


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield lists of `size` items. The last list may be shorter."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
