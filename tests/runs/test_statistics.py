from __future__ import annotations

import numpy as np
import pytest
from described import summary_of
from scipy import stats

from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import Members, mean_with_interval


def alone(n: int) -> Members:
    return Members.of(frozenset({str(i)}) for i in range(n))


def test_independent_clips_give_students_interval() -> None:
    values = [6.1, 7.4, 5.9, 6.6, 7.0]
    estimate = mean_with_interval(values, alone(5))
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert estimate.ci95 == pytest.approx((low, high))
    assert (estimate.mean, estimate.n) == (pytest.approx(6.6), 5)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706204736174705), (2, 4.302652729749462), (5, 2.5705818356363155), (63, 1.9983405425207417),
     (1242, 1.9618758568678976)],
)  # fmt: skip
def test_the_interval_does_not_hang_on_the_version_of_scipy(freedom: int, quantile: float) -> None:
    """Student's t to 13 digits (mpmath, 30 digits); SciPy's own quantile has 9 of them before 1.12."""
    values = [float(n % 2) for n in range(freedom + 1)]
    estimate = mean_with_interval(values, alone(freedom + 1))
    assert estimate.ci95 is not None and estimate.standard_error is not None and estimate.mean is not None
    assert (estimate.ci95[1] - estimate.mean) / estimate.standard_error == pytest.approx(quantile, rel=1e-13)


def test_shared_clips_by_brute_force() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=40)
    members = [frozenset(str(k) for k in random.integers(0, 9, 2)) for _ in values]
    residuals = values - values.mean()
    independent = (residuals**2).sum()
    brute = sum(residuals[i] * residuals[j] for i in range(40) for j in range(40) if members[i] & members[j])
    units = len(set().union(*members))
    half = stats.t.ppf(0.975, units - 1) * np.sqrt(max(independent, brute) / 40**2 * units / (units - 1))
    estimate = mean_with_interval(list(values), Members.of(members))
    assert estimate.ci95 == pytest.approx((values.mean() - half, values.mean() + half))
    assert "dyadic" in estimate.ci_method


def test_sharing_widens_the_interval() -> None:
    """Ten clips measured four times over hold the information of ten."""
    values = np.repeat(np.random.default_rng(1).normal(size=10), 4)
    shared = [frozenset({str(i // 4)}) for i in range(40)]
    narrow, wide = mean_with_interval(list(values), alone(40)), mean_with_interval(list(values), Members.of(shared))
    assert narrow.ci95 is not None and wide.ci95 is not None
    assert wide.ci95[1] - wide.ci95[0] > 1.8 * (narrow.ci95[1] - narrow.ci95[0])


def test_too_few_results_have_no_interval() -> None:
    assert mean_with_interval([], alone(0)).mean is None
    one = mean_with_interval([3.0], alone(1))
    assert (one.mean, one.ci95, one.n) == (3.0, None, 1)


def test_one_clip_in_every_result_leaves_no_interval() -> None:
    """One portrait with a hundred sounds: the residuals of a member that is everywhere sum to 0."""
    values = list(np.random.default_rng(0).normal(size=100))
    estimate = mean_with_interval(values, Members.of(frozenset({"portrait", f"s{n}"}) for n in range(100)))
    assert estimate.ci95 is None and "part of every result" in estimate.ci_method
    same = mean_with_interval([3.0, 4.0], Members.of([frozenset({"a"}), frozenset({"a"})]))
    assert same.mean == 3.5 and same.ci95 is None


def test_sharing_never_narrows_an_interval() -> None:
    members = [frozenset({f"v{v}", f"s{s}"}) for v in range(10) for s in range(10)]
    for seed in range(50):
        values = list(np.random.default_rng(seed).normal(size=100))
        shared, free = mean_with_interval(values, Members.of(members)), mean_with_interval(values, alone(100))
        assert shared.ci95 is not None and free.ci95 is not None
        assert shared.ci95[1] - shared.ci95[0] >= free.ci95[1] - free.ci95[0]


def record(clip_id: str, value: float | None, **groups: str) -> Record:
    if value is None:
        return Record(clip=clip_id, id=clip_id, status="no_audio", reason="none")
    return Record(clip=clip_id, id=clip_id, status="ok", lse_d=value, lse_c=1.0, offset=0, groups=groups)


def test_summary_is_a_function_of_the_records_in_any_order() -> None:
    records = [record("a", 6.0), record("b", 8.0), record("c", None)]
    summary = summary_of(records, 4, {"protocol": "p"})
    assert summary == summary_of(records[::-1], 4, {"protocol": "p"})
    assert (summary["listed"], summary["scored"], summary["failed"], summary["pending"]) == (4, 2, {"no_audio": 1}, 1)
    assert summary["metrics"]["lse_d"]["mean"] == 7.0
    assert summary["metrics"]["lse_d"]["n"] == 2
    assert summary["metrics"]["lse_d_valid"]["mean"] is None


def test_summary_knows_which_pairs_share_a_clip() -> None:
    pairs = [record(f"{v}{s}", float(v + s), video=f"{v}", sound=f"{s}") for v in range(3) for s in range(3, 6)]
    assert "dyadic" in summary_of(pairs, 9, {})["metrics"]["lse_d"]["ci_method"]
