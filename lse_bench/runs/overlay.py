"""Copies of clips with the face tracks drawn in: bounding box, number, scores and running confidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import FpsPolicy
from lse_bench.media.audio import read_sound, samples_between
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.video import Frame, of_one_size, read_frames
from lse_bench.media.writer import write_clip
from lse_bench.rates import FPS
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.distance import running_confidence
from lse_bench.sync.open_clip import open_clip
from lse_bench.sync.syncnet import WINDOW_FRAMES
from lse_bench.sync.timeline import Timeline

if TYPE_CHECKING:
    from lse_bench.sync.batch import ClipOutcome

_COLOURS = ((80, 200, 80), (60, 160, 255), (255, 160, 60), (200, 80, 200), (80, 220, 220))  # BGR
_QUALITY, _PRESET = 23, "superfast"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A track to draw.

    `number`: -1 for a dropped track. `boxes`: (n, 4) bounding boxes in pixels, from frame `first` on. `confidence`:
    (n,) running confidence; None for a track that was not scored. `label`: the text below the box.
    """

    number: int
    first: int
    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64] | None
    label: str


def write_overlay(
    files: ClipFiles, outcome: ClipOutcome, path: Path, policy: FpsPolicy, sound_stream: str | None = None
) -> None:
    """Write a copy of a clip with its face tracks drawn in, with the frame rate, the sound and the part as scored.

    `outcome`: the scorer's result for the clip, with per-window distances. `policy`: the frame rate policy.
    `sound_stream`: the sound that was asked for, see `open_clip`.
    """
    clip = open_clip(files, policy, ClipFacts(), sound_stream)
    assert clip.sound is not None
    rate, part = clip.rate, clip.part
    tracks, line = list(_tracks_of(outcome)), _timeline_of(outcome)
    heard = [np.zeros(0, np.int16), *samples_between(read_sound(clip.sound), part.first_sample, part.stop_sample)]
    sound = np.concatenate(heard)
    pictures = clip.frames(read_frames(clip.picture, rate))
    frames = (_draw(frame, number, tracks, line) for number, frame in enumerate(pictures))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Browsers play 4:2:0 colour only, which needs an even width and height. The last line of an odd side is cut off.
    shown = (frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2] for frame in of_one_size(frames))
    write_clip(path, shown, sound, rate, quality=_QUALITY, preset=_PRESET)


def _tracks_of(outcome: ClipOutcome) -> Iterator[_Drawn]:
    scene = outcome.facts.scene
    if scene is None:
        return
    for number, track in enumerate(scene.tracks.kept):
        score = outcome.tracks.get(number)
        confidence = None
        label = f"{number}: not scored"
        if score is not None:
            assert score.per_window is not None
            values = running_confidence(score.per_window)
            # The value of a window is shown at its middle frame. Frames before the first middle frame and after the
            # last one show the nearest value.
            at = np.clip(np.arange(len(track)) - WINDOW_FRAMES // 2, 0, len(values) - 1)
            confidence = values[at]
            label = f"{number}: D {score.lse_d:.2f} C {score.lse_c:.2f} offset {score.offset:+d}"
        yield _Drawn(number, track.first, track.boxes, confidence, label)
    for track, _ in scene.tracks.dropped:
        yield _Drawn(-1, track.first, track.boxes, None, "dropped")


def _timeline_of(outcome: ClipOutcome) -> Timeline | None:
    """Return the timeline to draw: that of the clip's score."""
    return None if outcome.score is None else outcome.score.timeline


def _offset_at(line: Timeline, seconds: float) -> str:
    """Return the offset at a time, that of the piece whose middle is nearest."""
    piece = min(line.pieces, key=lambda one: abs(one.middle - seconds))
    if piece.offset_ms is None or piece.clear is False:
        return "offset unknown"
    return f"offset {piece.offset_ms:+.0f} ms" + ("" if piece.clear else " (not calibrated)")


def _draw(frame: Frame, number: int, tracks: list[_Drawn], offsets: Timeline | None) -> Frame:
    frame = frame.copy()
    scale = max(0.55, min(frame.shape[:2]) / 900)
    thick = max(1, round(2 * scale))
    if offsets is not None and offsets.pieces:
        _write(frame, _offset_at(offsets, number / FPS), (4, frame.shape[0] - 4), 0.8 * scale, (255, 255, 255), thick)
    for track in tracks:
        at = number - track.first
        if not 0 <= at < len(track.boxes):
            continue
        left, top, right, bottom = (int(value) for value in track.boxes[at])
        colour = _COLOURS[track.number % len(_COLOURS)] if track.number >= 0 else (128, 128, 128)
        cv2.rectangle(frame, (left, top), (right, bottom), colour, thick)
        lines = [track.label]
        if track.confidence is not None:
            lines.append(f"now {track.confidence[at]:.2f}")
        for line, text in enumerate(lines):
            below = bottom + int((line + 1) * 28 * scale)
            _write(frame, text, (left, below), 0.8 * scale, colour, thick)
    return frame


def _write(
    frame: Frame, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int], thick: int
) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    (wide, high), under = cv2.getTextSize(text, font, scale, thick)
    x = max(0, min(at[0], frame.shape[1] - wide))
    y = max(high, min(at[1], frame.shape[0] - under))
    cv2.rectangle(frame, (x, y - high), (x + wide, y + under), (0, 0, 0), cv2.FILLED)
    cv2.putText(frame, text, (x, y), font, scale, colour, thick, cv2.LINE_AA)
