"""FID and KID: closed forms, numbers of pytorch-fid, torch-fidelity as an oracle, merging."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fidelity.made_up import features

from lse_bench.errors import UsageError
from lse_bench.fidelity.frechet import Statistics, StatisticsStream, frechet_distance, load_statistics, save_statistics
from lse_bench.fidelity.kid import Reservoir, kid, polynomial_mmd

# By pytorch-fid's own function, which does not run with every version of SciPy.
PYTORCH_FID = json.loads((Path(__file__).parents[1] / "golden" / "fidelity" / "frechet.json").read_text())


def test_equal_covariances_give_the_squared_distance_of_means() -> None:
    x = features(200, 16)
    one, two = Statistics.of(x), Statistics.of(x + np.float32(0.5))
    assert frechet_distance(one, two) == pytest.approx(16 * 0.25, rel=1e-6)


def test_diagonal_covariances_in_closed_form() -> None:
    random = np.random.default_rng(0)
    variances = random.uniform(0.1, 4, (2, 12))
    count = 1000
    one, two = (Statistics(count, np.zeros(12), np.diag(v) * (count - 1)) for v in variances)
    assert frechet_distance(one, two) == pytest.approx(((variances[0] ** 0.5 - variances[1] ** 0.5) ** 2).sum())


@pytest.mark.original
@pytest.mark.parametrize("count", [3000, 300])
def test_against_pytorch_fid(count: int) -> None:
    x, y = features(count, 512, seed=1), features(count, 512, seed=2, shift=0.05)
    one, two = Statistics.of(x), Statistics.of(y)
    expected = PYTORCH_FID[str(count)]
    bound = 1e-7 * (np.trace(one.covariance) + np.trace(two.covariance))
    assert abs(frechet_distance(one, two) - expected) <= bound
    assert abs(frechet_distance(two, one) - expected) <= bound
    assert abs(frechet_distance(one, one)) <= bound, "a set with itself"


def test_sets_of_different_rank_are_symmetric() -> None:
    """Up to what rounding does to a singular product, as in the test above."""
    few, many = Statistics.of(features(40, 128, 1)), Statistics.of(features(900, 128, 2))
    bound = 1e-7 * (np.trace(few.covariance) + np.trace(many.covariance))
    assert abs(frechet_distance(few, many) - frechet_distance(many, few)) <= bound


def test_merged_shards_equal_one_pass() -> None:
    x = features(1000, 256)
    whole = Statistics.of(x)
    merged = Statistics.empty(256)
    for shard in np.array_split(x, 7):
        stream = StatisticsStream(256, buffer=50)
        for batch in np.array_split(shard, 9):
            stream.push(batch)
        merged = merged + stream.finish()
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=0, atol=1e-9 * np.abs(whole.mean).max())
    np.testing.assert_allclose(merged.covariance, whole.covariance, rtol=0, atol=1e-9 * np.abs(whole.covariance).max())
    assert np.allclose(whole.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-10)
    other = Statistics.of(features(1000, 256, 5))
    assert frechet_distance(merged, other) == pytest.approx(frechet_distance(whole, other), rel=1e-9)


def test_too_little_is_said() -> None:
    with pytest.raises(UsageError, match="at least 2 frames, and there are 1"):
        frechet_distance(Statistics.of(features(1, 8)), Statistics.of(features(9, 8)))
    with pytest.raises(UsageError, match="8 and 16 dimensions"):
        frechet_distance(Statistics.of(features(9, 8)), Statistics.of(features(9, 16)))


@pytest.mark.original
def test_saved_statistics_come_back_and_pytorch_fids_are_read(tmp_path: Path) -> None:
    x = features(50, 32)
    statistics = Statistics.of(x)
    save_statistics(tmp_path / "ours.npz", statistics, x[:20], "fid@1:test")
    back, sample, fid_id = load_statistics(tmp_path / "ours.npz")
    assert (back.count, fid_id) == (50, "fid@1:test")
    assert np.allclose(back.covariance, statistics.covariance, rtol=1e-12) and np.array_equal(sample, x[:20])
    np.savez(tmp_path / "theirs.npz", mu=x.mean(0), sigma=np.cov(x, rowvar=False))
    theirs, sample, fid_id = load_statistics(tmp_path / "theirs.npz")
    assert sample is None and fid_id is None
    assert frechet_distance(theirs, statistics) == pytest.approx(0, abs=1e-6)
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="no FID statistics"):
        load_statistics(tmp_path / "bad.npz")


@pytest.mark.original
@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(1500, 1200), (300, 300), (300, 260)])
def test_kid_against_torch_fidelity(first: int, second: int) -> None:
    metric = pytest.importorskip("torch_fidelity.metric_kid")
    import torch

    x, y = features(first, 256, 1), features(second, 256, 2, 0.05)
    size = min(1000, first, second)
    expected = metric.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=100, kid_subset_size=size, rng_seed=2020, verbose=False
    )
    found = kid(x, y, seed=2020)
    assert found.mean == pytest.approx(expected["kernel_inception_distance_mean"], abs=1e-6)
    assert found.subset_size == size


def test_kid_in_closed_form() -> None:
    """Two one-dimensional sets of two: every kernel value by hand."""
    x, y = np.array([[1.0], [2.0]], np.float32), np.array([[0.0], [3.0]], np.float32)
    within = (2 * 3**3) / 2 + (2 * 1**3) / 2
    across = (1 + 4**3 + 1 + 7**3) / 4
    assert polynomial_mmd(x, y) == pytest.approx(within - 2 * across)
    with pytest.raises(UsageError, match="at least 2 frames"):
        kid(x[:1], y)


def test_reservoir_is_uniform_bounded_and_repeatable() -> None:
    def sample(seed: int) -> np.ndarray:
        reservoir = Reservoir(1, size=50, seed=seed)
        for start in range(0, 1000, 8):
            reservoir.push(np.arange(start, start + 8, dtype=np.float32)[:, None])
        return reservoir.sample[:, 0]

    assert len(sample(0)) == 50 and np.array_equal(sample(0), sample(0))
    means = [sample(seed).mean() for seed in range(200)]
    assert abs(np.mean(means) - 499.5) < 4 * 289 / np.sqrt(50 * 200)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04cut", b"\x93NUMPY\x01\x00"])
def test_files_that_hold_no_statistics(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UsageError, match=r"bad\.npz: this file has no FID statistics"):
        load_statistics(tmp_path / "bad.npz")


def test_shapes_of_statistics_are_checked(tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", mu=np.zeros(4), sigma=np.zeros((3, 3)))
    with pytest.raises(UsageError, match=r"mu has shape \(4,\) and sigma \(3, 3\)"):
        load_statistics(tmp_path / "odd.npz")


@pytest.mark.original
def test_very_few_frames_give_pytorch_fids_own_rounding() -> None:
    """With 30 frames nearly all eigenvalues are rounding, and a set is not at 0 from itself, there as here."""
    one = Statistics.of(features(30, 512, seed=1))
    expected = PYTORCH_FID["30 with itself"]
    traces = 2 * np.trace(one.covariance)
    found = frechet_distance(one, one)
    assert found < 0 and 0.5 < found / expected < 2
    print(f"itself: ours {frechet_distance(one, one) / traces:.1e}, pytorch-fid {expected / traces:.1e} of the traces")
