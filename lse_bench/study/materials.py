"""Choose the pairs of a study and make their clips. A repeated call makes only what is missing."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.listed import ListedClip
from lse_bench.manifests.manifest import Job
from lse_bench.rates import FPS
from lse_bench.storage import Append, read_text
from lse_bench.study.clips import Shown, make_beeps, make_group, pad_alike, shift_of
from lse_bench.study.folder import CLIPS, Gold, Purpose, Secret, StudyClip, clip_path
from lse_bench.study.plan import MOVED, REAL, UNSYNCED
from lse_bench.study.sheet import Question
from lse_bench.weights.readers import file_digest

BEEPS = (3, 4, 5, 6, 7, 8)
_WAY_OUT = "A file of gold clips has the columns clip, question, value and tolerance"


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of the manifest with the files of every method.

    `source`, `sound`: the files of the pair. `outputs`: the clip of each method that was given as a folder.
    """

    job: Job
    source: Path
    sound: Path
    outputs: Mapping[str, ListedClip]


def candidates(
    jobs: Sequence[Job], root: Path, outputs: Mapping[str, Mapping[str, ListedClip]], seed: int
) -> list[Pair]:
    """Return pairs that every method has a video of, one for each source video, in a random order.

    `outputs`: the clips of each method by the id of the pair.
    """
    by_video: dict[str, list[Job]] = {}
    for job in jobs:
        if all(job.id in clips and clips[job.id].absent is None for clips in outputs.values()):
            by_video.setdefault(job.video, []).append(job)
    shuffled = random.Random(seed)  # noqa: S311 - a choice that can be repeated, not a secret
    videos = sorted(by_video)
    shuffled.shuffle(videos)
    chosen = [shuffled.choice(by_video[video]) for video in videos]
    return [
        Pair(job, root / job.video, root / job.sound, {name: clips[job.id] for name, clips in outputs.items()})
        for job in chosen
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    """A clip to make, as `StudyClip` describes it. `picture`, `heard`: its files; None for beeps."""

    purpose: Purpose
    item: str | None
    method: str
    picture: Path | None
    heard: Path | None

    def told(self) -> list[str]:
        """Return all that the clip depends on. A clip's name depends on its whole group, since a group is cut alike."""
        files = []
        for path in (self.picture, self.heard):
            about = None if path is None else path.stat()
            files += [str(path), *([] if about is None else [str(about.st_size), str(about.st_mtime_ns)])]
        return [self.purpose, self.item or "", self.method, *files]


class Maker:
    """Makes clips in the folder of a study, and records each.

    `made`: the clips of an earlier call, by name. `append`: records a clip. `longest`: seconds.
    """

    def __init__(
        self, folder: Path, secret: Secret, made: Mapping[str, StudyClip], append: Append, longest: float
    ) -> None:
        self._folder, self._secret, self._append, self._longest = folder, secret, append, longest
        self._made = dict(made)
        self.remarks: list[str] = []
        (folder / CLIPS).mkdir(parents=True, exist_ok=True)

    def trial(self, pair: Pair, anchors: Sequence[str]) -> list[StudyClip]:
        """Make the clips of a pair: of every method and anchor, the real one and the one with moved sound."""
        methods = dict.fromkeys([REAL, *anchors, *pair.outputs])
        wanted: list[tuple[Purpose, str]] = [("trial", name) for name in methods]
        return self._group(pair, [*wanted, ("desync", MOVED)])

    def example(self, pair: Pair) -> list[StudyClip]:
        """Make the two examples of the instructions."""
        return self._group(pair, [("example", REAL), ("example", MOVED)])

    def gold(self, path: Path, number: int) -> StudyClip:
        """Make a gold clip from a video."""
        return self._made_or([_Row("gold", None, f"{number} {path.name}", path, path)])[0]

    def beeps(self) -> list[StudyClip]:
        """Make the clips of the sound check, each with another number of beeps."""
        names = [self._secret.sign("beeps", str(count))[:16] for count in BEEPS]
        paths = [clip_path(self._folder, name) for name in names]
        if not all(name in self._made and path.is_file() for name, path in zip(names, paths, strict=True)):
            frames = [make_beeps(path, count) for path, count in zip(paths, BEEPS, strict=True)]
            pad_alike(paths)
            for name, path, count, length in zip(names, paths, BEEPS, frames, strict=True):
                self._record(name, path, _Row("sound", None, str(count), None, None), length)
        return [self._made[name] for name in names]

    def _group(self, pair: Pair, wanted: Sequence[tuple[Purpose, str]]) -> list[StudyClip]:
        return self._made_or([_Row(purpose, pair.job.id, method, *_files(pair, method)) for purpose, method in wanted])

    def _made_or(self, rows: Sequence[_Row]) -> list[StudyClip]:
        """Return the clips of a group, made unless all of them were made before."""
        whole = [part for row in rows for part in row.told()]
        names = [self._secret.sign(f"{self._longest:g}", *whole, *row.told())[:16] for row in rows]
        paths = [clip_path(self._folder, name) for name in names]
        if not all(name in self._made and path.is_file() for name, path in zip(names, paths, strict=True)):
            group = [
                Shown(row.picture or path, row.heard or path, path, row.method == MOVED)
                for row, path in zip(rows, paths, strict=True)
            ]
            try:
                frames, remarks = make_group(group, self._longest)
            except ClipError:
                for path in paths:
                    with suppress(OSError):
                        path.unlink(missing_ok=True)
                raise
            self.remarks += remarks
            for name, path, row in zip(names, paths, rows, strict=True):
                self._record(name, path, row, frames)
        return [self._made[name] for name in names]

    def _record(self, name: str, path: Path, row: _Row, frames: int) -> None:
        clip = StudyClip(
            name=name,
            purpose=row.purpose,
            item=row.item,
            method=row.method,
            sha256=file_digest(path),
            source_sha256=None if row.picture is None else file_digest(row.picture),
            frames=frames,
            seconds=frames / FPS,
            shift_seconds=shift_of(frames) if row.method == MOVED else 0.0,
        )
        self._made[name] = clip
        self._append(clip.model_dump(mode="json"))


def _files(pair: Pair, method: str) -> tuple[Path, Path]:
    """Return the picture and the sound of a method's clip."""
    if method in (REAL, MOVED):
        return pair.source, pair.source
    if method == UNSYNCED:
        return pair.source, pair.sound
    files = pair.outputs[method].files
    return files.path, files.heard


def make_trials(
    pairs: Sequence[Pair], count: int, anchors: Sequence[str], maker: Maker, made: Callable[[str | None], None]
) -> tuple[list[StudyClip], Pair, list[str]]:
    """Make the clips of the first `count` pairs that can be shown.

    `made`: called after each pair, with the reason if it cannot be shown. Return the clips, a pair for the examples and
    the ids of the shown pairs. Raises UsageError if too few pairs are left.
    """
    clips: list[StudyClip] = []
    items: list[str] = []
    spare: Pair | None = None
    shown: list[Pair] = []
    for pair in pairs:
        if len(items) == count:
            spare = pair
            break
        try:
            clips += maker.trial(pair, anchors)
        except (ClipError, OSError) as error:
            made(f"{pair.job.id}: left out: {error}")
            continue
        items.append(pair.job.id)
        shown.append(pair)
        made(None)
    if len(items) < count:
        raise UsageError(
            f"{len(items)} pairs can be shown, but --clips asks for {count}. A pair needs a source video of its own, "
            "and a video of every method"
        )
    return clips, spare or shown[-1], items


def read_gold(path: Path, questions: Sequence[Question]) -> dict[Path, list[tuple[str, float, float]]]:
    """Read gold clips: for each file the question, the known answer and the tolerance.

    Raises UsageError that names the row.
    """
    known = {question.id: question for question in questions}
    found: dict[Path, list[tuple[str, float, float]]] = {}
    rows = csv.DictReader(io.StringIO(read_text(path)))
    for row in rows:
        where = f"{path}: row {rows.line_num}"
        missing = next((name for name in ("clip", "question", "value", "tolerance") if not row.get(name)), None)
        if missing is not None:
            raise UsageError(f"{where}: no {missing}. {_WAY_OUT}")
        if row["question"] not in known:
            raise UsageError(f"{where}: no question {row['question']}; there are: {', '.join(known)}")
        try:
            value, tolerance = float(row["value"]), float(row["tolerance"])
        except ValueError:
            raise UsageError(f"{where}: value and tolerance are numbers. {_WAY_OUT}") from None
        points = known[row["question"]].points
        if not (1 <= value <= points and 0 <= tolerance < points):
            raise UsageError(f"{where}: the value is 1 to {points}, the tolerance 0 or more and below {points}")
        file = path.parent / row["clip"]
        if not file.is_file():
            raise UsageError(f"{where}: {file}: no such file")
        if any(question == row["question"] for question, _, _ in found.get(file, [])):
            raise UsageError(f"{where}: a second answer to {row['question']} on {row['clip']}. Keep one of them")
        found.setdefault(file, []).append((row["question"], value, tolerance))
    if not found:
        raise UsageError(f"{path}: no gold clips. {_WAY_OUT}")
    return found


def make_gold(known: Mapping[Path, list[tuple[str, float, float]]], maker: Maker) -> tuple[list[StudyClip], list[Gold]]:
    """Make gold clips, and return them with their known answers. Raises ClipError."""
    clips, answers = [], []
    for number, (path, questions) in enumerate(known.items()):
        clip = maker.gold(path, number)
        clips.append(clip)
        answers += [Gold(clip=clip.name, question=q, value=v, tolerance=t) for q, v, t in questions]
    return clips, answers
