"""Creation of a MiniLRS corpus, in parallel and resumable.

Each clip depends only on the specification and the clip's number. The corpus folder has the layout of the real corpus.
Its folder `minilrs/` holds `corpus.json` (specification, counts and digests), `clips.jsonl` (one line for each finished
clip) and `truth/`. For each clip, `truth/` has an .npz file with bounding boxes, landmarks, lip parameters, head poses,
phonemes and words.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.manifests.layouts import PICTURE_SIZE
from lse_bench.media.audio import Sound
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.plan import ClipPlan, Speaker, Spec, plan_clips, speaker_of, stream
from lse_bench.minilrs.render import Head, Truth
from lse_bench.minilrs.scene import draw_scene
from lse_bench.minilrs.speech import Timed, Utterance, speak
from lse_bench.minilrs.summary import FOLDER, SCHEMA, WAY_OUT, CorpusSummary, summary_path
from lse_bench.minilrs.text import around_word, speech_of
from lse_bench.minilrs.truth import truth_path, write_truth
from lse_bench.minilrs.visemes import lip_track
from lse_bench.processor import usable_cores
from lse_bench.rates import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from lse_bench.storage import read_bytes, read_object, refuse_another
from lse_bench.stored import read_stored, write_stored
from lse_bench.versions import joined, surroundings
from lse_bench.weights.readers import file_digest
from lse_bench.workers import worker_pool

_SPOKEN = 1.35  # words spoken per word needed, so that a clip is cut from running speech
_PRESET = "superfast"
_CONVERSION = Interpolation.BILINEAR  # less exact than the current default of `write_clip`, but part of plan.VERSION 1
OnClip = Callable[["Made"], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A finished clip.

    `path`: relative to the corpus. `content`: the SHA-256 of the uncompressed pixels, the samples, the transcript and
    the numbers of the truth. `file`: the SHA-256 of the mp4, which also depends on the version of FFmpeg.
    """

    id: str
    path: str
    split: str
    speaker: int
    frames: int
    side_view: bool
    content: str
    file: str


def make_corpus(
    spec: Spec, out: Path, workers: int | None = None, on_clip: OnClip = lambda made: None
) -> CorpusSummary:
    """Make the corpus in `out`, or continue an earlier call, and return its summary, which `corpus.json` holds.

    `workers`: the number of processes; None uses one for each usable core. It does not change the corpus. `on_clip`:
    called with each clip, including clips of an earlier call. Raises UsageError if `out` holds another corpus or other
    files. Raises LseBenchError if a worker is killed or espeak-ng fails.
    """
    plans = plan_clips(spec)
    done = _open(spec, out)
    made = {item.id: item for item in done.values() if _intact(out, item)}
    for item in made.values():
        on_clip(item)
    rest = [plan for plan in plans if plan.id not in made]
    with (out / FOLDER / "clips.jsonl").open("w", encoding="utf-8") as record:
        for item in made.values():
            record.write(json.dumps(asdict(item)) + "\n")
        record.flush()
        for item in _make_all(spec, rest, out, workers or usable_cores()):
            made[item.id] = item
            record.write(json.dumps(asdict(item)) + "\n")
            record.flush()
            on_clip(item)
    return _finish(spec, out, [made[plan.id] for plan in plans])


def _make_all(spec: Spec, plans: list[ClipPlan], out: Path, workers: int) -> Iterator[Made]:
    if workers == 1 or len(plans) < 2:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            for plan in plans:
                yield make_clip(spec, plan, out)
        finally:
            cv2.setNumThreads(before)
        return
    # Workers are processes; threads inside them would only compete for the cores.
    try:
        with worker_pool(workers, cv2.setNumThreads, 1) as pool:
            for future in as_completed([pool.submit(make_clip, spec, plan, out) for plan in plans]):
                yield future.result()
    except BrokenProcessPool:
        raise LseBenchError(
            f"{out}: a worker process was killed, perhaps because memory ran out. Run the same command again to "
            "continue; --workers 1 needs the least memory"
        ) from None


def make_clip(spec: Spec, plan: ClipPlan, out: Path) -> Made:
    """Make one clip with its video, transcript and truth file."""
    rng = stream(spec, plan.speaker, plan.clip)
    speaker = _speaker(spec, plan.speaker)
    utterance, start = _utter(rng, plan, speaker)
    sound = _recorded(rng, utterance.sound, start, plan.frames)
    lips = lip_track(utterance.phonemes, plan.frames, start)
    scene = draw_scene(rng, spec.style, plan.frames)
    head = _head(spec, plan.speaker)
    digest = hashlib.sha256()
    truths: list[Truth] = []

    def frames() -> Iterator[NDArray[Any]]:
        for frame, truth in head.clip(scene, lips, rng):
            digest.update(frame.tobytes())
            truths.append(truth)
            yield frame

    path = out / plan.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, frames(), sound, FPS, quality=scene.quality, preset=_PRESET, conversion=_CONVERSION)
    words = _within(utterance.words, start, plan.frames)
    transcript = _transcript(plan, spec, words)
    path.with_suffix(".txt").write_text(transcript, encoding="utf-8")
    digest.update(sound.tobytes())
    digest.update(transcript.encode())
    phonemes = _within(utterance.phonemes, start, plan.frames)
    poses = np.array([(pose.yaw, pose.pitch, pose.roll) for pose in scene.poses], np.float32)
    digest.update(write_truth(truth_path(path, out), truths, lips, poses, phonemes, words))
    return Made(
        id=plan.id,
        path=plan.path.as_posix(),
        split=plan.split,
        speaker=plan.speaker,
        frames=plan.frames,
        side_view=scene.side_view,
        content=digest.hexdigest(),
        file=file_digest(path),
    )


@lru_cache(maxsize=4)
def _speaker(spec: Spec, number: int) -> Speaker:
    return speaker_of(spec, number)


@lru_cache(maxsize=4)
def _head(spec: Spec, number: int) -> Head:
    return Head(_speaker(spec, number).face, PICTURE_SIZE[spec.flavour])


def _utter(rng: np.random.Generator, plan: ClipPlan, speaker: Speaker) -> tuple[Utterance, float]:
    """Return the speech, and the time in it at which the clip begins, in seconds."""
    seconds = plan.frames / FPS
    seed = int(rng.integers(2**31))
    if plan.word is not None:
        each_side = max(3, int(seconds * speaker.voice.rate / 60))
        text, position = around_word(rng, plan.word.lower(), each_side)
        utterance = speak(text, speaker.voice, seed)
        word = utterance.words[min(position, len(utterance.words) - 1)]
        return utterance, (word.start + word.end) / 2 - seconds / 2
    needed = int(seconds * speaker.voice.rate / 60 * _SPOKEN) + 2
    utterance = speak(speech_of(rng, needed), speaker.voice, seed)
    slack = len(utterance.sound) / SAMPLE_RATE - seconds
    return utterance, float(rng.uniform(-0.15, max(-0.1, slack)))


def _recorded(rng: np.random.Generator, speech: Sound, start: float, frames: int) -> Sound:
    """Return the clip's samples: a piece of the speech at a random level, with room noise.

    `start`: the time of the first sample in `speech`, seconds; it may be negative.
    """
    count = frames * SAMPLES_PER_FRAME
    first = round(start * SAMPLE_RATE)
    piece = np.zeros(count)
    low, high = max(0, first), min(len(speech), first + count)
    if high > low:
        piece[low - first : high - first] = speech[low:high]
    level = np.sqrt(np.mean(speech.astype(np.float64) ** 2)) or 1.0
    loud = rng.uniform(800, 4500)
    noise = rng.standard_normal(count + 1)
    dull = rng.uniform(0, 0.9)  # 0: white; towards 1: low rumble
    coloured = noise[1:] + dull * noise[:-1]
    noise_level = loud * 10 ** (-rng.uniform(18, 45) / 20) / np.sqrt(1 + dull**2)
    samples: Sound = np.clip(np.rint(piece * loud / level + coloured * noise_level), -32768, 32767).astype(np.int16)
    return samples


def _within(timed: tuple[Timed, ...], start: float, frames: int) -> list[Timed]:
    """Return the items whose middle is in the clip, with times relative to the clip. Pauses are left out."""
    end = start + frames / FPS
    inside = [item for item in timed if item.name and start <= (item.start + item.end) / 2 < end]
    return [Timed(item.name, max(0.0, item.start - start), min(item.end, end) - start) for item in inside]


def _transcript(plan: ClipPlan, spec: Spec, words: list[Timed]) -> str:
    """Return the text of the .txt file in the format of the real corpus."""
    if plan.word is not None:
        middle = plan.frames / FPS / 2
        spoken = min(words, key=lambda word: abs((word.start + word.end) / 2 - middle))
        return f"Disk reference: MiniLRS {spec.seed}\nDuration: {spoken.end - spoken.start:.2f} seconds\n"
    text = " ".join(word.name.upper() for word in words)
    lines = [f"Text:  {text}", "Conf:  5"]
    if spec.flavour == "lrs3":
        timed = [f"{word.name.upper()} {word.start:.2f} {word.end:.2f} 5.0" for word in words]
        lines += ["", "WORD START END ASDSCORE", *timed]
    return "\n".join(lines) + "\n"


def _open(spec: Spec, out: Path) -> dict[str, Made]:
    """Return the clips that an earlier call finished, by id. Without an earlier call, write `corpus.json`.

    Raises UsageError if `out` holds another corpus or other files, is damaged, or cannot be written.
    """
    about = summary_path(out)
    if about.exists():
        there = read_stored(about, CorpusSummary, WAY_OUT).spec
        refuse_another(out, "a corpus", there, spec.as_json())
        record = out / FOLDER / "clips.jsonl"
        lines = read_bytes(record).decode("utf-8", errors="replace").split("\n") if record.exists() else []
        found = (_parse(line) for line in lines)
        return {made.id: made for made in found if made is not None}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: already holds something else; --out must name a new or empty folder")
    try:
        about.parent.mkdir(parents=True, exist_ok=True)
        write_stored(
            about, CorpusSummary(schema_version=SCHEMA, spec=spec.as_json(), **surroundings("espeakng-loader"))
        )
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from None
    return {}


def _parse(line: str) -> Made | None:
    """Read a line of `clips.jsonl`. Return None if it is damaged or half written; its clip is then made again."""
    try:
        return Made(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None


def _intact(out: Path, made: Made) -> bool:
    path = out / made.path
    beside = path.with_suffix(".txt").is_file() and truth_path(path, out).is_file()
    return beside and path.is_file() and file_digest(path) == made.file


def _finish(spec: Spec, out: Path, made: list[Made]) -> CorpusSummary:
    if spec.flavour == "lrs2":
        for split in ("train", "val", "test"):
            lines = [item.id + (_tag(item) if split == "test" else "") for item in made if item.split == split]
            (out / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    there = read_object(summary_path(out), WAY_OUT)
    summary = CorpusSummary(
        schema_version=SCHEMA,
        spec=spec.as_json(),
        clips=len(made),
        frames=sum(item.frames for item in made),
        splits=dict(Counter(item.split for item in made)),
        digest=_joint_digest([(item.id, item.content) for item in made]),
        files_digest=_joint_digest([(item.id, item.file) for item in made]),
        **joined(there, surroundings("espeakng-loader")),
    )
    write_stored(summary_path(out), summary)
    return summary


def _tag(made: Made) -> str:
    """Return the tag of an id in LRS2's test list: `NF` for a near-frontal view, `MV` for a side view."""
    return " MV" if made.side_view else " NF"


def _joint_digest(parts: list[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in sorted(parts)).encode()).hexdigest()
