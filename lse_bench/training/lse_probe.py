"""Validation of face generators during training: LSE of whole generated clips, and sample pictures.

The scorer is a SyncNet. The scores are for comparison within a run; they follow no published protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.features.syncnet_mfcc import mfcc
from lse_bench.sync.clip_facts import windows_of
from lse_bench.sync.distance import LseScore
from lse_bench.sync.quality import lse
from lse_bench.sync.syncnet import FRAME_SIZE, WINDOW_COLUMNS, WINDOW_FRAMES, SyncNet
from lse_bench.sync.windows import COLUMNS_PER_FRAME
from lse_bench.training.prepared import PreparedClip, PreparedClips

Pictures = NDArray[np.uint8]
Draw = Callable[[PreparedClip, PreparedClip], Pictures]
_AT_ONCE = 16  # windows


def score_pictures(network: SyncNet, pictures: Pictures, sound: NDArray[np.int16], device: torch.device) -> LseScore:
    """Return the LSE of BGR frames (T,S,S,3) with 16 kHz mono sound (samples,).

    Frames are resized to SyncNet's input of 224 pixels. They are not cropped.
    """
    count = windows_of(len(pictures), len(sound))
    frames = np.stack([cv2.resize(picture, (FRAME_SIZE, FRAME_SIZE)) for picture in pictures])
    heard = mfcc(sound).astype(np.float32)
    lips, sounds = [], []
    for start in range(0, count, _AT_ONCE):
        at = range(start, min(count, start + _AT_ONCE))
        seen = np.stack([frames[i : i + WINDOW_FRAMES].transpose(3, 0, 1, 2) for i in at])
        columns = [heard[:, COLUMNS_PER_FRAME * i : COLUMNS_PER_FRAME * i + WINDOW_COLUMNS] for i in at]
        lips.append(network.lip(torch.from_numpy(seen).to(device).float()).double().cpu().numpy())
        sounds.append(network.sound(torch.from_numpy(np.stack(columns)[:, None]).to(device)).double().cpu().numpy())
    return lse(np.concatenate(lips), np.concatenate(sounds))


def mismatched_lse(
    network: SyncNet, store: PreparedClips, clips: Sequence[PreparedClip], draw: Draw, device: torch.device
) -> dict[str, float]:
    """Return the mean `lse_d` and `lse_c` of clips that `draw` generates with mismatched audio.

    Each clip's audio comes from a clip of another recording. The clip's own audio would be a weak test, because the
    reference frame already shows a matching mouth. Both values are NaN if all clips are of one recording.
    """
    scores = []
    for number, clip in enumerate(clips):
        other = another(clips, number)
        if other is not None:
            sound = store.read(other, "sound")
            scores.append(score_pictures(network, draw(clip, other), sound, device))
    if not scores:
        return {"lse_d": float("nan"), "lse_c": float("nan")}
    return {
        "lse_d": float(np.mean([score.lse_d for score in scores])),
        "lse_c": float(np.mean([score.lse_c for score in scores])),
    }


def another(clips: Sequence[PreparedClip], number: int) -> PreparedClip | None:
    """Return the next clip of another recording after `clips[number]`, or None if all are of one recording."""
    for step in range(1, len(clips)):
        other = clips[(number + step) % len(clips)]
        if other.video is None or other.video != clips[number].video:
            return other
    return None


def spread(clips: Sequence[PreparedClip], count: int) -> list[PreparedClip]:
    """Return at most `count` clips, evenly spread over `clips`."""
    return list(clips[:: max(1, len(clips) // count)][:count]) if count else []


def sheet(rows: Sequence[Pictures]) -> Pictures:
    """Join rows of equally many pictures, each row (N,S,S,3), into one picture."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
