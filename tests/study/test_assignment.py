"""Assignment of clips to raters over many designs, and the power estimate beside simulated studies."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lse_bench.study.assignment import blocks_of, cut, pair_trials, rating_trials
from lse_bench.study.clusters import clustered_difference, clustered_mean
from lse_bench.study.power import SPREAD, Size, power_of_pairs, power_of_ratings, raters_needed

designs = {
    "sources": st.integers(2, 17),
    "methods": st.integers(2, 7),
    "raters": st.integers(1, 60),
    "block": st.integers(1, 17),
    "data": st.data(),
}


@settings(max_examples=150, deadline=None)
@given(**designs)
def test_ratings_are_balanced(sources: int, methods: int, raters: int, block: int, data: st.DataObject) -> None:
    trials = data.draw(st.integers(1, sources * methods))
    whole = rating_trials(0, raters * trials, sources, methods)
    items = Counter(whole)
    assert max(items.values()) - (min(items.values()) if len(items) == sources * methods else 0) <= 1
    by_method = Counter(one.method for one in whole)
    assert max(by_method.values()) - min(by_method[m] for m in range(methods)) <= 2
    by_source = Counter(one.source for one in whole)
    assert max(by_source.values()) - min(by_source[s] for s in range(sources)) <= 1
    for rater in range(raters):
        own = rating_trials(rater * trials, trials, sources, methods)
        assert own == whole[rater * trials : (rater + 1) * trials]
        assert len(set(own)) == trials, "a rater rates no clip twice"
        for part in cut(own, min(block, sources)):
            assert len({one.source for one in part}) == len(part) <= block


@settings(max_examples=150, deadline=None)
@given(**designs)
def test_pairs_are_balanced(sources: int, methods: int, raters: int, block: int, data: st.DataObject) -> None:
    pairs = methods * (methods - 1) // 2
    trials = data.draw(st.integers(1, sources * pairs))
    whole = pair_trials(0, raters * trials, sources, methods)
    by_pair = Counter(frozenset((one.left, one.right)) for one in whole)
    assert all(len(pair) == 2 for pair in by_pair)
    assert len(by_pair) == pairs or len(whole) < 2 * pairs
    assert max(by_pair.values()) - min(by_pair.values()) <= 2
    sides = Counter((one.left, one.right) for one in whole)
    for (left, right), count in sides.items():
        assert abs(count - sides[right, left]) <= 2, "either method is on the left equally often"
    for rater in range(raters):
        own = whole[rater * trials : (rater + 1) * trials]
        shown = [(one.source, frozenset((one.left, one.right))) for one in own]
        assert len(set(shown)) == trials, "a rater meets two clips once, so never in both orders"
        for part in cut(own, min(block, sources)):
            assert len({one.source for one in part}) == len(part)
        for one in {frozenset((o.left, o.right)) for o in own}:
            turns = [o.left < o.right for o in own if frozenset((o.left, o.right)) == one]
            assert abs(sum(turns) * 2 - len(turns)) <= 2, "sides alternate for each rater"


@given(st.integers(1, 300), st.integers(1, 40))
def test_blocks_are_as_equal_as_possible(count: int, most: int) -> None:
    sizes = blocks_of(count, most)
    assert sum(sizes) == count and max(sizes) <= most and max(sizes) - min(sizes) <= 1
    assert all(before >= after for before, after in pairwise(sizes))


def test_a_difference_without_clusters_is_the_textbooks() -> None:
    """Each vote from another rater about another clip: the variance of a difference of means."""
    rng = np.random.default_rng(0)
    values, first = rng.normal(size=200), np.arange(200) < 80
    found = clustered_difference(values, first, [f"r{n}" for n in range(200)], [f"c{n}" for n in range(200)])
    assert found.value == pytest.approx(values[first].mean() - values[~first].mean())
    assert found.ci95 is not None
    error = np.sqrt(values[first].var() / 80 + values[~first].var() / 120)
    assert (found.ci95[1] - found.ci95[0]) / 2 == pytest.approx(1.972 * error, rel=0.01)


def test_a_raters_own_level_cancels_in_a_difference() -> None:
    raters, clips = np.repeat(np.arange(20), 10), np.tile(np.arange(10), 20)
    first = (raters + clips) % 2 == 0
    values = np.where(first, 1.0, 0.5) + raters
    found = clustered_difference(values, first, list(map(str, raters)), list(map(str, clips)))
    assert found.value == pytest.approx(0.5)
    votes = np.sum(((values - np.where(first, values[first].mean(), values[~first].mean())) / 100) ** 2)
    assert found.ci95 is not None
    # Nothing is left but the least variance, 0.85 of that of independent votes.
    assert found.ci95[1] - 0.5 < 2.1 * np.sqrt(0.85 * votes)
    assert (
        clustered_mean(values, np.ones(200), list(map(str, raters)), list(map(str, clips))).ci95[0] < values.mean() - 2
    )


def test_one_side_without_votes_has_no_difference() -> None:
    assert clustered_difference([1.0, 2.0], [True, True], ["a", "b"], ["c", "d"]).value is None
    assert clustered_mean([1.0], [0.0], ["a"], ["c"]).value is None
    assert clustered_mean([1.0, 0.0], [1, 1], ["a", "a"], ["c", "d"]).ci95 is None


def power_seen_of_ratings(size: Size, difference: float, studies: int, seed: int) -> float:
    """The share of simulated studies, with the assignment of real ones, that show the difference of methods 0 and 1."""
    rng, shown = np.random.default_rng(seed), 0
    plan = rating_trials(0, size.raters * size.trials, size.sources, size.methods)
    source, method = np.array(plan).T
    rater = np.arange(len(plan)) // size.trials
    asked = method < 2
    names = list(map(str, rater[asked])), list(map(str, source[asked]))
    for _ in range(studies):
        level = rng.normal(0, SPREAD.rater, size.raters)
        own = rng.normal(0, SPREAD.rater_method, (size.raters, size.methods))
        there = rng.normal(0, SPREAD.clip_method, (size.sources, size.methods))
        values = level[rater] + own[rater, method] + there[source, method] + rng.normal(0, SPREAD.rest, len(plan))
        values += np.where(method == 0, difference, 0.0)
        found = clustered_difference(values[asked], method[asked] == 0, *names)
        assert found.ci95 is not None
        shown += not found.ci95[0] <= 0 <= found.ci95[1]
    return shown / studies


def power_seen_of_pairs(size: Size, strength: float, studies: int, seed: int) -> tuple[float, float]:
    """The mean share of votes for method 0 against method 1, and in which share of simulated studies it shows."""
    rng, shown, shares = np.random.default_rng(seed), 0, []
    plan = np.array(pair_trials(0, size.raters * size.trials, size.sources, size.methods))
    rater = np.arange(len(plan)) // size.trials
    asked = np.sort(plan[:, 1:], axis=1).max(axis=1) == 1
    rater, source = rater[asked], plan[asked, 0]
    names = list(map(str, rater)), list(map(str, source))
    for _ in range(studies):
        own, there = rng.normal(0, SPREAD.rater_pair, size.raters), rng.normal(0, SPREAD.clip_pair, size.sources)
        chance = 1 / (1 + np.exp(-(strength + own[rater] + there[source])))
        votes = rng.random(len(chance)) < chance
        found = clustered_mean(votes, np.ones(len(votes)), *names)
        assert found.ci95 is not None and found.value is not None
        shares.append(found.value)
        shown += not found.ci95[0] <= 0.5 <= found.ci95[1]
    return float(np.mean(shares)), shown / studies


RATINGS = [
    (Size(methods=4, sources=20, raters=20, trials=12), 0.3),
    (Size(methods=4, sources=20, raters=40, trials=12), 0.3),
    (Size(methods=6, sources=30, raters=60, trials=14), 0.25),
    (Size(methods=4, sources=12, raters=12, trials=8), 0.5),
    (Size(methods=3, sources=40, raters=25, trials=10), 0.2),
]
PAIRS = [
    (Size(methods=3, sources=20, raters=30, trials=12), 0.5),
    (Size(methods=4, sources=24, raters=60, trials=12), 0.5),
    (Size(methods=4, sources=40, raters=40, trials=18), 0.7),
]


@pytest.mark.parametrize(("size", "difference"), RATINGS)
def test_the_power_of_ratings_agrees_with_simulation(size: Size, difference: float) -> None:
    seen = power_seen_of_ratings(size, difference, studies=1000, seed=3)
    assert power_of_ratings(size, difference) == pytest.approx(seen, abs=0.05)


@pytest.mark.parametrize(("size", "strength"), PAIRS)
def test_the_power_of_pairs_agrees_with_simulation(size: Size, strength: float) -> None:
    share, seen = power_seen_of_pairs(size, strength, studies=1000, seed=4)
    assert power_of_pairs(size, share) == pytest.approx(seen, abs=0.05)


def test_the_number_of_raters_is_the_least_with_the_power() -> None:
    def power(raters: int) -> float:
        return power_of_ratings(Size(4, 40, raters, 12), 0.4)

    needed = raters_needed(power, 0.8)
    assert needed is not None and power(needed) >= 0.8 > power(needed - 1)
    assert raters_needed(lambda raters: power_of_ratings(Size(4, 3, raters, 3), 0.1), 0.8) is None
