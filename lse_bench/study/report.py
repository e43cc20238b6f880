"""The report of people's votes: opinions, strengths, shares of votes, reliability, and agreement with measures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from lse_bench.errors import UsageError
from lse_bench.runs.read import Run
from lse_bench.stored import Surroundings
from lse_bench.study.agreement import LEAST_METHODS, MeasureAgreement, agreements, choices_of
from lse_bench.study.crossed import crossed_mean
from lse_bench.study.strengths import Strengths, fit_strengths
from lse_bench.study.votes import Votes
from lse_bench.tables import escape
from lse_bench.versions import require, surroundings

SCHEMA = 1
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


class Preference(BaseModel):
    """The votes in comparisons of two methods."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    methods: tuple[str, str]
    """The two methods."""
    votes: tuple[int, int, int]
    """Votes for the first, for the second, and for no difference."""
    share: float | None
    """Share of the first in the votes for one of the two, 0 to 1; null without such votes."""


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
    opinions: list[Opinion]
    """Mean opinions, by question and method; empty for comparisons."""
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


def report_votes(votes: Votes, runs: Mapping[str, Run] | None = None) -> StudyReport:
    """Analyse votes.

    `runs`: runs of the same methods by the method's name in the votes. Raises UsageError if a run is of no method of
    the votes, or if krippendorff is not installed.
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
        opinions=opinions,
        alpha=_alphas(votes),
        strengths=[] if fitted is None else _strengths(fitted),
        strengths_method=None if fitted is None else fitted.ci_method,
        tie=None if fitted is None else fitted.tie,
        preferences=_preferences(votes),
        signatures={name: run.signature for name, run in runs.items()},
        measures=agreements(votes, choices_of(votes), _standing(opinions, fitted), runs) if runs else [],
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


def _standing(opinions: list[Opinion], fitted: Strengths | None) -> dict[str, float]:
    """Return one value for each method: its strength, or the mean of its mean opinions over all questions."""
    if fitted is not None:
        return {name: value for name, value in fitted.strengths.items() if value is not None}
    means: dict[str, list[float]] = {}
    for one in opinions:
        if one.mean is not None:
            means.setdefault(one.method, []).append(one.mean)
    return {name: float(np.mean(values)) for name, values in means.items()}


def _preferences(votes: Votes) -> list[Preference]:
    counts = {couple: np.zeros(3, int) for couple in combinations(sorted(votes.methods), 2)}
    for one in votes.comparisons:
        counts[one.first, one.second] += (one.for_first, one.for_second, one.ties)
    found = []
    for couple, (first, second, ties) in counts.items():
        if first + second + ties:
            share = None if not first + second else float(first / (first + second))
            found.append(Preference(methods=couple, votes=(int(first), int(second), int(ties)), share=share))
    return found


def _alphas(votes: Votes) -> dict[str, float | None]:
    """Return Krippendorff's alpha of each question. Comparisons without names of raters have counts only."""
    import krippendorff

    found: dict[str, float | None] = {}
    if votes.comparisons:
        units: dict[tuple[str, str, str], Any] = {}
        for one in votes.comparisons:
            key = (one.item, one.first, one.second)
            counts = np.array([one.for_first, one.for_second, one.ties])
            units[key] = units.get(key, np.zeros(3, int)) + counts
        found["comparison"] = _alpha(krippendorff, {"value_counts": np.array(list(units.values()))}, "nominal")
    for question in dict.fromkeys(one.question for one in votes.ratings):
        asked = [one for one in votes.ratings if one.question == question]
        raters = {name: place for place, name in enumerate(dict.fromkeys(one.rater for one in asked))}
        clips = {key: place for place, key in enumerate(dict.fromkeys((one.item, one.method) for one in asked))}
        data = np.full((len(raters), len(clips)), np.nan)
        for rating in asked:
            data[raters[rating.rater], clips[rating.item, rating.method]] = rating.value
        found[question] = _alpha(krippendorff, {"reliability_data": data}, "interval")
    return found


def _alpha(library: Any, data: dict[str, Any], scale: str) -> float | None:
    """Return alpha; None if no clip has two votes, or if all votes are equal."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            value = float(library.alpha(**data, level_of_measurement=scale))
    except (ValueError, AssertionError, ZeroDivisionError):
        return None
    return value if np.isfinite(value) else None


def markdown(report: StudyReport) -> str:
    """Return the report as Markdown."""
    who = "raters not named" if report.raters is None else f"{report.raters} raters"
    lines = [
        "# People's votes",
        "",
        f"{report.votes} votes, {who}, {report.items} items, {len(report.methods)} methods. "
        f"SHA-256 of the votes {report.votes_sha256[:16]}.",
    ]
    if report.strengths:
        lines += ["", "## Strengths", "", "| method | strength | 95 % interval |", "|---|---:|---:|"]
        lines += [f"| {_name(o.method)} | {_number(o.strength)} | {_range(o.ci95)} |" for o in report.strengths]
        lines += ["", f"Logarithmic scale, mean 0. Intervals: {report.strengths_method}."]
        lines += ["", "| methods | for the first | for the second | no difference | share of the first |"]
        lines += ["|---|---:|---:|---:|---:|"]
        for one in report.preferences:
            first, second, ties = one.votes
            both = " / ".join(map(_name, one.methods))
            lines.append(f"| {both} | {first} | {second} | {ties} | {_number(one.share)} |")
    if report.opinions:
        lines += ["", "## Mean opinions", "", "| question | method | mean | 95 % interval | ratings | raters | clips |"]
        lines += ["|---|---|---:|---:|---:|---:|---:|"]
        for row in report.opinions:
            numbers = f"{_number(row.mean)} | {_range(row.ci95)} | {row.n} | {row.raters} | {row.clips}"
            lines.append(f"| {_name(row.question)} | {_name(row.method)} | {numbers} |")
        few = next((row.ci_method for row in report.opinions if row.ci95 is None), None)
        lines += ["", f"Intervals: {few or report.opinions[0].ci_method}."]
    told = ", ".join(f"{_name(name)} {_number(value)}" for name, value in report.alpha.items())
    lines += ["", f"Krippendorff's alpha: {told}."]
    if report.measures:
        lines += ["", "## Measures and people", ""]
        lines += [
            "| measure | comparisons agreed on | 95 % interval | n | Spearman, methods | Kendall, methods | methods |"
        ]
        lines += ["|---|---:|---:|---:|---:|---:|---:|"]
        for m in report.measures:
            pairs = ("–", "–", "–") if m.pairs is None else (_number(m.pairs.share), _range(m.pairs.ci95), m.pairs.n)
            over = (_number(m.methods.spearman), _number(m.methods.kendall), m.methods.n)
            lines.append(f"| {m.measure} | {' | '.join(map(str, (*pairs, *over)))} |")
        lines += ["", "Chance agrees on 0.5 of the comparisons. A correlation of 1 is full agreement."]
        if any(m.methods.n < LEAST_METHODS for m in report.measures):
            lines += [f"A correlation over fewer than {LEAST_METHODS} methods has no interval."]
        if any(m.clips for m in report.measures):
            lines += ["", "| measure | Spearman, clips | 95 % interval | Kendall, clips | 95 % interval | clips |"]
            lines += ["|---|---:|---:|---:|---:|---:|"]
        for m in report.measures:
            if m.clips is not None:
                c = m.clips
                rho, tau = (_number(c.spearman), _range(c.spearman_ci95)), (_number(c.kendall), _range(c.kendall_ci95))
                lines.append(f"| {m.measure} | {' | '.join((*rho, *tau, str(c.n)))} |")
        lines += ["", *(f"- {_name(name)}: `{signature}`" for name, signature in report.signatures.items())]
    return "\n".join(lines) + "\n"


def _name(text: str) -> str:
    return escape.markdown(text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(ci95: _Interval | None) -> str:
    return "–" if ci95 is None else f"{ci95[0]:.3f} to {ci95[1]:.3f}"
