"""The work of a card: make the damaged copy of a clip, score it, and drop it again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lse_bench.damage.clips import NUISANCES
from lse_bench.errors import ClipError, Status
from lse_bench.execution.interface import Task, Usage, Worker
from lse_bench.faces.landmarks import Follower, Landmarks, Points
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.interface import NoValueError
from lse_bench.measures.originals import Originals
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.rates import FRAME_RATE
from lse_bench.reliability.attack import Attack
from lse_bench.reliability.copies import Reading, write_copy
from lse_bench.reliability.plan import SOURCE, Planned, part_of_copy
from lse_bench.runs.outcomes import identity_of
from lse_bench.runs.schema import Record
from lse_bench.runs.work import Scored, ScoreWork


@dataclass(frozen=True, slots=True)
class DamageWork:
    """The work of making and scoring damaged copies.

    `score`: the work of scoring. `how`: how clips are read. `attack`: for copies with an attack.
    """

    score: ScoreWork
    how: Reading
    attack: Attack

    def start(self, device: str) -> _Worker:
        return _Worker(self.score.start(device), self.how, self.attack)

    def lost(self, task: Planned, reason: str) -> Scored:
        return _failed(task, "error", reason)


class _Worker:
    def __init__(self, scoring: Worker[ListedClip, Scored], how: Reading, attack: Attack) -> None:
        self._scoring, self._how, self._attack = scoring, how, attack

    def run(self, tasks: Iterator[Task[Planned] | None], note: Callable[[str], None]) -> Iterator[tuple[int, Scored]]:
        failed: list[tuple[int, Scored]] = []
        with tempfile.TemporaryDirectory(prefix="lse-bench-") as folder:

            def copies() -> Iterator[Task[ListedClip] | None]:
                for task in tasks:
                    if task is None:
                        yield None
                        continue
                    try:
                        copy = self._copy(task.what, Path(folder))
                    except ClipError as error:
                        failed.append((task.number, _failed(task.what, error.status, error.reason)))
                        continue
                    yield Task(task.number, task.name, copy, task.size)

            for number, scored in self._scoring.run(copies(), note):
                yield number, scored
                (Path(folder) / f"{scored.record.id}.mp4").unlink(missing_ok=True)
                while failed:
                    yield failed.pop()
            yield from failed

    def _copy(self, planned: Planned, folder: Path) -> ListedClip:
        """Return the copy, made in `folder`. The clip itself is scored where it lies."""
        listed, source = planned.listed, planned.source
        if planned.damage == SOURCE:
            return replace(listed, path=source.path, sound=source.sound, start=source.start, end=source.end)
        path = folder / f"{listed.id}.mp4"
        seconds = write_copy(planned, path, self._how, self._attack)
        nuisance = NUISANCES.get(planned.damage)
        return part_of_copy(replace(listed, path=path), None if nuisance is None else nuisance.part, seconds)

    def usage(self) -> Usage:
        return self._scoring.usage()


def _failed(planned: Planned, status: Status, reason: str) -> Scored:
    about = identity_of(planned.listed) | {"sha256": None, "bytes": None, "changed": None}
    return Scored(Record(status=status, reason=reason, **about))


class Sources(Originals):
    """The clips themselves as the untouched videos of their copies. `by_id`: their files; parts of files have none."""

    def __init__(self, by_id: dict[str, Path]) -> None:
        self._by_id = by_id

    def of(self, clip: ListedClip) -> Path:
        path = self._by_id.get(clip.groups["source"])
        if path is None or not clip.files.whole:
            raise NoValueError("no original: it is a part of a file")
        return path


@dataclass(frozen=True)
class Remembered(Landmarks):
    """Landmarks that a process finds once in each of some files. `source`: finds them. `files`: the files."""

    source: Landmarks
    files: frozenset[Path]
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.source.id)  # the points are the same

    def refuse_shared(self, clip: Path, original: Path) -> None:
        self.source.refuse_shared(clip, original)

    def follow(self, clip: Path, first: int = 0) -> Follower:
        return (
            _Again(_found(self.source, clip)) if clip in self.files and not first else self.source.follow(clip, first)
        )


class _Again(Follower):
    def __init__(self, found: tuple[Points | None, ...]) -> None:
        self._found = iter(found)

    def find(self, frame: NDArray[np.uint8]) -> Points | None:
        return next(self._found, None)


@lru_cache(maxsize=8)
def _found(source: Landmarks, clip: Path) -> tuple[Points | None, ...]:
    follower = source.follow(clip)
    return tuple(follower.find(frame) for frame in read_frames(probe(clip), FRAME_RATE))
