"""Score changes under edits that should not matter.

Differences between methods below this level are not meaningful. Each clip is written again with one small change and
scored by the same scorer. The control `written again` is only re-encoded, as all changed clips are. The effect of a
change alone is therefore its row minus the control's row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.signal import resample_poly

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.listed import ListedClip
from lse_bench.media.audio import Sound, read_sound, samples_between
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.video import Frame, of_one_size, read_frames
from lse_bench.media.writer import VIDEO_QUALITY, write_clip
from lse_bench.rates import SAMPLES_PER_FRAME
from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import mean_with_interval
from lse_bench.runs.summary import members_of
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.open_clip import open_clip
from lse_bench.sync.scorer import SyncScorer

METRICS = ("lse_d", "lse_c", "offset")
_LATE = 3  # frames


def tighter(frame: Frame, share: float = 0.04) -> Frame:
    """Cut off `share` of the width and height on each side of a frame and scale the rest to the old size."""
    height, width = frame.shape[:2]
    y, x = round(height * share), round(width * share)
    cut = frame[y : height - y, x : width - x]
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def moved(frame: Frame, share: float = 0.03) -> Frame:
    """Move a frame to the right and down by `share` of its size. The edge pixels are repeated in the gap."""
    height, width = frame.shape[:2]
    shift = np.array([[1, 0, round(width * share)], [0, 1, round(height * share)]], dtype=np.float32)
    return np.asarray(cv2.warpAffine(frame, shift, (width, height), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


def louder(sound: Sound, decibels: float) -> Sound:
    """Apply a gain of `decibels` to int16 sound. Samples beyond 16 bits are clipped."""
    return np.asarray(np.clip(np.rint(sound * 10 ** (decibels / 20)), -32768, 32767), dtype=np.int16)


def through_8_khz(sound: Sound) -> Sound:
    """Resample 16 kHz sound to 8 kHz, the rate of a telephone, and back. The length stays the same."""
    halved = resample_poly(sound.astype(np.float64), 1, 2)
    back = resample_poly(halved, 2, 1)[: len(sound)]
    return np.asarray(np.clip(np.rint(back), -32768, 32767), dtype=np.int16)


def later(sound: Sound, frames: int = _LATE) -> Sound:
    """Delay the sound by `frames` frames of 40 ms. It begins with silence, and the end is cut off to the old length."""
    silence = np.zeros(frames * SAMPLES_PER_FRAME, np.int16)
    return np.concatenate([silence, sound])[: len(sound)]


def _same_frame(frame: Frame) -> Frame:
    return frame


def _same_sound(sound: Sound) -> Sound:
    return sound


@dataclass(frozen=True, slots=True)
class Change:
    """A small change to a clip.

    `frame`, `sound`: functions that change each frame and the whole sound. `quality`: x264's constant rate factor,
    lower is better. `crop`: the change moves the face in the frame. A face tracker undoes it, so tracked protocols skip
    it.
    """

    name: str
    frame: Callable[[Frame], Frame] = _same_frame
    sound: Callable[[Sound], Sound] = _same_sound
    quality: int = VIDEO_QUALITY
    crop: bool = False


CONTROL = Change("written again")
CHANGES = (
    CONTROL,
    Change("crop 4 % tighter", frame=tighter, crop=True),
    Change("crop moved by 3 %", frame=moved, crop=True),
    Change("re-encoded, crf 28", quality=28),
    Change("re-encoded, crf 35", quality=35),
    Change("sound 6 dB softer", sound=lambda sound: louder(sound, -6)),
    Change("sound 6 dB louder", sound=lambda sound: louder(sound, 6)),
    Change("sound through 8 kHz", sound=through_8_khz),
    Change(f"sound {_LATE} frames late", sound=later),
)


def robustness(
    scorer: SyncScorer, clips: Sequence[ListedClip], on_clip: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Score each clip and its changed copies and return the differences, as JSON content.

    `changes` holds for each change and metric the mean of changed minus original with its 95 % interval, the standard
    deviation over clips, and the change with the largest magnitude. `clips` is the number of clips with a score both
    before and after the control. `on_clip`: called with the name of each clip before it is scored. Raises UsageError if
    no clip can be scored.
    """
    values: dict[str, list[dict[str, float]]] = {}
    reasons: list[str] = []
    made_of: dict[str, list[Record]] = {}
    for clip in clips:
        on_clip(clip.clip)
        if clip.absent is not None:
            reasons.append(f"{clip.clip}: {clip.absent.reason}")
            continue
        try:
            original = scorer.score(clip.path, clip.sound, start=clip.start, end=clip.end)
        except ClipError as error:
            reasons.append(str(error))
            continue
        for change in CHANGES:
            if change.crop and scorer.tracking is not None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "changed.mp4"
                try:
                    _write(scorer, clip.files, path, change)
                    changed = scorer.score(path)
                except ClipError:
                    continue
            moves = {
                "lse_d": changed.lse_d - original.lse_d,
                "lse_c": changed.lse_c - original.lse_c,
                "offset": float(changed.offset - original.offset),
            }
            values.setdefault(change.name, []).append(moves)
            record = Record(clip=clip.clip, id=clip.id, status="ok", groups=clip.groups)
            made_of.setdefault(change.name, []).append(record)
    if not values:
        raise UsageError(f"none of {len(clips)} clips can be scored. {'; '.join(reasons[:3])}")
    rows = {name: _row(found, made_of[name]) for name, found in values.items()}
    return {"key": scorer.key, "clips": len(values.get(CONTROL.name, [])), "changes": rows}


def _row(found: Sequence[dict[str, float]], records: Sequence[Record]) -> dict[str, Any]:
    members = members_of(records)
    row: dict[str, Any] = {"n": len(found)}
    for metric in METRICS:
        moves = [one[metric] for one in found]
        estimate = mean_with_interval(moves, members)
        row[metric] = {
            "mean": estimate.mean,
            "ci95": estimate.ci95,
            "sd": float(np.std(moves, ddof=1)) if len(moves) > 1 else None,
            "largest": max(moves, key=abs),
        }
    return row


def _write(scorer: SyncScorer, files: ClipFiles, target: Path, change: Change) -> None:
    clip = open_clip(files, scorer.fps_policy, ClipFacts(), scorer.sound_stream)
    assert clip.sound is not None
    heard = samples_between(read_sound(clip.sound), clip.part.first_sample, clip.part.stop_sample)
    sound = change.sound(np.concatenate([np.zeros(0, np.int16), *heard]))
    frames = map(change.frame, of_one_size(clip.frames(read_frames(clip.picture, clip.rate))))
    write_clip(target, frames, sound, clip.rate, quality=change.quality)
