from __future__ import annotations

import numpy as np
import pytest
from conftest import golden_file

from lse_bench.features.syncnet_mfcc import HOP, WINDOW, MfccStream, mfcc


@pytest.mark.original
@pytest.mark.parametrize("clip", ["a", "b", "c", "d"])
def test_golden(clip: str) -> None:
    with np.load(golden_file(f"lrs_clip_{clip}.npz")) as golden:
        found = mfcc(golden["audio"])
        assert found.shape == golden["mfcc"].shape
        np.testing.assert_allclose(found, golden["mfcc"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 560, 561, 720, 721, 16_000])
def test_column_count(samples: int) -> None:
    expected = 1 if samples <= WINDOW else 1 + -(-(samples - WINDOW) // HOP)
    assert mfcc(np.ones(samples, np.int16)).shape == (13, expected)


def test_blocks_of_any_size_give_the_same_columns() -> None:
    random = np.random.default_rng(0)
    samples = random.integers(-9000, 9000, 20_000).astype(np.int16)
    stream, parts, start = MfccStream(), [], 0
    while start < len(samples):
        size = int(random.integers(0, 1500))
        parts.append(stream.push(samples[start : start + size]))
        start += size
    parts.append(stream.finish())
    assert np.array_equal(np.concatenate(parts, axis=1), mfcc(samples))


def test_silence_is_finite_and_gain_moves_only_the_energy_terms() -> None:
    assert np.isfinite(mfcc(np.zeros(4000, np.int16))).all()
    samples = np.random.default_rng(1).integers(-3000, 3000, 8000)
    once, twice = mfcc(samples), mfcc(2 * samples)
    assert np.allclose(twice[0] - once[0], np.log(4)), "coefficient 0 is the log energy"
    assert np.allclose(twice[1:], once[1:]), "the others do not see the gain"


def test_refuses_what_is_not_sound() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 100\)"):
        mfcc(np.zeros((2, 100)))
    with pytest.raises(ValueError, match="at least one"):
        mfcc(np.zeros(0))
