"""What a written clip keeps of what it was given: colours, sizes."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from lse_bench.media.writer import write_clip

EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def _pictures(width: int, height: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        cv2.resize(random.integers(20, 236, (8, 8, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(3)
    ]


def _exactly_read(path: Path) -> list[np.ndarray]:
    """The frames, by a reader that rounds better than the one the protocols ask for."""
    with av.open(str(path)) as container:
        return [
            picture.reformat(format="bgr24", interpolation=EXACT).to_ndarray() for picture in container.decode(video=0)
        ]


@pytest.mark.parametrize(("width", "height"), [(96, 64), (95, 63)])
def test_colours_and_sizes_are_kept(tmp_path: Path, width: int, height: int) -> None:
    """No channel drifts, of even sizes (halved colour) and of odd ones (whole colour)."""
    given = _pictures(width, height)
    write_clip(tmp_path / "clip.mp4", given, quality=1)
    shown = _exactly_read(tmp_path / "clip.mp4")
    shift = (np.array(shown, float) - np.array(given, float)).mean(axis=(0, 1, 2))
    assert shown[0].shape == (height, width, 3)
    assert np.abs(shift).max() < 0.3, shift


def test_a_drift_of_two_levels_would_be_seen(tmp_path: Path) -> None:
    """So the test above can fail."""
    given = _pictures(96, 64)
    write_clip(tmp_path / "clip.mp4", [frame - np.minimum(frame, 2) for frame in given], quality=1)
    shift = (np.array(_exactly_read(tmp_path / "clip.mp4"), float) - np.array(given, float)).mean(axis=(0, 1, 2))
    assert shift.max() < -1, shift
