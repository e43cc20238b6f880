"""Compare runs: paired differences over the clips that both scored, and ranks.

The difference of two means over the same clips is far more precise than either mean, because clips that are hard for
one method are hard for both. A run of `real` has one row per source video. That row is compared with every pair of its
source video.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lse_bench.errors import UsageError
from lse_bench.runs.directory import key_differences
from lse_bench.runs.follows import refuse_edited_records
from lse_bench.runs.read import Run, read_run
from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import Estimate, holm, mean_with_interval
from lse_bench.runs.summary import HIGHER_IS_BETTER, members_of

Better = Literal["first", "second"]
ALPHA = 0.05
_SAME = 1e-6  # in units of the score; smaller differences may come from rounding, so they decide nothing


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of first minus second with its 95 % interval, over the clips that both scored.

    `better`: the run that is better at the 5 % level, "first" or "second"; None if neither is.
    """

    metric: str
    estimate: Estimate
    better: Better | None


def pairs_of(first: Sequence[Record], second: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    """Yield the scored records of `first` and `second` that belong together.

    They have the same clip id. If only one run holds untouched source videos, a pair belongs to its source video
    instead. A source video with several untouched clips is left out, because the clip of a pair is then ambiguous.
    """
    untouched = [all(map(_untouched, records)) and bool(records) for records in (first, second)]
    if untouched[0] == untouched[1]:
        others = {record.id: record for record in second if record.status == "ok"}
        yield from ((record, others[record.id]) for record in first if record.status == "ok" and record.id in others)
        return
    sources = sources_of(first if untouched[0] else second)
    for record in second if untouched[0] else first:
        source = sources.get(record.groups.get("video", ""))
        if record.status == "ok" and source is not None and source.status == "ok":
            yield (source, record) if untouched[0] else (record, source)


def sources_of(records: Sequence[Record]) -> dict[str, Record]:
    """Return the records of untouched clips by source video. Source videos with several records are left out."""
    count = Counter(record.groups.get("video") for record in records)
    return {
        record.groups["video"]: record
        for record in records
        if count[record.groups.get("video")] == 1 and _untouched(record)
    }


def _untouched(record: Record) -> bool:
    """Return whether a record is of an untouched source video: its groups name a video and no sound."""
    return "video" in record.groups and "sound" not in record.groups


def directions_of(runs: Sequence[Run]) -> dict[str, bool]:
    """Return whether a higher value is better, by metric and by further measure of the runs that has a better end."""
    measures = {
        name: about.higher_is_better
        for run in runs
        for name, about in run.description.measures.items()
        if about.higher_is_better is not None
    }
    return HIGHER_IS_BETTER | measures


def difference(
    first: Sequence[Record], second: Sequence[Record], metric: str, higher: bool | None = None
) -> Difference:
    """Return the paired difference in one metric, first minus second.

    `higher`: whether a higher value is better; None for what is known of the metric, so for neither if it is unknown.
    """
    couples = [
        (one, two, here - there)
        for one, two in pairs_of(first, second)
        if (here := one.value(metric)) is not None and (there := two.value(metric)) is not None
    ]
    members = members_of([one if len(one.groups) >= len(two.groups) else two for one, two, _ in couples])
    estimate = mean_with_interval([apart for _, _, apart in couples], members)
    higher = HIGHER_IS_BETTER.get(metric) if higher is None else higher
    return Difference(metric, estimate, _better(estimate, estimate.p_value, higher))


def _better(estimate: Estimate, p_value: float | None, higher: bool | None) -> Better | None:
    if p_value is None or p_value >= ALPHA or estimate.mean is None or higher is None:
        return None
    if abs(estimate.mean) <= _SAME:
        return None
    return "first" if (estimate.mean > 0) == higher else "second"


def ranks(methods: Mapping[str, Sequence[Record]], metric: str, higher: bool | None = None) -> dict[str, int]:
    """Return the rank of each method that has a value: 1 + the number of methods that are significantly better.

    `higher`: as in `difference`. The level is 5 %, after Holm's correction over all pairs of methods.
    """
    higher = HIGHER_IS_BETTER.get(metric) if higher is None else higher
    methods = {name: of for name, of in methods.items() if any(one.value(metric) is not None for one in of)}
    couples = list(combinations(methods, 2))
    found = [difference(methods[one], methods[two], metric, higher) for one, two in couples]
    known = [(couple, item) for couple, item in zip(couples, found, strict=True) if item.estimate.p_value is not None]
    corrected = holm([item.estimate.p_value or 0.0 for _, item in known])
    result = dict.fromkeys(methods, 1)
    for ((one, two), item), p_value in zip(known, corrected, strict=True):
        better = _better(item.estimate, p_value, higher)
        if better is not None:
            result[two if better == "first" else one] += 1
    return result


def refuse_mixed(runs: Sequence[Run], lists: bool | None = True) -> None:
    """Raise UsageError unless all runs may be in one table. The message names the field that differs.

    The comparison key and the manifest must be equal. Runs whose clips have 25 frames per second may stand beside runs
    whose clips were converted to it by presentation time, which changes no clip of 25. `lists`: if there is no
    manifest, the lists of clips must be equal, too; None means that neither need be equal.
    """
    for first, second in product(runs[:1], runs[1:]):
        one, other = first.description, second.description
        differing = [
            value
            for value in key_differences(first.summary.key, second.summary.key)
            if value[0] != "fps_policy" or {value[1], value[2]} != {"25", "resample"}
        ]
        whole = [("manifest_sha256", one.manifest_sha256, other.manifest_sha256)]
        if lists and one.manifest_sha256 is None:
            whole.append(("the list of clips", one.clip_list.sha256, other.clip_list.sha256))
        differing += [value for value in whole if value[1] != value[2] and lists is not None]
        differing += [
            (f"the measure {name}", one.measures[name].id, other.measures[name].id)
            for name in sorted(set(one.measures) & set(other.measures))
            if one.measures[name].id != other.measures[name].id
        ]
        for field, here, there in differing:
            cure = "Score both with the same settings and the same list of clips"
            if field == "fps_policy":
                cure = f"{_rates(first)}; {_rates(second)}. Score with --fps-policy resample what is not 25 fps"
            raise UsageError(
                f"{first.name} and {second.name} cannot be compared: {field} differs ({here} and {there}). {cure}"
            )


def _rates(run: Run) -> str:
    """Return what happened to clips of another frame rate."""
    refused, converted = run.summary.failed.get("wrong_fps", 0), run.summary.converted or 0
    return f"{run.name}: {refused} clips were refused and {converted} converted for their rate"


@dataclass(frozen=True, slots=True)
class ByteEqual:
    """A count of equal files in two runs.

    `equal`: number of clips whose files are equal byte for byte. `known`: number of clips whose digests are known in
    both runs.
    """

    equal: int
    known: int


def byte_equal(first: Sequence[Record], second: Sequence[Record]) -> ByteEqual:
    """Count the clips whose files are equal byte for byte in two runs."""
    digests = {record.id: record.sha256 for record in second if record.sha256}
    known = [(record.sha256, digests[record.id]) for record in first if record.sha256 and record.id in digests]
    return ByteEqual(sum(one == other for one, other in known), len(known))


class MetricDifference(BaseModel):
    """The paired difference of two runs in one metric, first minus second."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    difference: float | None
    """Mean difference over the clips that both scored; null without such clips."""
    ci95: tuple[float, float] | None
    """95 % interval of the mean; null if too few results are independent."""
    p_value: float | None
    """Two-sided p value of the hypothesis that there is no difference; null without an interval."""
    n: int
    """Number of clips that both scored in this metric."""
    higher_is_better: bool | None
    """Whether a higher value is better, so that a positive difference favours the first run; null if neither end is."""
    better: Literal["first", "second"] | None
    """The run that is better at the 5 % level; null if neither is."""


class Comparison(BaseModel):
    """A paired comparison of two runs with the same comparison key."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    runs: tuple[str, str]
    """Names of the runs."""
    scored: tuple[int, int]
    """Number of clips with a score, in each run."""
    listed: tuple[int, int]
    """Number of clips with a record, in each run."""
    both: int
    """Number of clips that both scored."""
    byte_equal: int
    """Number of clips whose files are equal byte for byte in both runs."""
    same_clips: int
    """Number of clips whose digests are known in both runs."""
    ci_method: str
    """How the intervals were computed."""
    signatures: tuple[str, str]
    """The signature of each run."""
    metrics: dict[str, MetricDifference]
    """Differences by metric."""


def compare(first: Run | Path | str, second: Run | Path | str) -> Comparison:
    """Compare two runs clip by clip: counts, and the paired difference in every metric.

    `first`, `second`: a run or a run directory. Raises UsageError if the runs cannot be compared (the message names the
    field that differs), if records were edited, or if no clip was scored in both.
    """
    one, other = (run if isinstance(run, Run) else read_run(run) for run in (first, second))
    refuse_mixed((one, other), lists=False)
    for run in (one, other):
        refuse_edited_records(run.name, run.records, run.description)
    both = sum(1 for _ in pairs_of(one.records, other.records))
    if not both:
        raise UsageError(f"{one.name} and {other.name} share no clip that both scored; score both with the same list")
    equal = byte_equal(one.records, other.records)
    metrics = {}
    shared = set(one.description.clip_measures) & set(other.description.clip_measures)
    directions: dict[str, bool | None] = dict(HIGHER_IS_BETTER)
    directions |= {name: one.description.measures[name].higher_is_better for name in sorted(shared)}
    for metric, higher in directions.items():
        found = difference(one.records, other.records, metric, higher)
        metrics[metric] = MetricDifference(
            difference=found.estimate.mean,
            ci95=found.estimate.ci95,
            p_value=found.estimate.p_value,
            n=found.estimate.n,
            higher_is_better=higher,
            better=found.better,
        )
    return Comparison(
        runs=(one.name, other.name),
        scored=(one.summary.scored, other.summary.scored),
        listed=(len(one.records), len(other.records)),
        both=both,
        byte_equal=equal.equal,
        same_clips=equal.known,
        ci_method=difference(one.records, other.records, "lse_c").estimate.ci_method,
        signatures=(one.signature, other.signature),
        metrics=metrics,
    )
