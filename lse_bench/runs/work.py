"""The work of scoring: one clip in, its record and its side files out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.execution.interface import Task, Usage
from lse_bench.manifests.listed import ListedClip
from lse_bench.runs.outcomes import identity_of, record_of
from lse_bench.runs.schema import Record

if TYPE_CHECKING:
    from lse_bench.measures.interface import Features
    from lse_bench.measures.watch import ClipWatch
    from lse_bench.runs.measured import Measures
    from lse_bench.sync.batch import ClipOutcome
    from lse_bench.sync.distance import LseScore
    from lse_bench.sync.scorer import SyncScorer


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of scoring one clip.

    `windows`: the distances of every window, float32, (windows, 31), if they are kept. They are called `distances`, or
    `track_0` etc. under tracked protocols. `timelines`: the offsets over time, called `clip` or by face track.
    `features`: by set measure. `problems`: sentences about what could not be drawn; the score is not affected.
    """

    record: Record
    windows: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    timelines: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Features] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreWork:
    """The work of scoring clips.

    `load`: returns the scorer for a torch device; it can be pickled if other processes work. `keep_windows`: keep the
    distances of every window. `overlay`: a folder for copies of the scored clips, see `runs.overlay`; None for none.
    `measures`: the further measures, which can be pickled if other processes work; None for none.
    """

    load: Callable[[str], SyncScorer]
    keep_windows: bool = False
    overlay: Path | None = None
    measures: Measures | None = None

    def start(self, device: str) -> _Worker:
        return _Worker(self.load(device), self.keep_windows, self.overlay, self.measures)

    def lost(self, task: ListedClip, reason: str) -> Scored:
        return Scored(Record(status="error", reason=reason, **identity_of(task)))


class _Worker:
    def __init__(self, scorer: SyncScorer, keep_windows: bool, overlay: Path | None, measures: Measures | None) -> None:
        self._scorer, self._keep, self._overlay, self._measures = scorer, keep_windows, overlay, measures

    def run(
        self, tasks: Iterator[Task[ListedClip] | None], note: Callable[[str], None]
    ) -> Iterator[tuple[int, Scored]]:
        clips: dict[int, ListedClip] = {}
        watches: dict[int, ClipWatch] = {}

        def present() -> Iterator[tuple[int, Any] | None]:
            for task in tasks:
                if task is None:
                    yield None
                    continue
                clips[task.number] = task.what
                yield task.number, task.what.files

        def step(path: Path, text: str) -> None:
            note(f"{path.name}: {text}")

        def watch(number: int) -> ClipWatch:
            assert self._measures is not None
            watches[number] = self._measures.watch(clips[number], self._scorer.device)
            return watches[number]

        keep = self._keep or self._overlay is not None
        for outcome in self._scorer.score_all(present(), keep, step, None if self._measures is None else watch):
            scored = self._scored(clips.pop(outcome.clip), outcome)
            watched = watches.pop(outcome.clip, None)
            yield outcome.clip, scored if watched is None else _with_measures(scored, watched)

    def usage(self) -> Usage:
        return Usage(decoding=self._scorer.times.decoding, network=self._scorer.times.network)

    def _scored(self, clip: ListedClip, outcome: ClipOutcome) -> Scored:
        record = record_of(clip, outcome)
        if outcome.score is None:
            return Scored(record)
        scores = {f"track_{number}": score for number, score in outcome.tracks.items()}
        windows = (scores or {"distances": outcome.score}) if self._keep else {}
        drawn = self._drawn(clip, outcome)
        over_time = {
            name: asdict(score.timeline)
            for name, score in (scores or {"clip": outcome.score}).items()
            if score.timeline is not None
        }
        kept = {name: _per_window(one) for name, one in windows.items()}
        return Scored(record, kept, over_time, problems=drawn)

    def _drawn(self, clip: ListedClip, outcome: ClipOutcome) -> tuple[str, ...]:
        """Draw the overlay of a scored clip and return sentences about what went wrong."""
        if self._overlay is None:
            return ()
        from lse_bench.runs.overlay import write_overlay

        scorer = self._scorer
        try:
            target = self._overlay / f"{clip.id}.mp4"
            write_overlay(clip.files, outcome, target, scorer.fps_policy, scorer.sound_stream)
        except Exception as error:  # noqa: BLE001 - no error in drawing may cost the score
            return (f"{clip.clip}: no overlay could be drawn: {type(error).__name__}: {error}",)
        return ()


def _with_measures(scored: Scored, watched: ClipWatch) -> Scored:
    """Add the values of the measures to the record of a scored clip."""
    if scored.record.status != "ok":
        return scored
    found = watched.finish()
    told = {
        "measures": found.values,
        "missing": found.missing,
        "warnings": [*scored.record.warnings, *found.warnings],
    }
    return replace(scored, record=scored.record.model_copy(update=told), features=found.features)


def _per_window(score: LseScore) -> NDArray[np.float32]:
    assert score.per_window is not None
    return score.per_window
