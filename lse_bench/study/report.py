"""The report of people's votes: opinions, strengths, shares of votes, reliability, agreement with measures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from lse_bench.errors import UsageError
from lse_bench.runs.read import Run
from lse_bench.stored import Surroundings
from lse_bench.study.agreement import MeasureAgreement, PairAgreement, agreements, choices_of, people_ceiling
from lse_bench.study.checks import Rules
from lse_bench.study.clusters import clustered_difference, clustered_mean
from lse_bench.study.crossed import crossed_mean
from lse_bench.study.folder import Study
from lse_bench.study.reliability import alphas
from lse_bench.study.strengths import Strengths, fit_strengths
from lse_bench.study.votes import Comparison, Votes
from lse_bench.versions import require, surroundings

SCHEMA = 2
_Interval = tuple[float, float]


class Opinion(BaseModel):
    """The mean opinion of one method for one question."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    question: str
    """The question."""
    method: str
    """The method."""
    mean: float | None
    """The mean of all ratings."""
    ci95: _Interval | None
    """95 % interval for other raters and other clips; null with fewer than two of either."""
    ci_method: str
    """How the interval was computed."""
    n: int
    """Number of ratings."""
    raters: int
    """Number of raters."""
    clips: int
    """Number of clips."""


class Difference(BaseModel):
    """The difference of two methods' mean opinions for one question."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    question: str
    """The question."""
    methods: tuple[str, str]
    """The two methods."""
    difference: float
    """Mean rating of the first minus that of the second."""
    ci95: _Interval | None
    """95 % interval for other raters and other clips; null with fewer than two of either."""


class Excluded(BaseModel):
    """A rater whose answers were not used."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    rater: int
    """The number of the rater."""
    accepted: bool
    """Whether the rater did the whole work."""
    reasons: list[str]
    """The rules that exclude the rater."""


class Exclusions(BaseModel):
    """Whose answers were used."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    began: int
    """Number of raters who agreed to take part and did not withdraw."""
    accepted: int
    """Number of raters who did the whole work, with sound."""
    used: int
    """Number of accepted raters who also passed the checks."""
    reasons: dict[str, int]
    """Number of raters that each rule excludes; a rater may break several."""
    rules: Rules
    """The rules."""
    excluded: list[Excluded] = []
    """Every rater who began and whose answers were not used."""


class Preference(BaseModel):
    """The votes in comparisons of two methods."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    methods: tuple[str, str]
    """The two methods."""
    votes: tuple[int, int, int]
    """Votes for the first, for the second, and for no difference."""
    share: float | None
    """Share of the first in the votes for one of the two, 0 to 1; null without such votes."""
    ci95: _Interval | None = None
    """95 % interval of the share for other raters and other clips; null with too few of either."""


class Strength(BaseModel):
    """The strength of one method in paired comparisons."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    method: str
    """The method."""
    strength: float | None
    """Strength on the logarithmic scale; the mean over methods is 0. Null if it is not finite."""
    ci95: _Interval | None
    """95 % interval for other raters and other clips."""


class StudyReport(Surroundings):
    """The content of report.json."""

    schema_version: int = SCHEMA
    """Version of this format."""
    kind: Literal["study report"] = "study report"
    """Kind of the file."""
    source: Literal["people"] = "people"
    """Whose judgement it is: that of people, not of a measure."""
    votes_sha256: str
    """SHA-256 digest of the votes."""
    methods: list[str]
    """The methods."""
    items: int
    """Number of items: sources that every method has redrawn."""
    raters: int | None
    """Number of raters; null if they are not known."""
    votes: int
    """Number of votes: comparisons by one rater, or answers to one question on one clip."""
    study: str | None = None
    """The id of the study; null for votes from elsewhere."""
    manifest_sha256: str | None = None
    """SHA-256 digest of the manifest of the study; null for votes from elsewhere."""
    exclusions: Exclusions | None = None
    """Whose answers were used; null for votes from elsewhere."""
    better: dict[str, str]
    """Which end of the scale is better, by question: high, low or none."""
    opinions: list[Opinion]
    """Mean opinions, by question and method; empty for comparisons."""
    differences: list[Difference]
    """Differences of mean opinions, by question and pair of methods; empty for comparisons."""
    alpha: dict[str, float | None]
    """Krippendorff's alpha by question (interval scale), or of comparisons (nominal scale); null if it is unknown."""
    strengths: list[Strength]
    """Strengths, the highest first; empty for ratings."""
    strengths_method: str | None
    """How the intervals of strengths were computed, or why there are none; null for ratings."""
    tie: float | None
    """Davidson's tie parameter on the logarithmic scale; null if nobody saw no difference."""
    preferences: list[Preference]
    """Votes by two methods; empty for ratings."""
    signatures: dict[str, str]
    """The signatures of the runs whose measures were set beside the votes, by method."""
    measures: list[MeasureAgreement]
    """Agreement of each measure of the runs with people; empty without runs."""
    ceiling: PairAgreement | None = None
    """In how many comparisons one person agrees with the majority of the others; null if none has two votes."""


def report_votes(
    votes: Votes,
    runs: Mapping[str, Run] | None = None,
    study: Study | None = None,
    exclusions: Exclusions | None = None,
) -> StudyReport:
    """Analyse votes.

    `runs`: runs of the same methods by the method's name in the votes. `study`, `exclusions`: the study of the votes,
    and whose answers they are; None for votes from elsewhere. Raises UsageError if a run is of no method of the votes,
    or if krippendorff is not installed.
    """
    require("krippendorff", "study", "the analysis of votes")
    runs = runs or {}
    unknown = next((name for name in runs if name not in votes.methods), None)
    if unknown is not None:
        raise UsageError(f"the votes have no method {unknown}; there are: {', '.join(votes.methods)}")
    opinions = _opinions(votes)
    fitted = fit_strengths(votes.pair_votes()) if votes.comparisons else None
    return StudyReport(
        **surroundings("krippendorff"),
        votes_sha256=votes.sha256,
        methods=votes.methods,
        items=votes.items,
        raters=votes.raters,
        votes=len(votes.ratings) + sum(sum(one[3:6]) for one in votes.comparisons),
        study=None if study is None else study.id,
        manifest_sha256=None if study is None else study.manifest_sha256,
        exclusions=exclusions,
        better={name: votes.better.get(name, "high") for name in dict.fromkeys(one.question for one in votes.ratings)},
        opinions=opinions,
        differences=_differences(votes),
        alpha=alphas(votes),
        strengths=[] if fitted is None else _strengths(fitted),
        strengths_method=None if fitted is None else fitted.ci_method,
        tie=None if fitted is None else fitted.tie,
        preferences=_preferences(votes),
        signatures={name: run.signature for name, run in runs.items()},
        measures=agreements(votes, choices_of(votes), _standing(votes, fitted), runs) if runs else [],
        ceiling=people_ceiling(votes),
    )


def _opinions(votes: Votes) -> list[Opinion]:
    grouped: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(votes.ratings):
        grouped.setdefault((one.question, one.method), []).append(place)
    found = []
    for (question, method), places in grouped.items():
        chosen = [votes.ratings[place] for place in places]
        mean = crossed_mean([one.value for one in chosen], [o.rater for o in chosen], [o.item for o in chosen])
        found.append(
            Opinion(
                question=question,
                method=method,
                mean=mean.mean,
                ci95=mean.ci95,
                ci_method=mean.ci_method,
                n=mean.n,
                raters=mean.raters,
                clips=mean.clips,
            )
        )
    return found


def _strengths(fitted: Strengths) -> list[Strength]:
    rows = [Strength(method=name, strength=s, ci95=fitted.ci95[name]) for name, s in fitted.strengths.items()]
    return sorted(rows, key=lambda row: -(row.strength or 0.0))


def _standing(votes: Votes, fitted: Strengths | None) -> dict[str, float]:
    """Return one value for each method: its strength, or the mean of its ratings; higher is better."""
    if fitted is not None:
        return {name: value for name, value in fitted.strengths.items() if value is not None}
    means: dict[str, list[float]] = {}
    for _, method, value in votes.liked():
        means.setdefault(method, []).append(value)
    return {name: float(np.mean(values)) for name, values in means.items()}


def _differences(votes: Votes) -> list[Difference]:
    """Return the differences of all pairs of methods. What a rater or clip does to both methods cancels."""
    found = []
    for question in dict.fromkeys(one.question for one in votes.ratings):
        asked = [one for one in votes.ratings if one.question == question]
        for first, second in combinations(dict.fromkeys(one.method for one in asked), 2):
            both = [one for one in asked if one.method in (first, second)]
            difference = clustered_difference(
                [one.value for one in both],
                [one.method == first for one in both],
                [one.rater for one in both],
                [one.item for one in both],
            )
            assert difference.value is not None
            found.append(
                Difference(
                    question=question, methods=(first, second), difference=difference.value, ci95=difference.ci95
                )
            )
    return found


def _preferences(votes: Votes) -> list[Preference]:
    by_couple: dict[tuple[str, str], list[Comparison]] = {}
    for one in votes.comparisons:
        by_couple.setdefault((one.first, one.second), []).append(one)
    found = []
    for couple, rows in sorted(by_couple.items()):
        counts = (sum(o.for_first for o in rows), sum(o.for_second for o in rows), sum(o.ties for o in rows))
        weights = [one.for_first + one.for_second for one in rows]
        share = clustered_mean(
            [one.for_first / max(1, weight) for one, weight in zip(rows, weights, strict=True)],
            weights,
            None if votes.raters is None else [str(one.rater) for one in rows],
            [one.item for one in rows],
        )
        inside = None if share.ci95 is None else (max(0.0, share.ci95[0]), min(1.0, share.ci95[1]))
        found.append(Preference(methods=couple, votes=counts, share=share.value, ci95=inside))
    return found
