"""Offsets over time, from distances whose offset is known."""

from __future__ import annotations

import numpy as np
import pytest
from described import calibration_of

from lse_bench.sync.timeline import timeline_of

CALIBRATION = calibration_of()


def windows(offsets: np.ndarray, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Distances (windows,31) whose minimum lies at these offsets, in milliseconds."""
    shifts = 15 - np.asarray(offsets)[:, None] / 40
    depth = 4 * np.exp(-0.5 * ((np.arange(31)[None, :] - shifts) / 1.5) ** 2)
    return 9 - depth + np.random.default_rng(seed).normal(0, noise, depth.shape)


def seconds(count: float) -> np.ndarray:
    """Times of the windows of a clip of this length."""
    return np.arange(int(count * 25) - 5) / 25


@pytest.mark.parametrize("slope", [40.0, -40.0, 100.0])
def test_a_drift_is_found_with_its_sign_and_size(slope: float) -> None:
    found = timeline_of(windows(slope * (seconds(300) / 60 - 2.5)), 10, CALIBRATION)
    assert found.trend == "drift" and found.ms_per_minute == pytest.approx(slope, abs=3)
    assert found.ci95 is not None and found.ci95[0] < slope + 3 and found.ci95[1] > slope - 3
    assert len(found.pieces) == 59 and all(piece.clear for piece in found.pieces)


@pytest.mark.parametrize("offset", [0.0, 120.0, -233.0])
def test_a_constant_offset_does_not_drift(offset: float) -> None:
    found = timeline_of(windows(np.full(len(seconds(300)), offset)), 10, CALIBRATION)
    assert found.trend == "constant" and found.ms_per_minute == pytest.approx(0, abs=1)
    assert found.pieces[3].offset_ms == pytest.approx(offset, abs=12)
    assert (found.pieces[0].start, found.pieces[0].end, found.pieces[-1].end) == (0, 10, pytest.approx(299.96))


def test_jumps_are_placed() -> None:
    times = seconds(300)
    offsets = np.where(times < 100.4, 0.0, np.where(times < 222.2, 200.0, 80.0))
    found = timeline_of(windows(offsets), 10, CALIBRATION)
    assert found.trend == "jumps" and len(found.jumps) == 2 and found.ms_per_minute is None
    assert [jump.at for jump in found.jumps] == pytest.approx([100.4, 222.2], abs=0.2)
    assert [jump.before_ms for jump in found.jumps] == pytest.approx([0, 200], abs=8)
    assert [jump.after_ms for jump in found.jumps] == pytest.approx([200, 80], abs=8)


def test_without_clear_pieces_nothing_is_said() -> None:
    noise = np.random.default_rng(0).normal(9, 0.3, (1000, 31))
    assert timeline_of(noise, 10, CALIBRATION).trend == "unknown"
    sure = windows(np.zeros(1000))
    assert timeline_of(sure, 10, None).trend == "unknown" and timeline_of(sure, 10, None).pieces[0].clear is None
    assert timeline_of(sure[:300], 10, CALIBRATION).trend == "unknown", "two pieces are too few"
    assert timeline_of(sure[:20], 10, CALIBRATION).pieces[0].end == pytest.approx(0.96)
