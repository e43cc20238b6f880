"""Strengths and mean opinions: beside other programs, and their intervals beside the truth."""

from __future__ import annotations

import choix
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as models
from scipy.optimize import minimize

from lse_bench.study.crossed import crossed_mean
from lse_bench.study.strengths import PairVotes, fit_strengths


def votes_of(
    first: list[int], second: list[int], outcomes: list[int], raters: list[str], clips: list[str]
) -> PairVotes:
    methods = [f"m{n}" for n in range(max(first + second) + 1)]
    return PairVotes(methods, np.array(first), np.array(second), np.eye(3)[outcomes], clips, raters)


def drawn(rng: np.random.Generator, raters: int, clips: int, strengths: np.ndarray, tie: float | None) -> PairVotes:
    """Each rater sees half of the clips, with two methods of each."""
    first, second, outcomes, who, what = [], [], [], [], []
    for rater in range(raters):
        for clip in rng.permutation(clips)[: clips // 2]:
            i, j = rng.choice(len(strengths), 2, replace=False)
            a, b = strengths[i], strengths[j]
            chance = np.exp([a, b, -np.inf if tie is None else tie + (a + b) / 2])
            outcomes.append(int(rng.choice(3, p=chance / chance.sum())))
            first.append(int(i))
            second.append(int(j))
            who.append(str(rater))
            what.append(str(clip))
    return votes_of(first, second, outcomes, who, what)


TRUTH = np.array([0.8, 0.3, -0.3, -0.8])


def test_without_ties_strengths_are_choixs() -> None:
    votes = drawn(np.random.default_rng(1), 20, 20, TRUTH, None)
    wins = [(i, j) if one[0] else (j, i) for i, j, one in zip(votes.first, votes.second, votes.counts, strict=True)]
    theirs = choix.ilsr_pairwise(4, wins, alpha=0, tol=1e-12)
    ours = np.array([fit_strengths(votes).strengths[name] for name in votes.methods])
    assert np.abs(ours - (theirs - theirs.mean())).max() < 1e-6


def test_with_ties_strengths_are_those_of_an_independent_fit() -> None:
    votes = drawn(np.random.default_rng(2), 20, 20, TRUTH, -0.5)

    def unlikely(beta: np.ndarray) -> float:  # Davidson's probabilities, written with worths instead of logarithms
        worth, nu = np.exp(beta[:4]), np.exp(beta[4])
        total = beta[:4].sum() ** 2
        for i, j, one in zip(votes.first, votes.second, votes.counts, strict=True):
            middle = nu * np.sqrt(worth[i] * worth[j])
            whole = worth[i] + worth[j] + middle
            total -= np.log(np.array([worth[i], worth[j], middle]) / whole) @ one
        return float(total)

    theirs = minimize(unlikely, np.zeros(5), method="BFGS", options={"gtol": 1e-9}).x
    fitted = fit_strengths(votes)
    ours = np.array([fitted.strengths[name] for name in votes.methods])
    assert np.abs(ours - (theirs[:4] - theirs[:4].mean())).max() < 1e-6
    assert fitted.tie == pytest.approx(theirs[4], abs=1e-6)


def test_a_method_that_always_wins_has_no_finite_strength() -> None:
    fitted = fit_strengths(votes_of([0, 0, 1, 2], [1, 2, 2, 1], [0, 0, 0, 0], list("abcd"), list("wxyz")))
    assert set(fitted.strengths.values()) == {None}
    assert "m0 won or lost every comparison" in fitted.ci_method


def test_intervals_of_strengths_cover_the_truth() -> None:
    """`measurements.quality.votes` has the figures of 1,000 studies; 60 only show a gross fault."""
    rng, covered = np.random.default_rng(3), []
    for _ in range(60):
        votes = drawn(rng, 20, 20, TRUTH, -0.5)
        fitted = fit_strengths(votes)
        for name, value in zip(votes.methods, TRUTH, strict=True):
            low, high = fitted.ci95[name] or (np.nan, np.nan)
            covered.append(low <= value <= high)
    assert 0.9 < np.mean(covered) <= 1


def rated(rng: np.random.Generator, raters: int, clips: int, each: int) -> tuple[list[float], list[str], list[str]]:
    of_raters, of_clips = rng.normal(0, 0.4, raters), rng.normal(0, 0.3, clips)
    values, who, what = [], [], []
    for rater in range(raters):
        for clip in rng.permutation(clips)[:each]:
            values.append(3 + of_raters[rater] + of_clips[clip] + rng.normal(0, 0.8))
            who.append(str(rater))
            what.append(str(clip))
    return values, who, what


def test_the_components_are_near_those_of_a_mixed_model() -> None:
    """Complete and crossed, moments and restricted likelihood agree if no component is 0."""
    values, who, what = rated(np.random.default_rng(4), 12, 10, 10)
    frame = pd.DataFrame({"value": values, "rater": who, "clip": what, "all": 1})
    parts = {"rater": "0 + C(rater)", "clip": "0 + C(clip)"}
    fitted = models.mixedlm("value ~ 1", frame, groups="all", vc_formula=parts).fit(reml=True)
    ours = crossed_mean(values, who, what)
    theirs = [dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True))[name] for name in ("rater", "clip")]
    assert ours.components is not None
    assert ours.components == pytest.approx((*theirs, fitted.scale), rel=1e-3, abs=1e-4)
    assert ours.mean == pytest.approx(fitted.params["Intercept"], abs=1e-6)
    assert ours.standard_error == pytest.approx(fitted.bse["Intercept"], rel=1e-3)


@pytest.mark.parametrize(("raters", "clips", "each"), [(30, 20, 10), (10, 8, 6)])
def test_intervals_of_means_cover_the_truth(raters: int, clips: int, each: int) -> None:
    rng, covered = np.random.default_rng(5), []
    for _ in range(300):
        low, high = crossed_mean(*rated(rng, raters, clips, each)).ci95 or (np.nan, np.nan)
        covered.append(low <= 3 <= high)
    assert 0.91 < np.mean(covered) < 0.99


def test_one_rater_or_one_clip_has_no_interval() -> None:
    assert crossed_mean([1, 2, 3], ["a", "a", "a"], ["x", "y", "z"]).ci95 is None
    assert crossed_mean([1, 2, 3], ["a", "b", "c"], ["x", "x", "x"]).ci95 is None
    assert crossed_mean([], [], []).mean is None
