"""How far measures of runs agree with people's votes.

An item of a study and a clip of a run are the same if the item is the clip's id. A run with one clip for each source
video, as those of `real`, is matched by the source video of the item's clip in another run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from lse_bench.runs.correlation import Correlation, Interval, over_clips, over_methods
from lse_bench.runs.read import Run
from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import Members, mean_with_interval
from lse_bench.study.votes import Votes
from lse_bench.tables.paired import directions_of

_EXTRAS_LOWER = ("fid", "kid", "fd_sync")  # distances of whole sets
Choice = tuple[str, str, str, float]  # item, two methods, and by how much people prefer the first


class PairAgreement(BaseModel):
    """In how many comparisons a measure and the majority of people prefer the same method."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    share: float | None
    """Share of the comparisons, 0 to 1; chance gives 0.5. Null without comparisons."""
    ci95: Interval | None
    """95 % interval of the share; null with too few items."""
    n: int
    """Number of comparisons with a majority and with both values."""
    without_majority: int
    """Number of comparisons that were left out because people were divided equally."""
    without_value: int
    """Number of comparisons that were left out because the runs lack a value, or have two equal ones."""


class MeasureAgreement(BaseModel):
    """The agreement of one measure with people."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    measure: str
    """The measure, such as `lse_d`."""
    higher_is_better: bool
    """Whether a higher value is better."""
    pairs: PairAgreement | None
    """Over comparisons of two clips; null for measures of whole sets."""
    methods: Correlation
    """Over methods: the run's mean against the strength or the mean opinion of each method."""
    clips: Correlation | None
    """Over clips: the value against the mean opinion; null without ratings."""


def agreements(
    votes: Votes, choices: Sequence[Choice], opinions: Mapping[str, float], runs: Mapping[str, Run]
) -> list[MeasureAgreement]:
    """Return the agreement of every measure of the runs with people.

    `choices`: people's preferences clip by clip. `opinions`: one value for each method; higher is better. `runs`: by
    method.
    """
    clips = _Clips(runs)
    ratings: dict[tuple[str, str], list[float]] = {}
    for item, method, value in votes.liked():
        ratings.setdefault((item, method), []).append(value)
    means = {key: fmean(values) for key, values in ratings.items()}
    found = []
    for name, higher in directions_of(list(runs.values())).items():
        values = {method: run.summary.metrics[name].mean for method, run in runs.items() if name in run.summary.metrics}
        if not any(value is not None for value in values.values()):
            continue
        by_clip = {key: clips.value(key[0], key[1], name) for key in means}
        known = [(key, value) for key, value in by_clip.items() if value is not None]
        found_over_clips = None
        if means:
            found_over_clips = over_clips(
                [means[key] for key, _ in known],
                [_turned(value, higher) for _, value in known],
                [k[0] for k, _ in known],
            )
        pairs = _pairs(choices, clips, name, higher)
        over = _over_methods(opinions, values, higher)
        found.append(
            MeasureAgreement(measure=name, higher_is_better=higher, pairs=pairs, methods=over, clips=found_over_clips)
        )
    for name in _EXTRAS_LOWER:
        values = {method: getattr(run, name) for method, run in runs.items()}
        if any(value is not None for value in values.values()):
            over = _over_methods(opinions, values, False)
            found.append(MeasureAgreement(measure=name, higher_is_better=False, pairs=None, methods=over, clips=None))
    return found


def choices_of(votes: Votes) -> list[Choice]:
    """Return people's preferences clip by clip: of comparisons, or from the mean ratings of all questions."""
    if votes.comparisons:
        added: dict[tuple[str, str, str], float] = {}
        for one in votes.comparisons:
            key = (one.item, one.first, one.second)
            added[key] = added.get(key, 0) + one.for_first - one.for_second
        return [(*key, margin) for key, margin in added.items()]
    by_item: dict[str, dict[str, list[float]]] = {}
    for item, method, value in votes.liked():
        by_item.setdefault(item, {}).setdefault(method, []).append(value)
    return [
        (item, one, other, fmean(methods[one]) - fmean(methods[other]))
        for item, methods in by_item.items()
        for one, other in combinations(sorted(methods), 2)
    ]


def people_ceiling(votes: Votes) -> PairAgreement | None:
    """Return in how many comparisons one person prefers what the majority of the other people prefers.

    Without people who agree more, no measure can agree more. None if no comparison has two votes. For ratings, a person
    who rated two methods' clips of an item differently prefers one of them.
    """
    same, items, divided = [], [], 0
    for item, own, others in _single_votes(votes):
        if not others:
            divided += 1
        else:
            same.append(float((own > 0) == (others > 0)))
            items.append(item)
    if not same:
        return None
    estimate = mean_with_interval(same, Members.of([frozenset([item]) for item in items], "item"))
    return PairAgreement(
        share=estimate.mean, ci95=_share(estimate.ci95), n=len(same), without_majority=divided, without_value=0
    )


def _single_votes(votes: Votes) -> Iterator[tuple[str, float, float]]:
    """Yield for each single preference its item, its margin, and the margin of all others on the same comparison."""
    if votes.comparisons:
        totals: dict[tuple[str, str, str], list[int]] = {}
        for vote in votes.comparisons:
            held = totals.setdefault((vote.item, vote.first, vote.second), [0, 0])
            held[0] += vote.for_first
            held[1] += vote.for_second
        for (item, _, _), (first, second) in totals.items():
            if first + second > 1:
                yield from ((item, 1.0, float(first - 1 - second)) for _ in range(first))
                yield from ((item, -1.0, float(first - second + 1)) for _ in range(second))
        return
    sign = {"high": 1.0, "low": -1.0}
    given: dict[str, dict[str, dict[str, list[float]]]] = {}
    for rating in votes.ratings:
        end = votes.better.get(rating.question, "high")
        if end in sign:
            by_method = given.setdefault(rating.item, {}).setdefault(rating.rater, {})
            by_method.setdefault(rating.method, []).append(sign[end] * rating.value)
    for item, raters in given.items():
        methods = sorted({name for held in raters.values() for name in held})
        for one, other in combinations(methods, 2):
            margins = [fmean(h[one]) - fmean(h[other]) for h in raters.values() if one in h and other in h]
            total = sum(margins)
            if len(margins) > 1:
                yield from ((item, margin, total - margin) for margin in margins if margin)


class _Clips:
    """The records of runs by item and method."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._by_id = {method: {record.id: record for record in run.records} for method, run in runs.items()}
        self._by_video: dict[str, dict[str, Record | None]] = {}
        for method, run in runs.items():
            found: dict[str, Record | None] = {}
            for record in run.records:
                video = record.groups.get("video")
                if video is not None:
                    found[video] = None if video in found else record  # two clips of one video: neither is meant
            self._by_video[method] = found

    def value(self, item: str, method: str, measure: str) -> float | None:
        record = self._record(item, method)
        return None if record is None else record.value(measure)

    def _record(self, item: str, method: str) -> Record | None:
        if method not in self._by_id:
            return None
        if item in self._by_id[method]:
            return self._by_id[method][item]
        there = next((records[item] for records in self._by_id.values() if item in records), None)
        return None if there is None else self._by_video[method].get(there.groups.get("video", ""))


def _turned(value: float, higher: bool) -> float:
    return value if higher else -value


def _pairs(choices: Sequence[Choice], clips: _Clips, measure: str, higher: bool) -> PairAgreement:
    same, items, divided, unknown = [], [], 0, 0
    for item, one, other, margin in choices:
        values = clips.value(item, one, measure), clips.value(item, other, measure)
        if not margin:
            divided += 1
        elif values[0] is None or values[1] is None or values[0] == values[1]:
            unknown += 1
        else:
            same.append(float((_turned(values[0] - values[1], higher) > 0) == (margin > 0)))
            items.append(item)
    estimate = mean_with_interval(same, Members.of([frozenset([item]) for item in items], "item"))
    return PairAgreement(
        share=estimate.mean,
        ci95=_share(estimate.ci95),
        n=len(same),
        without_majority=divided,
        without_value=unknown,
    )


def _share(interval: Interval | None) -> Interval | None:
    return None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1]))


def _over_methods(opinions: Mapping[str, float], values: Mapping[str, float | None], higher: bool) -> Correlation:
    couples = [
        (opinions[name], _turned(value, higher))
        for name, value in values.items()
        if value is not None and name in opinions
    ]
    return over_methods([one for one, _ in couples], [other for _, other in couples])
