"""Curves in closed form, against golden distances, and in pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import golden_file

from lse_bench.sync.distance import CurveSum, LseScore, pairwise_distances, summarise


def curve_of(lip: np.ndarray, sound: np.ndarray, step: int = 8, keep: bool = False) -> LseScore:
    total = CurveSum(keep)
    for start in range(0, len(lip), step):
        total.push(lip[start : start + step], sound[start : start + step])
    return total.finish()


@pytest.mark.original
@pytest.mark.parametrize("clip", ["a", "b", "c", "d"])
def test_golden(clip: str) -> None:
    with np.load(golden_file(f"lrs_cal_clip_{clip}.npz")) as golden:
        score = curve_of(golden["lip"], golden["aud"], keep=True)
        np.testing.assert_allclose(score.curve, golden["mdist"], rtol=0, atol=1e-5)
        assert score.per_window is not None
        np.testing.assert_allclose(score.per_window, golden["dist"], rtol=0, atol=1e-5)
        assert score.lse_d == pytest.approx(float(golden["lse_d"]), abs=1e-5)
        assert score.lse_c == pytest.approx(float(golden["lse_c"]), abs=1e-5)
        assert score.offset == int(golden["offset"])
        assert score.windows == len(golden["lip"])


@pytest.mark.parametrize("shift", [-15, -4, 0, 7, 15])
def test_a_known_shift_is_found(shift: int) -> None:
    """Sound i+shift equals lip i, so the curve has its minimum there and the offset is -shift."""
    random = np.random.default_rng(3)
    track = random.normal(size=(140, 16))
    lip = track[20:120]
    sound = track[20 - shift : 120 - shift]
    score = curve_of(lip, sound)
    assert score.offset_valid == score.offset == -shift
    assert score.lse_d_valid == pytest.approx(4e-6, rel=1e-6), "16 components differ by eps only"


def test_identical_constant_embeddings() -> None:
    ones = np.ones((50, 4))
    score = curve_of(ones, ones)
    assert score.lse_d_at_0 == pytest.approx(2e-6)
    # At shift s, |s| windows meet the padding; there the distance is the norm of the lip, here 2.
    expected = [(abs(s) * 2.000002 + (50 - abs(s)) * 2e-6) / 50 for s in range(-15, 16)]
    assert np.allclose(score.curve, expected, atol=1e-9)
    assert np.allclose(score.curve_valid, 2e-6)
    assert score.lse_c == pytest.approx(sorted(expected)[15] - min(expected))
    assert score.lse_c_valid == pytest.approx(0, abs=1e-12)


def test_shifts_without_five_pairs_are_not_numbers() -> None:
    random = np.random.default_rng(0)
    score = curve_of(random.normal(size=(8, 3)), random.normal(size=(8, 3)))
    present = ~np.isnan(score.curve_valid)
    assert present.sum() == 7 and present[12:19].all(), "8 windows leave 5 pairs up to shift 3"
    assert not np.isnan(score.curve).any()
    lonely = curve_of(np.ones((1, 3)), np.ones((1, 3)))
    assert lonely.windows == 1 and lonely.offset_valid is None and math.isnan(lonely.lse_d_valid)


@pytest.mark.parametrize("step", [1, 3, 15, 16, 64])
def test_pieces_do_not_matter(step: int) -> None:
    random = np.random.default_rng(5)
    lip, sound = random.normal(size=(70, 32)), random.normal(size=(70, 32))
    whole, pieces = curve_of(lip, sound, 70), curve_of(lip, sound, step)
    assert np.allclose(whole.curve, pieces.curve, rtol=0, atol=1e-12)
    assert np.allclose(whole.curve_valid, pieces.curve_valid, rtol=0, atol=1e-12)


def test_memory_is_bounded_by_the_shifts() -> None:
    total = CurveSum()
    for _ in range(200):
        total.push(np.ones((8, 4)), np.ones((8, 4)))
    assert len(total._lip) <= 15 and len(total._sound) <= 31 + 8


def test_offset_sign_and_ties() -> None:
    curve = np.full(31, 3.0)
    curve[[10, 20]] = 1.0
    score = summarise(curve, curve, 40)
    assert score.offset == 5, "the first minimum, 15 - 10"
    assert (score.lse_d, score.lse_c) == (1.0, 2.0)


def test_lengths_are_checked() -> None:
    with pytest.raises(ValueError, match="need 32 sound embeddings, got 3"):
        pairwise_distances(np.zeros((2, 4)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="no windows"):
        CurveSum().finish()
