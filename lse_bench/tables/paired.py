"""Runs against each other: paired differences on what both scored, and ranks.

A difference of two means over the same clips is known far better than either mean, since hard clips are hard for both.
Where one run has a row per source video (`real`) its score stands against every pair of that video.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.runs.directory import key_differences, read_description
from lse_bench.runs.follows import refuse_edited_records
from lse_bench.runs.records import Record, read_records
from lse_bench.runs.statistics import Estimate, holm, mean_with_interval
from lse_bench.runs.summary import HIGHER_IS_BETTER, members_of

ALPHA = 0.05
_SAME = 1e-6  # in units of the score: what rounding may move from machine to machine decides nothing


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of first minus second with its interval, over the clips that both scored.

    `better`: which is better, "first" or "second", at the 5 % level, None where neither is.
    """

    metric: str
    estimate: Estimate
    better: str | None


def pairs_of(first: Sequence[Record], second: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    """Scored records of the same clip, or of a pair and the untouched video that it was made from.

    Where several untouched clips are of one recording nobody knows which of them a pair was made from: left out.
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
    """Untouched clips by the name of their picture, those with a name of their own."""
    count = Counter(record.groups.get("video") for record in records)
    return {
        record.groups["video"]: record
        for record in records
        if count[record.groups.get("video")] == 1 and _untouched(record)
    }


def _untouched(record: Record) -> bool:
    """Whether a record is of a source video as it was: it has a picture and no foreign sound."""
    return "video" in record.groups and "sound" not in record.groups


def difference(first: Sequence[Record], second: Sequence[Record], metric: str) -> Difference:
    """The paired difference in one metric."""
    couples = [
        (one, two)
        for one, two in pairs_of(first, second)
        if getattr(one, metric) is not None and getattr(two, metric) is not None
    ]
    values = [float(getattr(one, metric)) - float(getattr(two, metric)) for one, two in couples]
    members, unit = members_of([one if len(one.groups) >= len(two.groups) else two for one, two in couples])
    estimate = mean_with_interval(values, members, unit)
    return Difference(metric, estimate, _better(estimate, estimate.p_value, metric))


def _better(estimate: Estimate, p_value: float | None, metric: str) -> str | None:
    if p_value is None or p_value >= ALPHA or estimate.mean is None or metric not in HIGHER_IS_BETTER:
        return None
    if abs(estimate.mean) <= _SAME:
        return None
    return "first" if (estimate.mean > 0) == HIGHER_IS_BETTER[metric] else "second"


def ranks(methods: Mapping[str, Sequence[Record]], metric: str) -> dict[str, int]:
    """1 + the number of methods that are significantly better, after Holm's correction over all pairs of methods."""
    couples = list(combinations(methods, 2))
    found = [difference(methods[one], methods[two], metric) for one, two in couples]
    known = [(couple, item) for couple, item in zip(couples, found, strict=True) if item.estimate.p_value is not None]
    corrected = holm([item.estimate.p_value or 0.0 for _, item in known])
    result = dict.fromkeys(methods, 1)
    for ((one, two), item), p_value in zip(known, corrected, strict=True):
        better = _better(item.estimate, p_value, metric)
        if better is not None:
            result[two if better == "first" else one] += 1
    return result


def refuse_mixed(descriptions: Mapping[str, Mapping[str, Any]], lists: bool = True) -> None:
    """Raise UsageError, naming the field, unless all runs may stand in one table. Takes the contents of run.json.

    `lists`: where there is no manifest, the lists of clips must be the same.
    """
    names = list(descriptions)
    for name in names[1:]:
        one, other = descriptions[names[0]], descriptions[name]
        differing = key_differences(one, other)
        whole = [("manifest_sha256", one.get("manifest_sha256"), other.get("manifest_sha256"))]
        if lists and one.get("manifest_sha256") is None:
            whole.append(("the list of clips", one["list"]["sha256"], other["list"]["sha256"]))
        differing += [value for value in whole if value[1] != value[2]]
        for field, here, there in differing:
            raise UsageError(
                f"{names[0]} and {name} cannot be compared: {field} differs ({here} and {there}). Score both the same "
                "way, of the same list"
            )


def byte_equal(first: Sequence[Record], second: Sequence[Record]) -> tuple[int, int]:
    """How many files of the same clip are equal byte for byte, and of how many both digests are known."""
    digests = {record.id: record.sha256 for record in second if record.sha256}
    known = [(record.sha256, digests[record.id]) for record in first if record.sha256 and record.id in digests]
    return sum(one == other for one, other in known), len(known)


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """What two run directories say against each other: counts and the paired difference in every metric.

    Raises UsageError for runs that cannot be compared, or that share no scored clip.
    """
    refuse_mixed({str(run): read_description(run) for run in (first, second)}, lists=False)
    ours, theirs = read_records(first), read_records(second)
    for run, records in ((first, ours), (second, theirs)):
        refuse_edited_records(run, records, read_description(run)["key"].get("track_rule"))
    both = sum(1 for _ in pairs_of(ours, theirs))
    if not both:
        raise UsageError(f"{first} and {second} share no clip that both scored; are they of the same list?")
    equal, of = byte_equal(ours, theirs)
    metrics = {}
    for metric, higher in HIGHER_IS_BETTER.items():
        found = difference(ours, theirs, metric)
        metrics[metric] = {
            "difference": found.estimate.mean,
            "ci95": found.estimate.ci95,
            "p_value": found.estimate.p_value,
            "n": found.estimate.n,
            "higher_is_better": higher,
            "better": {"first": str(first), "second": str(second), None: None}[found.better],
        }
    scored = [sum(record.status == "ok" for record in records) for records in (ours, theirs)]
    return {
        "runs": [str(first), str(second)],
        "scored": scored,
        "listed": [len(ours), len(theirs)],
        "both": both,
        "byte_equal": equal,
        "same_clips": of,
        "ci_method": difference(ours, theirs, "lse_c").estimate.ci_method,
        "metrics": metrics,
    }
