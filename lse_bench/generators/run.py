"""Generation runs: a manifest and a generator into a folder of videos, resumable, with a row for every job.

The folder holds `generation.json` (with what, counts), `manifest.json`, `generation.jsonl` (a row per job) and
`ID.mp4`; `lse-bench score` takes it as it is.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from lse_bench.errors import ClipError, LseBenchError, UsageError
from lse_bench.generators.boxes import Located, Locating
from lse_bench.generators.interface import (
    FPS,
    FaceCrop,
    FaceGenerator,
    Generator,
    Job,
    Options,
    VideoGenerator,
    sound_of,
)
from lse_bench.generators.paste import Paste, cut, paste
from lse_bench.generators.source import Short, Source, in_step
from lse_bench.generators.videos import failed, made, make_video, refuse_out_of_memory
from lse_bench.lines import json_bytes, open_lines, write_atomically
from lse_bench.manifests.generation import GENERATION_FILE, MANIFEST_FILE, ROWS_FILE, Row, read_rows, video_path
from lse_bench.manifests.listed import safe_id
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.manifests.manifest import Manifest, checked, write_manifest
from lse_bench.media.audio import Sound
from lse_bench.media.writer import AUDIO_BIT_RATE, AUDIO_CODEC, VIDEO_CODEC, VIDEO_PRESET, VIDEO_QUALITY, ClipWriter
from lse_bench.versions import joined, surroundings

SCHEMA = 1
NanSound = Literal["skip", "noise"]
NAN_SOUNDS: tuple[NanSound, ...] = get_args(NanSound)
_AT_ONCE = 32  # jobs of one source that are worked on together: each has an encoder

OnRow = Callable[[Row], None]
OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Policies:
    """What is done where the published scripts drop or fail.

    `spare`: frames by which a source may be shorter than the sound and not be called short; compressed sound is padded
    by up to two. `nan_sound`: `skip`, or `noise` of one bit in digital silence, whose logarithm some features take.
    """

    short: Short = "skip"
    spare: int = 2
    paste: Paste = "overwrite"
    nan_sound: NanSound = "skip"


@dataclass(frozen=True, slots=True)
class Call:
    """A generation as asked for.

    `weights_sha256`: of the generator's checkpoint; `options`: what it was made with; `package`: which brings it, with
    its version; `asked_sha256`: of the manifest that was asked for, where `jobs_for` made another of it; `command`: for
    the record.
    """

    generator: Generator
    manifest: Manifest
    root: Path
    out: Path
    locating: Locating | None
    policies: Policies
    weights_sha256: str | None = None
    options: Options = field(default_factory=Options)
    package: str = "lse-bench"
    seed: int = 0
    asked_sha256: str | None = None
    command: Sequence[str] = ()

    @property
    def key(self) -> dict[str, Any]:
        """Everything that moves a pixel; a folder goes on only with the same."""
        detector = None if self.locating is None else self.locating.detector
        found: dict[str, Any] = {
            "generator": self.generator.name,
            "package": self.package,
            "weights_sha256": self.weights_sha256,
            "settings": dict(self.options.settings),
            "legacy": self.options.legacy,
            "sound_offset": self.options.sound_offset,
            "description": self.generator.description(),
            "root": str(self.root.absolute()),
            "manifest_sha256": self.manifest.sha256,
            "seed": self.seed,
            "encoder": f"{VIDEO_CODEC} crf {VIDEO_QUALITY} {VIDEO_PRESET}, {AUDIO_CODEC} {AUDIO_BIT_RATE}",
            "fps": FPS,
        }
        if self.locating is not None and detector is not None:
            found |= {
                "detector": detector.id,
                "detector_sha256": detector.weights_sha256,
                "pads": list(self.locating.pads),
                "smoothing": self.locating.smoothing,
                "face": self.locating.choice,
                "faceless": self.locating.faceless,
                "short": self.policies.short,
                "spare": self.policies.spare,
                "paste": self.policies.paste,
                "nan_sound": self.policies.nan_sound,
            }
        return found


def jobs_for(generator: Generator, manifest: Manifest) -> Manifest:
    """The manifest as this generator has it: one row per distinct source video where the sound is not used."""
    if not (isinstance(generator, VideoGenerator) and generator.once_per_video):
        return manifest
    firsts = {job.video: job for job in reversed(manifest.jobs)}  # the first job of each source stands for it
    names = Counter(job.groups.get("video") for job in firsts.values())
    pairs = []
    for job in manifest.jobs:
        if firsts.get(job.video) is not job:
            continue
        name = job.groups.get("video")
        if name is None or names[name] > 1:  # a recording of which several clips are used
            name = Path(job.video).with_suffix("").as_posix()
        groups = {key: value for key, value in job.groups.items() if key != "sound"}
        pairs.append(checked(Pair, id=safe_id(name), video=job.video, sound=job.video, groups=groups))
    return checked(Manifest, **manifest.model_dump(by_alias=True) | {"jobs": tuple(pairs), "sha256": ""})


def generate_run(
    call: Call, on_row: OnRow = lambda row: None, on_step: OnStep = lambda text: None, *, retry_failed: bool = False
) -> dict[str, Any]:
    """Make the videos of `call` and return the content of generation.json; goes on where an earlier call stopped.

    `on_row` is called with every row, those found there included. Raises UsageError when the folder holds a generation
    of something else, and names what differs.
    """
    _prepare(call)
    decodes = 0

    def still_counts(line: bytes) -> bool:
        """Whether a row of an earlier call stands: its video is there, or it failed and is not to be tried again."""
        row = Row.model_validate_json(line)
        return video_path(call.out, row.id).exists() if row.status == "ok" else not retry_failed

    with open_lines(call.out / ROWS_FILE, still_counts) as append:
        done = {row.id: row for row in read_rows(call.out)}
        for row in done.values():
            on_row(row)

        def finish(row: Row) -> None:
            append(row.model_dump())
            on_row(row)

        rest = [pair for pair in call.manifest.jobs if pair.id not in done]
        for pairs in _by_video(rest):
            on_step(pairs[0].video)
            if isinstance(call.generator, FaceGenerator):
                decodes += _Faces(call, pairs, finish).run()
                continue
            for pair in pairs:
                # What a program leaves behind may not be ours to delete.
                with tempfile.TemporaryDirectory(
                    prefix=".scratch-", dir=call.out, ignore_cleanup_errors=True
                ) as scratch:
                    finish(_make_video(call, pair, Path(scratch)))
    return _write_description(call, read_rows(call.out), decodes)


def _by_video(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Jobs that share a source, a bounded number of them at a time, in the order of the list."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.video, []).append(pair)
    for group in groups.values():
        for start in range(0, len(group), _AT_ONCE):
            yield group[start : start + _AT_ONCE]


class _Faces:
    """The jobs of one source through a face generator, in step."""

    def __init__(self, call: Call, pairs: Sequence[Pair], finish: OnRow) -> None:
        assert isinstance(call.generator, FaceGenerator) and call.locating is not None
        self._call, self._generator, self._locating = call, call.generator, call.locating
        self._pairs, self._finish = pairs, finish
        self._rows: dict[int, Row] = {}

    def run(self) -> int:
        """Finish every job; returns how often the source was decoded."""
        path = self._call.root / self._pairs[0].video
        try:
            source = Source(path, self._locating, self._call.policies.short, len(self._pairs))
        except ClipError as error:
            for pair in self._pairs:
                self._finish(failed(pair.id, error.status, error.reason))
            return 0
        in_step(
            [self._work(source, number, pair) for number, pair in enumerate(self._pairs)],
            lambda number: self._finish(self._rows[number]),
        )
        return source.decodes

    def _work(self, source: Source, number: int, pair: Pair) -> Iterator[None]:
        try:
            yield from self._draw(source, number, pair)
        except ClipError as error:
            self._rows[number] = failed(pair.id, error.status, error.reason)
        except LseBenchError:
            raise
        except Exception as error:  # noqa: BLE001 - a third party's generator can raise anything
            refuse_out_of_memory(error)
            self._rows[number] = failed(pair.id, "generator_failed", f"{type(error).__name__}: {error}")
        finally:
            source.drop(number)

    def _draw(self, source: Source, number: int, pair: Pair) -> Iterator[None]:
        policies, warnings = self._call.policies, list[str]()
        sound = _readable_sound(self._call.root / pair.sound)
        heard = sound
        if policies.nan_sound == "noise":
            heard, changed = _with_noise(sound, self._call.seed)
            if changed:
                warnings.append(f"{changed} silent samples got noise of one bit")
        needed = self._generator.frames_for(len(heard))
        if needed < 1:
            raise ClipError(pair.sound, "too_short", f"a sound of {len(sound) / 16000:.2f} s gives no frame")
        if policies.short == "skip" and source.expected + policies.spare < needed:
            raise _short(source.path, source.expected, needed)
        held: deque[Located] = deque()

        passed, ended = 0, False

        def faces() -> Iterator[FaceCrop]:
            nonlocal ended
            read = 0
            for located in islice(source.read(number), needed):
                held.append(located)
                read += 1
                yield cut(located, self._generator.margin)
            ended = read + policies.spare < needed  # the source has no more, and more was asked for

        target = video_path(self._call.out, pair.id)
        with ClipWriter(target, sound, FPS) as writer:
            for answer in self._generator.generate(faces(), heard, self._call.seed):
                located = held.popleft()
                passed += not located.seen
                writer.push(paste(located.frame, answer, policies.paste) if located.seen else located.frame)
                yield
            if not writer.frames:
                raise ClipError(target, "empty_output", "the generator gave no frame")
            if ended:
                raise _short(source.path, writer.frames, needed)
        if passed:
            warnings.append(f"{passed} of {writer.frames} frames have no face and were passed through")
        if writer.frames + policies.spare < needed:
            warnings.append(f"{writer.frames} frames were made, the sound asks for {needed}")
        if policies.short != "skip" and needed > source.expected:
            warnings.append(f"{policies.short}: the source has {source.expected} frames, the sound asks for {needed}")
        self._rows[number] = made(pair.id, target, writer.frames, warnings)


def _make_video(call: Call, pair: Pair, scratch: Path) -> Row:
    assert isinstance(call.generator, VideoGenerator)
    root = call.root.absolute()
    job = Job(pair.id, root / pair.video, root / pair.sound, scratch, call.seed, pair.groups)
    return make_video(call.generator, job, video_path(call.out, pair.id))


def _readable_sound(path: Path) -> Sound:
    try:
        return sound_of(path)
    except ClipError as error:
        raise ClipError(path, error.status, f"the sound {path.name}: {error.reason}") from None


def _with_noise(sound: Sound, seed: int) -> tuple[Sound, int]:
    """One bit of noise where samples are zero."""
    silent = np.flatnonzero(sound == 0)
    noise = np.random.Generator(np.random.PCG64(seed)).choice(np.array([-1, 1], np.int16), len(silent))
    changed = sound.copy()
    changed[silent] = noise
    return changed, len(silent)


def _short(path: Path, frames: int, needed: int) -> ClipError:
    return ClipError(
        path,
        "generator_failed",
        f"short source: {path.name} has {frames} frames, the sound asks for {needed}. --short loop or ping-pong "
        "makes them go on",
    )


def _prepare(call: Call) -> None:
    """Write generation.json and manifest.json, or check that those there are of the same generation."""
    path = call.out / GENERATION_FILE
    try:
        ours = json.loads(json.dumps(call.key))
    except TypeError as error:
        raise UsageError(
            f"the generator {call.generator.name} of {call.package} describes itself by what is no JSON: {error}"
        ) from None
    if path.exists():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))["key"]
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{path}: damaged; choose another --out") from None
        for name in sorted(set(there) | set(ours)):
            if there.get(name) != ours.get(name):
                raise UsageError(
                    f"{call.out}: holds a generation with another {name} ({there.get(name)}, now {ours.get(name)}); "
                    "choose another --out"
                )
        return
    there = [] if not call.out.is_dir() else [item.name for item in call.out.iterdir()]
    if call.out.exists() and (not call.out.is_dir() or set(there) - {MANIFEST_FILE}):  # left by a kill between the two
        raise UsageError(f"{call.out}: already holds something; choose a new folder")
    call.out.mkdir(parents=True, exist_ok=True)
    write_manifest(call.manifest, call.out / MANIFEST_FILE)
    _write_description(call, [], 0)


def _write_description(call: Call, rows: Sequence[Row], decodes: int) -> dict[str, Any]:
    lost = [row for row in rows if row.status != "ok"]
    path = call.out / GENERATION_FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    content = {
        "schema": SCHEMA,
        "kind": "generation",
        "generator": call.generator.name,
        "key": call.key,
        "manifest": {
            "name": call.manifest.name,
            "corpus": call.manifest.corpus,
            "sha256": call.manifest.sha256,
            "asked_sha256": call.asked_sha256 or call.manifest.sha256,
        },
        "listed": len(call.manifest.jobs),
        "made": len(rows) - len(lost),
        "failed": dict(Counter(row.status for row in lost)),
        "reasons": dict(Counter((row.reason or "").split(":")[0] for row in lost)),
        "warnings": sum(bool(row.warnings) for row in rows),
        "videos": len({job.video for job in call.manifest.jobs}),
        "decodes": (before["decodes"] if before else 0) + decodes,
        **joined(before, surroundings()),
        "command": list(call.command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomically(path, json_bytes(content))
    return content
