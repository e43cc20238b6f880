"""The work of a card: make the damaged copy of a clip, score it, and drop it again."""

from __future__ import annotations

import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.damage.clips import NUISANCES, ORACLE
from lse_bench.errors import ClipError, Status
from lse_bench.execution.interface import Task, Usage, Worker
from lse_bench.faces.landmarks import Follower, Landmarks, Points
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.interface import NoValueError
from lse_bench.measures.originals import Originals
from lse_bench.measures.watch import ClipWatch
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.rates import FRAME_RATE
from lse_bench.reliability.asked import Asked
from lse_bench.reliability.attack import Attack
from lse_bench.reliability.copies import Reading, damage_of, keeps_picture, write_copy
from lse_bench.reliability.plan import NONE, SOURCE, Planned, part_of_copy
from lse_bench.runs.measured import Measures
from lse_bench.runs.outcomes import identity_of
from lse_bench.runs.schema import Record
from lse_bench.runs.work import Scored, ScoreWork
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.syncnet import FastSyncNet

SAME_PICTURE = "same-picture"  # the folder of copies with the picture of the plain copy
_TOLD = 300  # characters of an error that are told
_MOST_WINDOWS, _MOST_CLIPS = 4096, 8  # that are remembered


@dataclass(frozen=True, slots=True)
class DamageWork:
    """The work of making and scoring damaged copies.

    `score`: the work of scoring. `how`: how clips are read. `attack`: for copies with an attack.
    """

    score: ScoreWork
    how: Reading
    attack: Attack

    def start(self, device: str) -> _Worker:
        remembering = replace(self.score, load=partial(_remembering, self.score.load))
        return _Worker(remembering.start(device), self.how, self.attack)

    def lost(self, task: Planned, reason: str) -> Scored:
        return _failed(task, "error", reason)


class _Worker:
    def __init__(self, scoring: Worker[ListedClip, Scored], how: Reading, attack: Attack) -> None:
        self._scoring, self._how, self._attack = scoring, how, attack

    def run(self, tasks: Iterator[Task[Planned] | None], note: Callable[[str], None]) -> Iterator[tuple[int, Scored]]:
        plain: dict[str, Path] = {}  # the plain copy of the clip that is worked on, by the clip's id
        failed: list[tuple[int, Scored]] = []
        ended = False
        with tempfile.TemporaryDirectory(prefix="lse-bench-") as name:
            folder = Path(name)

            def copies() -> Iterator[Task[ListedClip] | None]:
                """Yield copies until one cannot be made. Its result must not wait for those of others."""
                nonlocal ended
                for task in tasks:
                    try:
                        copy = None if task is None else self._copy(task.what, folder, plain)
                    except Exception as error:  # noqa: BLE001 - what a clip cannot take costs that copy only
                        assert task is not None
                        failed.append((task.number, _failed(task.what, *_told(error))))
                        return
                    yield None if task is None or copy is None else Task(task.number, task.name, copy, task.size)
                ended = True

            while not ended:
                for number, scored in self._scoring.run(copies(), note):
                    yield number, scored
                    for place in (folder, folder / SAME_PICTURE):
                        (place / f"{scored.record.id}.mp4").unlink(missing_ok=True)
                while failed:
                    yield failed.pop()

    def _copy(self, planned: Planned, folder: Path, plain: dict[str, Path]) -> ListedClip:
        """Return the copy, made in `folder`. The clip itself is scored where it lies."""
        listed, source = planned.listed, planned.source
        if planned.damage == SOURCE:
            return replace(listed, path=source.path, sound=source.sound, start=source.start, end=source.end)
        if not keeps_picture(planned):
            path = folder / f"{listed.id}.mp4"
            write_copy(planned, path, self._how, self._attack)
            return replace(listed, path=path)
        if source.id not in plain:
            while plain:
                plain.popitem()[1].unlink(missing_ok=True)
            made = folder / "plain.mp4"
            write_copy(replace(planned, damage=NONE), made, self._how, None)
            plain[source.id] = made
        path = folder / SAME_PICTURE / f"{listed.id}.mp4"
        path.parent.mkdir(exist_ok=True)
        seconds = write_copy(planned, path, self._how, None, plain[source.id])
        damage = damage_of(planned)
        return part_of_copy(replace(listed, path=path), None if damage is None else damage.part, seconds)

    def usage(self) -> Usage:
        return self._scoring.usage()


def _told(error: Exception) -> tuple[Status, str]:
    if isinstance(error, ClipError):
        return error.status, error.reason
    return "error", f"{type(error).__name__}: {str(error)[:_TOLD]}"


def _failed(planned: Planned, status: Status, reason: str) -> Scored:
    about = identity_of(planned.listed) | {"sha256": None, "bytes": None, "changed": None}
    return Scored(Record(status=status, reason=reason, **about))


class Sources(Originals):
    """The clips themselves as the untouched videos of their copies. `by_id`: their files; parts of files have none."""

    def __init__(self, by_id: Mapping[str, Path]) -> None:
        self._by_id = dict(by_id)

    def source(self, clip: ListedClip) -> Path:
        path = self._by_id.get(clip.groups["source"])
        if path is None or not clip.files.whole:
            raise NoValueError("no original: it is a part of a file")
        return path

    of = source  # a copy is compared with its clip, whatever is heard


@dataclass(frozen=True)
class CopyMeasures(Measures):
    """Measures of damaged copies, which are compared with the clips.

    `asked`: the measures of the card. A copy whose damage one of them cannot see by definition is not measured by it.
    `clips`: the clips' files, by id; parts of files are left out.
    """

    asked: Sequence[Asked] = ()
    clips: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def originals(self) -> Originals | None:
        """The clips."""
        return Sources(self.clips)

    def watch(self, clip: ListedClip, device: str) -> ClipWatch:
        """Return what gets the frames and the sound of a copy."""
        damage = {**ORACLE, **NUISANCES}.get(clip.groups["damage"])
        blind = {
            one.further.name
            for one in self.asked
            if one.further is not None and damage is not None and one.blind_to(damage) is not None
        }
        seeing = [one for one in self.measures if one.name not in blind]
        return ClipWatch(seeing, clip, self.originals, self.helpers, device)


class RememberingSyncNet(FastSyncNet):
    """A network that remembers the embeddings of pictures: many copies of a clip have the same ones.

    The embedding of a window depends on nothing but the window, so this changes nothing but time.
    """

    def __init__(self, network: FastSyncNet) -> None:
        self.__dict__.update(network.__dict__)
        self._known: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def lip(self, windows: torch.Tensor) -> torch.Tensor:
        keys = [_digest(window) for window in windows]
        new = [place for place, key in enumerate(keys) if key not in self._known]
        if new:
            self._known.update(zip((keys[place] for place in new), super().lip(windows[new]), strict=True))
        for key in keys:
            self._known.move_to_end(key)
        embeddings = torch.stack([self._known[key] for key in keys])
        while len(self._known) > _MOST_WINDOWS:
            self._known.popitem(last=False)
        return embeddings


def _digest(window: torch.Tensor) -> bytes:
    return hashlib.sha1(window.permute(1, 2, 0).contiguous().numpy().data, usedforsecurity=False).digest()


def _remembering(load: Callable[[str], SyncScorer], device: str) -> SyncScorer:
    scorer = load(device)
    if scorer.device == "cpu":  # a card computes an embedding in less time than this looks for it
        scorer.network = RememberingSyncNet(scorer.network)
    return scorer


@dataclass(frozen=True)
class Remembered(Landmarks):
    """Landmarks that a process finds once in each of some files, and once in copies with the same picture.

    `source`: finds them. `files`: the files.
    """

    source: Landmarks
    files: frozenset[Path]
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.source.id)  # the points are the same

    def refuse_shared(self, clip: Path, original: Path) -> None:
        self.source.refuse_shared(clip, original)

    def follow(self, clip: Path, first: int = 0) -> Follower:
        same = clip.parent.name == SAME_PICTURE
        if not same and clip not in self.files:
            return self.source.follow(clip, first)
        key = f"{SAME_PICTURE}--{clip.stem.split('--', 1)[1]}" if same else str(clip)
        return _Again(_found(self.source, clip, key)[first:])


class _Again(Follower):
    def __init__(self, found: tuple[Points | None, ...]) -> None:
        self._found = iter(found)

    def find(self, frame: NDArray[np.uint8]) -> Points | None:
        return next(self._found, None)


_held: OrderedDict[tuple[str, str], tuple[Points | None, ...]] = OrderedDict()


def _found(source: Landmarks, clip: Path, key: str) -> tuple[Points | None, ...]:
    """Return the landmarks of all frames of a file. `key`: what files with the same picture share."""
    if (source.id, key) not in _held:
        follower = source.follow(clip)
        _held[source.id, key] = tuple(follower.find(frame) for frame in read_frames(probe(clip), FRAME_RATE))
        while len(_held) > _MOST_CLIPS:
            _held.popitem(last=False)
    return _held[source.id, key]
