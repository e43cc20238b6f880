"""Run the windows of many clips through the network in one batch, and add each clip's embeddings to its curve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from lse_bench.choices import TrackRule
from lse_bench.errors import LseBenchError
from lse_bench.features.syncnet_mfcc import COEFFICIENTS
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.distance import CurveSum, LseScore, combine, graded
from lse_bench.sync.feed import Event, Failure
from lse_bench.sync.offset_settings import OffsetSettings
from lse_bench.sync.search import WideCurve
from lse_bench.sync.syncnet import WINDOW_COLUMNS, FastSyncNet
from lse_bench.sync.timeline import timeline_of
from lse_bench.sync.times import Times
from lse_bench.sync.windows import Chunk, fill_lips, sound_windows


@dataclass(frozen=True, slots=True)
class ClipOutcome:
    """The outcome of one clip: its `score`, or the `failure` that prevented a score.

    `clip`: the number of the clip. `facts`: what reading the clip found. `tracks`: under tracked protocols, the score
    of each face track by its number. A track that is too short for a window has no score.
    """

    clip: int
    facts: ClipFacts
    score: LseScore | None
    failure: Failure | None
    tracks: dict[int, LseScore] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """The state of an unfinished clip: one curve for each face track, or one curve if faces are not tracked."""

    curves: dict[int, CurveSum] = field(default_factory=dict)
    searches: dict[int, WideCurve] = field(default_factory=dict)
    waiting: int = 0  # windows that are still in the batch
    end: Event | None = None


class Batch:
    """A buffer that collects windows until the network's input is full, and then adds embeddings to the clips' curves.

    `size`: windows per pass of the network. `keep_windows`: whether scores keep the distances of each window. `rule`:
    how face tracks make a clip's score, None if faces are not tracked. `offsets`: what is said about offsets. `times`:
    counts the passes of the network.
    """

    def __init__(
        self,
        network: FastSyncNet,
        size: int,
        keep_windows: bool,
        rule: TrackRule | None,
        offsets: OffsetSettings | None = None,
        times: Times | None = None,
    ) -> None:
        self._network = network
        self._times = times or Times()
        self._offsets = offsets or OffsetSettings()
        self._keep = keep_windows
        self._rule = rule
        self._lips = network.empty_lips(size)
        self._mfcc = torch.zeros(size, 1, COEFFICIENTS, WINDOW_COLUMNS, dtype=torch.float32, device="cpu")
        self._filled = 0
        self._owners: list[tuple[int, int, int]] = []  # (clip, part, number of windows) in the order of the rows
        self._open: dict[int, _Open] = {}
        self._ended: list[ClipOutcome] = []

    def add(self, clip: int, chunk: Chunk) -> None:
        state = self._open.setdefault(clip, _Open())
        state.curves.setdefault(chunk.part, CurveSum(self._keep or self._offsets.timeline is not None))
        if self._offsets.search is not None:
            state.searches.setdefault(chunk.part, WideCurve(self._offsets.search))
        mfcc = sound_windows(chunk)
        start = 0
        while start < len(chunk):
            count = min(len(chunk) - start, len(self._lips) - self._filled)
            rows = slice(self._filled, self._filled + count)
            fill_lips(self._lips[rows], chunk, start)
            self._mfcc[rows].copy_(mfcc[start : start + count])
            self._owners.append((clip, chunk.part, count))
            self._filled += count
            state.waiting += count
            start += count
            if self._filled == len(self._lips):
                self.flush()

    def end(self, event: Event) -> None:
        state = self._open.setdefault(event.clip, _Open())
        state.end = event
        self._close(event.clip)

    def flush(self) -> None:
        """Run the network on the collected windows. Raises LseBenchError if the GPU is out of memory."""
        if not self._filled:
            return
        try:
            with self._times.computes():
                lip = self._network.lip(self._lips[: self._filled]).numpy()
                sound = self._network.sound(self._mfcc[: self._filled]).numpy()
        except torch.OutOfMemoryError as error:
            raise LseBenchError(
                f"out of GPU memory with a batch of {len(self._lips)} windows. Close other programs on the GPU, pass a "
                "smaller --batch-size, or pass --device cpu; the scores of finished clips are kept"
            ) from error
        row = 0
        owners, self._owners, self._filled = self._owners, [], 0
        for clip, part, count in owners:
            state = self._open[clip]
            state.curves[part].push(lip[row : row + count], sound[row : row + count])
            if part in state.searches:
                state.searches[part].push(lip[row : row + count], sound[row : row + count])
            state.waiting -= count
            row += count
            self._close(clip)

    def finished(self) -> Iterator[ClipOutcome]:
        """Return the outcomes since the last call."""
        ended, self._ended = self._ended, []
        return iter(ended)

    def _close(self, clip: int) -> None:
        state = self._open.get(clip)
        if state is None or state.end is None or state.waiting:
            return
        failure = state.end.failure
        parts = [] if failure is not None else sorted(state.curves)
        scores = {part: self._finished(state, part) for part in parts}
        score = None if failure is not None else combine(list(scores.values()), self._rule or "mean")
        tracks = scores if self._rule else {}
        self._ended.append(ClipOutcome(clip, state.end.facts, score, failure, tracks))
        del self._open[clip]

    def _finished(self, state: _Open, part: int) -> LseScore:
        assert state.end is not None
        conversion = state.end.facts.conversion_ms
        score = graded(state.curves[part].finish(), self._offsets.calibration, conversion)
        if part in state.searches:
            score = replace(score, search=state.searches[part].finish(conversion))
        if self._offsets.timeline is None:
            return score
        assert score.per_window is not None
        found = timeline_of(score.per_window, self._offsets.timeline, self._offsets.calibration, conversion)
        return replace(score, timeline=found, per_window=score.per_window if self._keep else None)
