"""Clips decoded once into a folder of arrays. A window is read without reading the rest.

`frames.u8` holds the frames of all clips, resized to squares of one size, BGR uint8. `mfcc.npy` holds all MFCC columns
(13, columns), float32. `lips.npy` holds the lip parameters of all frames, float32, if the corpus provides them
(MiniLRS). `clips.json` holds the start of each clip. The arrays are memory-mapped, so the system's cache manages the
memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import ClipError, UsageError
from lse_bench.features.syncnet_mfcc import COEFFICIENTS, mfcc
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.truth import truth_path
from lse_bench.rates import FPS, FRAME_RATE, SAMPLE_RATE
from lse_bench.storage import read_arrays, read_object, write_atomically
from lse_bench.sync.clip_facts import SPARE
from lse_bench.sync.syncnet import WINDOW_COLUMNS, WINDOW_FRAMES
from lse_bench.sync.windows import COLUMNS_PER_FRAME

OnClip = Callable[[str], None]


_WAY_OUT = "Delete this file; it is then made again"


@dataclass(frozen=True, slots=True)
class StoredClip:
    """The place of a clip in the arrays: its first frame, its first MFCC column, and how many it has of each."""

    id: str
    first_frame: int
    first_column: int
    frames: int
    columns: int

    @property
    def windows(self) -> int:
        """The number of windows: min(frames, samples // 640) - 5, as in scoring."""
        heard = (self.columns - WINDOW_COLUMNS) // COLUMNS_PER_FRAME + 1
        return max(0, min(self.frames - SPARE, heard))


class ClipStore:
    """A reader of the windows of stored clips. Raises UsageError if `clips.json` is damaged."""

    def __init__(self, folder: Path) -> None:
        about = read_object(folder / "clips.json", _WAY_OUT)
        self.clips = [StoredClip(**clip) for clip in about["clips"]]
        self.size: int = about["size"]
        self.failed: dict[str, str] = about["failed"]
        frames = self.clips[-1].first_frame + self.clips[-1].frames
        self._frames = np.memmap(folder / "frames.u8", np.uint8, "r", shape=(frames, self.size, self.size, 3))
        self._mfcc = np.load(folder / "mfcc.npy", mmap_mode="r")
        self._lips = np.load(folder / "lips.npy", mmap_mode="r") if (folder / "lips.npy").exists() else None

    def frames(self, clip: StoredClip, window: int, count: int = 1) -> NDArray[np.uint8]:
        """Return the BGR frames (count + 4, size, size, 3) of `count` windows, starting with `window`."""
        start = clip.first_frame + window
        return np.asarray(self._frames[start : start + count + WINDOW_FRAMES - 1])

    def mfcc(self, clip: StoredClip, window: int) -> NDArray[np.float32]:
        """Return the MFCC (13, 20) of one window."""
        start = clip.first_column + COLUMNS_PER_FRAME * window
        return np.asarray(self._mfcc[:, start : start + WINDOW_COLUMNS])

    def lips(self, clip: StoredClip, window: int) -> NDArray[np.float32] | None:
        """Return the lip parameters (5, 7) of one window, or None if the corpus does not provide them."""
        start = clip.first_frame + window
        return None if self._lips is None else np.asarray(self._lips[start : start + WINDOW_FRAMES])


def store_clips(
    clips: Sequence[CorpusClip], folder: Path, size: int, root: Path, on_clip: OnClip = lambda id: None
) -> ClipStore:
    """Decode `clips` of the corpus in `root` into `folder`, or open `folder` if it holds the same clips already.

    `size`: the side of the stored frames, pixels. `on_clip`: called with the id of each finished clip. A clip that
    cannot be read or is too short for a window is left out and listed under `failed`. Raises UsageError if no clip
    remains.
    """
    wanted = {"ids": [clip.id for clip in clips], "sizes": [clip.path.stat().st_size for clip in clips], "size": size}
    about = folder / "clips.json"
    if about.exists() and read_object(about, _WAY_OUT).get("of") == wanted:
        return ClipStore(folder)
    about.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    stored: list[StoredClip] = []
    failed: dict[str, str] = {}
    columns: list[NDArray[np.float32]] = []
    lips: list[NDArray[np.float32]] = []
    frame_count = column_count = 0
    with (folder / "frames.u8").open("wb") as file:
        for clip in clips:
            try:
                pictures, heard = _decode(clip.path, size)
            except ClipError as error:
                failed[clip.id] = f"{error.status}: {error.reason}"
                on_clip(clip.id)
                continue
            file.write(pictures.tobytes())
            columns.append(heard)
            sidecar = truth_path(clip.path, root)
            if sidecar.exists():
                lips.append(read_arrays(sidecar, "Make the corpus again in a new folder")["lips"][: len(pictures)])
            stored.append(StoredClip(clip.id, frame_count, column_count, len(pictures), heard.shape[1]))
            frame_count += len(pictures)
            column_count += heard.shape[1]
            on_clip(clip.id)
    if not stored:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:3])
        raise UsageError(f"none of {len(clips)} clips can be trained on: {reasons or 'the split is empty'}")
    np.save(folder / "mfcc.npy", np.concatenate(columns, axis=1))
    (folder / "lips.npy").unlink(missing_ok=True)
    if sum(len(track) for track in lips) == frame_count:
        np.save(folder / "lips.npy", np.concatenate(lips))
    content: dict[str, Any] = {
        "of": wanted,
        "size": size,
        "failed": failed,
        "clips": [{name: getattr(clip, name) for name in StoredClip.__slots__} for clip in stored],
    }
    write_atomically(about, json.dumps(content).encode())
    return ClipStore(folder)


def _decode(path: Path, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    info = probe(path)
    if info.video is None or info.sound is None:
        missing = "video" if info.video is None else "audio"
        raise ClipError(path, "no_video" if info.video is None else "no_audio", f"no {missing} stream")
    pictures = [_reduced(frame, size) for frame in read_frames(info, FRAME_RATE)]
    sound = np.concatenate(list(read_sound(info)))
    features = mfcc(sound).astype(np.float32)
    heard = len(sound) * FPS // SAMPLE_RATE
    if min(len(pictures), heard) <= SPARE:
        raise ClipError(path, "too_short", f"{len(pictures)} frames, {heard} frames of sound; {SPARE + 1} are needed")
    assert features.shape[0] == COEFFICIENTS
    return np.stack(pictures), features


def _reduced(frame: NDArray[Any], size: int) -> NDArray[Any]:
    reduced: NDArray[Any] = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    return reduced
