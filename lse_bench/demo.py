"""The demo: two made-up clips scored with weights by formula, to see that everything is in place.

The network has learnt nothing and the clips show no face, so the numbers mean nothing; what they show is that media,
network, run directory and summary work on this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lse_bench.media.audio import SAMPLE_RATE, Sound
from lse_bench.media.video import Frame
from lse_bench.media.writer import write_clip
from lse_bench.weights.formula import formula_weights

_SIZE, _FRAMES, _FPS = 160, 75, 25


def make_demo(folder: Path) -> tuple[Path, Path]:
    """Write `clips/in_step.mp4`, `clips/late_sound.mp4` and `formula.pth` below `folder`; returns clips and weights."""
    import torch

    from lse_bench.sync.syncnet import SyncNet

    clips = folder / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    opening = np.abs(np.sin(np.arange(_FRAMES) * 0.55)) * np.abs(np.sin(np.arange(_FRAMES) * 0.13 + 0.4))
    write_clip(clips / "in_step.mp4", _mouths(opening), _voice(opening))
    write_clip(clips / "late_sound.mp4", _mouths(opening), _voice(np.roll(opening, 8)))
    shapes = {name: tuple(value.shape) for name, value in SyncNet().state_dict().items()}
    weights = folder / "formula.pth"
    torch.save({name: torch.from_numpy(value) for name, value in formula_weights(shapes).items()}, weights)
    return clips, weights


def _mouths(opening: np.ndarray) -> Iterator[Frame]:
    """A disc with a slot that opens and closes."""
    y, x = np.mgrid[:_SIZE, :_SIZE] / _SIZE - 0.5
    head = x**2 / 0.16 + y**2 / 0.22 < 1
    for width in opening:
        slot = x**2 / 0.03 + (y - 0.2) ** 2 / (1e-4 + 0.008 * width) < 1
        frame = np.full((_SIZE, _SIZE, 3), (70, 60, 50), np.uint8)
        frame[head] = (140, 170, 215)
        frame[slot] = (40, 20, 90)
        yield frame


def _voice(opening: np.ndarray) -> Sound:
    """A buzz that is as loud as the slot is open."""
    time = np.arange(_FRAMES * SAMPLE_RATE // _FPS) / SAMPLE_RATE
    loudness = np.interp(time * _FPS, np.arange(_FRAMES), opening)
    harmonics = np.arange(1, 8)[:, None]
    buzz = (np.sin(2 * np.pi * 120 * harmonics * time) / harmonics).sum(axis=0)
    return np.asarray(8000 * loudness * buzz, dtype=np.int16)
