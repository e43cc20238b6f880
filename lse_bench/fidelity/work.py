"""The work of FID and fd-sync: one clip in, the features of its frames or windows out.

The caller adds them up in the order of the clips, so statistics and samples do not depend on who worked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import ClipError
from lse_bench.execution.interface import Task, Usage
from lse_bench.fidelity.sources import BoxSource, FrameCount, Item, frames_of
from lse_bench.media.clip_files import ClipFiles
from lse_bench.sync.embed import embed_clip
from lse_bench.sync.scorer import SyncScorer

Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
R = TypeVar("R")

_BATCH_BYTES = 50 << 20  # of frames: very large frames make smaller batches


@dataclass(slots=True)
class ItemFeatures:
    """The features of one clip, (n,D), in parts. A clip that cannot be read to its end keeps those before the error.

    `count`: the frames that were read. `failure`: why the clip was not read to its end; None if it was.
    """

    parts: list[NDArray[Any]] = field(default_factory=list)
    count: FrameCount = field(default_factory=FrameCount)
    failure: str | None = None


class Reader(Protocol):
    """What turns clips into features."""

    def run(self, tasks: Iterator[Task[Item] | None]) -> Iterator[tuple[int, ItemFeatures]]:
        """Yield the number and the features of each clip; see `execution.interface.Worker`."""
        ...


@dataclass(frozen=True, slots=True)
class FrameReader:
    """What turns the frames of clips and pictures into features. Frames of several clips share a batch.

    `features`: maps RGB uint8 frames of one size (N,H,W,3) to features (N,D). `batch`: the largest N. `step`: every
    `step`-th frame of a video is used. `boxes`: crops each frame to the face; None uses whole frames.
    """

    features: Features
    batch: int
    step: int = 1
    boxes: BoxSource | None = None

    def run(self, tasks: Iterator[Task[Item] | None]) -> Iterator[tuple[int, ItemFeatures]]:
        batch = _Batch(self.features, self.batch)
        for task in tasks:
            if task is None:
                batch.flush()
            else:
                found = ItemFeatures()
                frames = frames_of(task.what, self.step, self.boxes, found.count)
                while True:
                    try:
                        frame = next(frames, None)
                    except Exception as error:  # noqa: BLE001 - any error is the failure of this file alone
                        found.failure = told(error)
                        break
                    if frame is None:
                        break
                    batch.push(frame, found)
                batch.end(task.number, found)
            yield from batch.finished()
        batch.flush()
        yield from batch.finished()


class _Batch:
    """A buffer that collects frames of one size until a batch is full. A frame of another size starts a new batch."""

    def __init__(self, features: Features, size: int) -> None:
        self._features, self._size = features, size
        self._waiting: list[tuple[NDArray[np.uint8], ItemFeatures]] = []
        self._ended: list[tuple[int, ItemFeatures]] = []

    def push(self, frame: NDArray[np.uint8], owner: ItemFeatures) -> None:
        """Add a frame of a clip."""
        if self._waiting and self._waiting[0][0].shape != frame.shape:
            self.flush()
        self._waiting.append((frame, owner))
        if len(self._waiting) == self._size or len(self._waiting) * frame.size > _BATCH_BYTES:
            self.flush()

    def end(self, number: int, owner: ItemFeatures) -> None:
        """Say that a clip has no more frames."""
        self._ended.append((number, owner))

    def flush(self) -> None:
        """Compute the features of the collected frames."""
        if not self._waiting:
            return
        rows = self._features(np.stack([frame for frame, _ in self._waiting]))
        start = 0
        for _, group in groupby(self._waiting, key=lambda pair: id(pair[1])):
            owned = list(group)
            owned[0][1].parts.append(rows[start : start + len(owned)])
            start += len(owned)
        self._waiting = []

    def finished(self) -> Iterator[tuple[int, ItemFeatures]]:
        """Return the ended clips of which no frame is waiting, each once."""
        busy = {id(owner) for _, owner in self._waiting}
        ready = [one for one in self._ended if id(one[1]) not in busy]
        self._ended = [one for one in self._ended if id(one[1]) in busy]
        return iter(ready)


@dataclass(frozen=True, slots=True)
class LipReader:
    """What embeds the lips of clips, float64."""

    scorer: SyncScorer

    def run(self, tasks: Iterator[Task[Item] | None]) -> Iterator[tuple[int, ItemFeatures]]:
        for task in tasks:
            if task is not None:
                yield task.number, self._read(task.what)

    def _read(self, item: Item) -> ItemFeatures:
        try:
            lip, _ = embed_clip(self.scorer, ClipFiles(item.path, item.sound))
        except ClipError as error:
            return ItemFeatures(failure=told(error))
        return ItemFeatures([lip])


@dataclass(frozen=True, slots=True)
class FeatureWork:
    """The work of reading features. `load`: returns the reader for a torch device; other processes pickle it."""

    load: Callable[[str], Reader]

    def start(self, device: str) -> _Worker:
        return _Worker(self.load(device))

    def lost(self, task: Item, reason: str) -> ItemFeatures:
        return ItemFeatures(failure=f"error: {reason}")


class _Worker:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def run(
        self, tasks: Iterator[Task[Item] | None], note: Callable[[str], None]
    ) -> Iterator[tuple[int, ItemFeatures]]:
        return self._reader.run(tasks)

    def usage(self) -> Usage:
        return Usage()


def tasks_of(items: Sequence[Item]) -> list[Task[Item]]:
    """Return the tasks of a set, in its order. Then few results wait for those before them."""
    return [Task(number, item.id, item) for number, item in enumerate(items)]


def in_order(results: Iterator[tuple[int, R]]) -> Iterator[R]:
    """Yield results in the order of their numbers, which count from 0. One that comes early waits."""
    waiting: dict[int, R] = {}
    due = 0
    for number, result in results:
        waiting[number] = result
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def told(error: Exception) -> str:
    """Return the status and the reason of a failure in one text."""
    if isinstance(error, ClipError):
        return f"{error.status}: {error.reason}"
    return f"error: {type(error).__name__}: {error}"
