"""How many clips decide: formulas, and the prediction from one half of clustered clips against draws of the other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lse_bench.reliability.resolution import least_difference, needed, pair, resolution, wrong_order
from lse_bench.runs.statistics import Members


def test_the_formulas_are_those_of_the_normal_distribution() -> None:
    assert wrong_order(0.0, 1.0, 10) == 0.5
    assert wrong_order(0.3, 1.0, 100) == pytest.approx(stats.norm.cdf(-3))
    count = needed(0.1, 1.0)
    assert count == 271 and wrong_order(0.1, 1.0, count) <= 0.05 < wrong_order(0.1, 1.0, count - 1)
    assert wrong_order(least_difference(2.0, 50), 2.0, 50) == pytest.approx(0.05)
    assert needed(0.0, 1.0) is None and needed(-0.1, 1.0) == 271


def test_dependent_clips_count_for_less() -> None:
    rng = np.random.default_rng(1)
    shared = np.repeat(rng.normal(0.2, 1, 30), 4)
    first, second = rng.normal(0, 1, 120), None
    second = first + shared
    alone = pair("m", ("a", "b"), first, second, Members.of(frozenset([str(n)]) for n in range(120)))
    together = pair("m", ("a", "b"), first, second, Members.of(frozenset([str(n // 4)]) for n in range(120)))
    assert alone is not None and together is not None and alone.difference == together.difference
    assert together.deviation == pytest.approx(2 * alone.deviation, rel=0.15)
    assert together.wrong[100] > alone.wrong[100] and (together.needed or 0) > (alone.needed or 0)


def test_pairs_of_sets_and_sets_against_one() -> None:
    rng = np.random.default_rng(2)
    members = Members.of(frozenset([str(n)]) for n in range(40))
    sets = {name: rng.normal(level, 1, 40) for name, level in (("a", 0), ("b", 1), ("c", 2))}
    sets["empty"] = np.full(40, np.nan)
    found = resolution("m", sets, members)
    assert [(one.first, one.second) for one in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found.deviation == pytest.approx(float(np.median([one.deviation for one in found.pairs])))
    assert [(one.first, one.second) for one in resolution("m", sets, members, "b").pairs] == [("b", "a"), ("b", "c")]
    nothing = resolution("m", {"a": sets["a"]}, members)
    assert nothing.deviation is None and nothing.least == {}


@pytest.mark.parametrize("n", [12, 24, 60])
def test_a_prediction_from_one_half_holds_in_the_other(n: int) -> None:
    """Variances from half of the speakers; 2,000 draws of speakers, until they have n clips, from the other half."""
    rng = np.random.default_rng(3)
    speakers, clips = 200, 4
    shared = np.repeat(rng.normal(0.25, 0.8, speakers), clips) + rng.normal(0, 1, speakers * clips)
    half = speakers * clips // 2
    known, other = shared[:half], shared[half:].reshape(-1, clips)
    members = Members.of(frozenset([str(place // clips)]) for place in range(half))
    estimated = pair("m", ("a", "b"), np.zeros(half), known, members)
    assert estimated is not None
    draws = other[rng.integers(len(other), size=(2000, n // clips))].reshape(2000, -1).mean(axis=1)
    truth = float(other.mean())
    predicted = wrong_order(truth, estimated.deviation, n)
    assert abs(predicted - float(np.mean(np.sign(draws) != np.sign(truth)))) <= 0.05
