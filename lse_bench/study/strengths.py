"""Strengths of methods from paired comparisons: the model of Bradley and Terry, and Davidson's with ties.

A method i has a strength s_i on the logarithmic scale; the mean of all strengths is 0. Without ties, i is preferred to
j with probability 1 / (1 + exp(s_j - s_i)). With ties, the three outcomes have probabilities proportional to exp(s_i),
exp(s_j) and exp(t + (s_i + s_j) / 2) (Davidson, "On extending the Bradley-Terry model to accommodate ties", 1970).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from lse_bench.runs.statistics import CONFIDENCE

_GRADIENT = 1e-10  # per vote; where the search ends


@dataclass(frozen=True, slots=True)
class PairVotes:
    """Votes in paired comparisons, one row for each vote or for each group of equal votes.

    `first`, `second`: (n,), int, places of the two methods in `methods`. `counts`: (n,3), votes for the first, for the
    second, and for no difference. `raters`: (n,), names, or None if they are not known. `clips`: (n,), names.
    """

    methods: Sequence[str]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    counts: NDArray[np.float64]
    clips: Sequence[str]
    raters: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Strengths:
    """The strengths of methods.

    `strengths`: by method, on the logarithmic scale, mean 0; None where there is no finite one. `ci95`: by method.
    `tie`: Davidson's parameter t; None without ties. `ci_method`: how the intervals were computed, or why there are
    none.
    """

    strengths: dict[str, float | None]
    ci95: dict[str, tuple[float, float] | None]
    tie: float | None
    ci_method: str


def fit_strengths(votes: PairVotes) -> Strengths:
    """Fit strengths by maximum likelihood, with intervals for other raters and other clips.

    The variance is V(raters) + V(clips) - V(votes). The first two come from leaving out each rater and each clip once
    (the jackknife); the third, which both contain, is subtracted. Without names of raters, only clips are left out.
    """
    model = _Model(votes)
    reason = model.unfit(model.totals)
    if reason is not None:
        return Strengths(dict.fromkeys(votes.methods), dict.fromkeys(votes.methods), None, reason)
    beta = model.fit(model.totals, None)
    centred = model.centre @ beta
    tie = float(beta[-1]) if model.ties else None
    found: dict[str, float | None] = dict(zip(votes.methods, map(float, centred), strict=True))
    nothing: dict[str, tuple[float, float] | None] = dict.fromkeys(votes.methods)
    kinds = {"clips": votes.clips} if votes.raters is None else {"raters": votes.raters, "clips": votes.clips}
    variances, freedoms = [], []
    for what, names in kinds.items():
        groups = sorted(set(names))
        if len(groups) < 2:
            return Strengths(found, nothing, tie, f"none: fewer than two {what}")
        left = model.without_each(names, groups, beta)
        if left is None:
            return Strengths(found, nothing, tie, f"none: one of the {what} decides alone whether a strength is finite")
        variances.append((len(groups) - 1) / len(groups) * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
        freedoms.append(len(groups) - 1.0)
    variance, freedom = variances[0], np.full(len(centred), freedoms[0])
    if len(kinds) == 2:
        alone = model.variance_of_votes(beta)
        parts = [*(np.maximum(one - alone, 0.0) for one in variances), alone]
        variance = np.maximum(variances[0] + variances[1] - alone, alone)
        freedoms.append(max(1.0, float(model.totals.sum()) - sum(freedoms) - 1))
        # Satterthwaite's degrees of freedom
        freedom = variance**2 / sum(part**2 / one for part, one in zip(parts, freedoms, strict=True))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance)
    intervals: dict[str, tuple[float, float] | None] = {
        name: (float(value - h), float(value + h)) for name, value, h in zip(votes.methods, centred, half, strict=True)
    }
    left_out = "raters and clips" if len(kinds) == 2 else "clips (the raters are not known)"
    return Strengths(found, intervals, tie, f"jackknife over {left_out}, Student t")


class _Model:
    """The likelihood of votes as a function of the parameters.

    The parameters are the strengths of all methods but the first, whose strength is 0, and the tie parameter t if there
    are ties.
    """

    def __init__(self, votes: PairVotes) -> None:
        self._votes, self._size = votes, len(votes.methods)
        self._couples = list(combinations(range(self._size), 2))
        places = {couple: place for place, couple in enumerate(self._couples)}
        swapped = votes.first > votes.second
        low, high = np.minimum(votes.first, votes.second), np.maximum(votes.first, votes.second)
        self._place = np.array([places[one] for one in zip(low.tolist(), high.tolist(), strict=True)], np.intp)
        self._counts = np.where(swapped[:, None], votes.counts[:, [1, 0, 2]], votes.counts)
        self.totals = self._summed(np.arange(len(self._place)))
        self.ties = bool(self.totals[:, 2].any())
        self._features = self._make_features()
        count = self._features.shape[2]
        own = np.eye(self._size, count + 1)[:, 1:]
        own[:, self._size - 1 :] = 0.0
        self.centre = own - own.mean(axis=0)

    def _make_features(self) -> NDArray[np.float64]:
        """Return (couples, outcomes, parameters): the derivative of each outcome's logarithm by each parameter."""
        found = np.zeros((len(self._couples), 3, self._size + self.ties))
        for place, (i, j) in enumerate(self._couples):
            found[place, 0, i] = found[place, 1, j] = 1.0
            found[place, 2, [i, j]] = 0.5
            found[place, 2, self._size :] = 1.0
        return found[:, : 3 if self.ties else 2, 1:]

    def _summed(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        totals = np.zeros((len(self._couples), 3))
        np.add.at(totals, self._place[rows], self._counts[rows])
        return totals

    def unfit(self, totals: NDArray[np.float64]) -> str | None:
        """Return why the votes give no finite strengths, None if they do.

        They do if every method can be reached from every other by steps from a method to one that it was preferred to
        or tied with (Ford, 1957).
        """
        steps = np.zeros((self._size, self._size))
        for (i, j), (won, lost, tied) in zip(self._couples, totals, strict=True):
            steps[i, j], steps[j, i] = won + tied, lost + tied
        pieces, labels = connected_components(csr_array(steps), directed=True, connection="strong")
        if pieces == 1:
            return None
        apart = [
            self._votes.methods[place] for place in np.flatnonzero(labels != np.bincount(labels).argmax()).tolist()
        ]
        return f"no finite strengths: {', '.join(apart)} won or lost every comparison with the other methods"

    def fit(self, totals: NDArray[np.float64], start: NDArray[np.float64] | None) -> NDArray[np.float64]:
        counts = totals[:, : self._features.shape[1]]
        whole = max(1.0, float(counts.sum()))
        used = np.flatnonzero(counts.sum(axis=1))
        features, counts = self._features[used], counts[used] / whole

        def chances(beta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            logs = features @ beta
            top = logs.max(axis=1, keepdims=True)
            sums = np.log(np.exp(logs - top).sum(axis=1, keepdims=True)) + top
            return logs - sums, np.exp(logs - sums)

        def value(beta: NDArray[np.float64]) -> float:
            return -float((counts * chances(beta)[0]).sum())

        def slope(beta: NDArray[np.float64]) -> NDArray[np.float64]:
            expected = counts.sum(axis=1, keepdims=True) * chances(beta)[1]
            return np.asarray(-np.einsum("ko,kop->p", counts - expected, features))

        def bend(beta: NDArray[np.float64]) -> NDArray[np.float64]:
            return _information(features, counts.sum(axis=1), chances(beta)[1])

        first = np.zeros(features.shape[2]) if start is None else start
        options: Any = {"gtol": _GRADIENT, "maxiter": 200}
        found: Any = minimize(value, first, jac=slope, hess=bend, method="trust-exact", options=options)
        return np.asarray(found.x, np.float64)

    def without_each(
        self, names: Sequence[str], groups: Sequence[str], beta: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Return centred strengths (groups, methods) without each group, None if some of them are not finite."""
        labels = np.asarray(names, dtype=str)
        found = []
        for group in groups:
            totals = self.totals - self._summed(np.flatnonzero(labels == group))
            if self.unfit(totals) is not None or (self.ties and not totals[:, 2].any()):
                return None
            found.append(self.centre @ self.fit(totals, beta))
        return np.array(found)

    def variance_of_votes(self, beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance of the centred strengths if all votes were independent."""
        outcomes = self._features.shape[1]
        logs = self._features @ beta
        chance = np.exp(logs - logs.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        counts = self.totals[:, :outcomes]
        bend = _information(self._features, counts.sum(axis=1), chance)
        mean = np.einsum("ko,kop->kp", chance, self._features)
        scores = self._features - mean[:, None, :]
        spread = np.einsum("ko,kop,koq->pq", counts, scores, scores)
        inverse = np.linalg.inv(bend)
        whole = self.centre @ inverse @ spread @ inverse @ self.centre.T
        return np.asarray(np.diag(whole))


def _information(
    features: NDArray[np.float64], counts: NDArray[np.float64], chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the second derivative of the negative log-likelihood."""
    mean = np.einsum("ko,kop->kp", chance, features)
    squares = np.einsum("k,ko,kop,koq->pq", counts, chance, features, features)
    return np.asarray(squares - np.einsum("k,kp,kq->pq", counts, mean, mean))
