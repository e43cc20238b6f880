"""SyncScorer: clips to LSE-D, LSE-C and AV offset, windows of many clips in one batch.

A clip's score does not depend on the batch size, the number of workers or the clips around it; memory does not grow
with the length or number of clips, and nothing goes through the disk.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from lse_bench.errors import ClipError, LseBenchError, UsageError
from lse_bench.features.syncnet_mfcc import COEFFICIENTS
from lse_bench.sync.distance import CurveSum, LseScore
from lse_bench.sync.feed import Event, Failure, feed
from lse_bench.sync.protocol import (
    FPS_POLICIES,
    PRECISIONS,
    FpsPolicy,
    Precision,
    Protocol,
    comparison_key,
    get_protocol,
)
from lse_bench.sync.syncnet import WINDOW_COLUMNS, FastSyncNet, SyncNet, load_syncnet
from lse_bench.sync.windows import Chunk, ClipFacts, read_windows, window_views
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import Options, resolve

_MAX_READERS = 8


@dataclass(frozen=True, slots=True)
class ClipOutcome:
    """One clip's end: its `score`, or the `failure` that prevented one."""

    clip: int
    facts: ClipFacts
    score: LseScore | None
    failure: Failure | None


class SyncScorer:
    """Scores clips with one network under one protocol.

    >>> scorer = SyncScorer.load("syncnet_v2", device="cuda")
    >>> scorer.score("clip.mp4")
    LseScore(distance=…, confidence=…, offset=…)
    """

    def __init__(
        self,
        network: SyncNet,
        *,
        weights_sha256: str,
        protocol: str = "lrs@1",
        fps_policy: FpsPolicy = "require-25",
        device: str = "auto",
        precision: Precision = "fp32",
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> None:
        """`batch_size`: windows per pass, rounded up to whole tiles of the network; `workers`: threads that decode
        ahead, 0 to decode in turn. Both change time, never a number. Raises UsageError for values that make no sense.
        """
        if fps_policy not in FPS_POLICIES:
            raise UsageError(f"no frame rate policy called {fps_policy}; there are: {', '.join(FPS_POLICIES)}")
        if precision not in PRECISIONS:
            raise UsageError(f"no precision called {precision}; there are: {', '.join(PRECISIONS)}")
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch size {batch_size}: at least 1 window is needed")
        if workers is not None and workers < 0:
            raise UsageError(f"{workers} workers: 0 or more are needed")
        self.protocol: Protocol = get_protocol(protocol)
        self.fps_policy: FpsPolicy = fps_policy
        self.precision: Precision = precision
        self.device = choose_device(device)
        self.weights_sha256 = weights_sha256
        self.network = FastSyncNet(network, self.device, precision)
        tile = self.network.tile
        self.batch_size = tile * -(-(batch_size or tile) // tile)
        # On a CPU the network takes every core, so reading ahead would only compete with it.
        spare_cores = 0 if self.device == "cpu" else min(_MAX_READERS, os.cpu_count() or 1)
        self.workers = spare_cores if workers is None else workers

    @classmethod
    def load(
        cls,
        weights: Path | str,
        *,
        protocol: str = "lrs@1",
        fps_policy: FpsPolicy = "require-25",
        device: str = "auto",
        precision: Precision = "fp32",
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> SyncScorer:
        """A scorer with the checkpoint `weights`, a file or a name of the table (then fetched if need be).

        Raises WeightsError when it cannot be had, is unsafe or not SyncNet's.
        """
        path = resolve(weights, Options(say=lambda text: print(text, file=sys.stderr)))
        return cls(
            load_syncnet(path),
            weights_sha256=file_digest(path),
            protocol=protocol,
            fps_policy=fps_policy,
            device=device,
            precision=precision,
            batch_size=batch_size,
            workers=workers,
        )

    @property
    def key(self) -> dict[str, str]:
        """Everything that moves a score; results with different keys cannot be compared."""
        return comparison_key(self.protocol, self.weights_sha256, self.fps_policy, self.precision)

    def score(self, path: Path | str) -> LseScore:
        """LSE-D, LSE-C and offset of one clip. Raises ClipError with its status when it cannot be scored."""
        (outcome,) = self.score_all([(0, Path(path))])
        if outcome.failure is not None:
            raise ClipError(path, outcome.failure.status, outcome.failure.reason)
        assert outcome.score is not None
        return outcome.score

    def score_all(self, clips: Iterable[tuple[int, Path]], keep_windows: bool = False) -> Iterator[ClipOutcome]:
        """The outcome of each `(number, path)` as it is finished; the order may differ from the order given."""
        read = partial(_read, protocol=self.protocol, fps_policy=self.fps_policy)
        batch = _Batch(self.network, self.batch_size, keep_windows)
        for event in feed(clips, read, self.workers):
            if event.chunk is not None:
                batch.add(event.clip, event.chunk)
            else:
                batch.end(event)
            yield from batch.finished()
        batch.flush()
        yield from batch.finished()


def choose_device(name: str) -> str:
    """`auto`: the GPU if torch sees one, else the CPU. Raises UsageError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"no device called {name}; there are: auto, cpu, cuda, cuda:N")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                f"--device {name}: torch {torch.__version__} sees no CUDA device here; see lse-bench doctor"
            )
        number = name.partition(":")[2]
        if number and (not number.isdigit() or int(number) >= torch.cuda.device_count()):
            raise UsageError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    return name


def _read(path: Path, facts: ClipFacts, *, protocol: Protocol, fps_policy: FpsPolicy) -> Iterator[Chunk]:
    return read_windows(path, protocol, fps_policy, facts)


@dataclass(slots=True)
class _Open:
    """A clip whose windows are under way."""

    curve: CurveSum
    waiting: int = 0  # windows in the batch
    end: Event | None = None


class _Batch:
    """Collects windows until the network's input is full, then hands each clip its embeddings back."""

    def __init__(self, network: FastSyncNet, size: int, keep_windows: bool) -> None:
        self._network = network
        self._keep = keep_windows
        self._lips = network.empty_lips(size)
        self._mfcc = torch.zeros(size, 1, COEFFICIENTS, WINDOW_COLUMNS)
        self._filled = 0
        self._owners: list[tuple[int, int]] = []  # (clip, number of windows) in the order of the rows
        self._open: dict[int, _Open] = {}
        self._ended: list[ClipOutcome] = []

    def add(self, clip: int, chunk: Chunk) -> None:
        state = self._open.setdefault(clip, _Open(CurveSum(self._keep)))
        lips, mfcc = window_views(chunk, self._lips.device, self._lips.dtype)
        start = 0
        while start < len(chunk):
            count = min(len(chunk) - start, len(self._lips) - self._filled)
            rows = slice(self._filled, self._filled + count)
            self._lips[rows].copy_(lips[start : start + count])
            self._mfcc[rows, 0].copy_(mfcc[start : start + count])
            self._owners.append((clip, count))
            self._filled += count
            state.waiting += count
            start += count
            if self._filled == len(self._lips):
                self.flush()

    def end(self, event: Event) -> None:
        state = self._open.setdefault(event.clip, _Open(CurveSum(self._keep)))
        state.end = event
        self._close(event.clip)

    def flush(self) -> None:
        """Run the network on what has been collected."""
        if not self._filled:
            return
        try:
            lip = self._network.lip(self._lips[: self._filled]).numpy()
            sound = self._network.sound(self._mfcc[: self._filled]).numpy()
        except torch.OutOfMemoryError as error:
            raise LseBenchError(
                f"out of GPU memory with a batch of {len(self._lips)} windows. Close other programs on the GPU, pass a "
                "smaller --batch-size, or --device cpu; what is scored so far is kept"
            ) from error
        row = 0
        owners, self._owners, self._filled = self._owners, [], 0
        for clip, count in owners:
            state = self._open[clip]
            state.curve.push(lip[row : row + count], sound[row : row + count])
            state.waiting -= count
            row += count
            self._close(clip)

    def finished(self) -> Iterator[ClipOutcome]:
        """Outcomes since the last call."""
        ended, self._ended = self._ended, []
        return iter(ended)

    def _close(self, clip: int) -> None:
        state = self._open.get(clip)
        if state is None or state.end is None or state.waiting:
            return
        failure = state.end.failure
        score = None if failure is not None else state.curve.finish()
        self._ended.append(ClipOutcome(clip, state.end.facts, score, failure))
        del self._open[clip]
