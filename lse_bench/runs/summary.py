"""Summarise the records of a run: counts, means and intervals. A summary depends only on run.json and the records."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import NamedTuple

import numpy as np

from lse_bench.errors import STATUSES, Status, UsageError
from lse_bench.runs.schema import MetricSummary, Record, RunDescription, Scores, Summary
from lse_bench.runs.set_values import SETS_FILE, Sets
from lse_bench.runs.statistics import Members, mean_with_interval, normal_interval
from lse_bench.runs.usage import RunUsage, total_usage
from lse_bench.sync.signature import as_happened, at_25, signature

METRICS = ("lse_d", "lse_c", "offset", "lse_d_at_0", "lse_d_valid", "lse_c_valid", "offset_valid", "offset_ms")
_NEWER = {"offset_ms"}  # metrics that records of older versions lack
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
HIGHER_IS_BETTER = {"lse_c": True, "lse_c_valid": True, "lse_d": False, "lse_d_at_0": False, "lse_d_valid": False}


class _Columns:
    """The records of a run as columns. A million records need 1 GB here, and 3 GB as objects.

    `rule`: the track rule; under `all` each scored face track is a row, otherwise each scored clip.
    """

    def __init__(self, rule: str | None, measures: Iterable[str] = ()) -> None:
        self._rule = rule
        self.measured = {name: array("d") for name in measures}  # one value a scored clip, also where tracks are rows
        self.failed: Counter[Status] = Counter()
        self.grades: Counter[str] = Counter()
        self.offsets: Counter[int] = Counter()
        self.converted = self.warned = self.records = 0
        self.scored: list[Grouped] = []
        self.seconds = array("d")
        self.names: list[str] = []  # what the rows are sorted by
        self.owners = array("q")  # the place in `scored` of each row
        self.values = {metric: array("d") for metric in METRICS}

    def add(self, record: Record) -> None:
        """Add a record."""
        self.records += 1
        if record.status != "ok":
            self.failed[record.status] += 1
            return
        self.converted += not at_25(record.fps, record.warnings)
        self.warned += bool(record.warnings)
        if record.seconds is not None:
            self.seconds.append(record.seconds)
        if self._rule != "all" or record.tracks is None:
            self._row(record.id, record)
        else:
            for track in record.tracks:
                if track.status == "ok":
                    self._row(f"{record.id} {track.track:06d}", track)
        for name, values in self.measured.items():
            values.append(record.measures.get(name, math.nan))
        self.scored.append(Grouped(record.id, {intern(name): intern(of) for name, of in record.groups.items()}))

    def _row(self, name: str, scores: Scores) -> None:
        self.names.append(name)
        self.owners.append(len(self.scored))
        for metric in METRICS:
            value = getattr(scores, metric)
            self.values[metric].append(math.nan if value is None else value)
        if scores.offset_grade is not None:
            self.grades[scores.offset_grade] += 1
        if scores.offset is not None:
            self.offsets[scores.offset] += 1


def summarise(
    records: Iterable[Record],
    listed: int,
    description: RunDescription,
    usage: RunUsage | None = None,
    sets: Sets | None = None,
) -> Summary:
    """Return the counts and means of a run. The order of the records does not matter.

    `listed`: number of clips that were to be scored. `usage`: the content of usage.json; None if there is none.
    `sets`: the values of set measures; None without any. Every
    mean is reported with the numbers of scored and of listed clips. Under the track rule `all`, each scored face track
    counts once in means, `n` and `offsets`; otherwise each scored clip counts once. The quantiles of the clips' lengths
    are included because the length changes LSE-D and LSE-C.
    """
    rule = description.track_rule
    columns = _Columns(rule, description.clip_measures)
    for record in records:
        columns.add(record)
    order = np.array(sorted(range(len(columns.names)), key=columns.names.__getitem__), np.int64)
    members = members_of(columns.scored)[np.frombuffer(columns.owners, np.int64)[order]]
    metrics = {}
    for metric in METRICS:
        values = np.frombuffer(columns.values[metric], np.float64)[order]
        there = ~np.isnan(values)
        if metric in _NEWER and not there.any():
            continue
        estimate = mean_with_interval(values[there], members[there])
        metrics[metric] = MetricSummary(
            mean=estimate.mean,
            ci95=estimate.ci95,
            ci_method=estimate.ci_method,
            n=estimate.n,
            higher_is_better=HIGHER_IS_BETTER.get(metric),
        )
    whole = members_of(columns.scored)
    by_id = np.array(sorted(range(len(columns.scored)), key=lambda place: columns.scored[place].id), np.int64)
    for name, measured in columns.measured.items():
        values = np.frombuffer(measured, np.float64)[by_id]
        there = ~np.isnan(values)
        estimate = mean_with_interval(values[there], whole[by_id][there])
        metrics[name] = MetricSummary(
            mean=estimate.mean,
            ci95=estimate.ci95,
            ci_method=estimate.ci_method,
            n=estimate.n,
            higher_is_better=description.measures[name].higher_is_better,
        )
    for name, one in (Sets() if sets is None else sets).values.items():
        if name not in description.measures:
            raise UsageError(
                f"{SETS_FILE} names the measure {name}, which run.json does not have. Run the same lse-bench score "
                "command again to rewrite it"
            )
        around = normal_interval(one.value, one.standard_error)
        metrics[name] = MetricSummary(
            mean=one.value,
            ci95=around,
            ci_method="none" if around is None else f"normal, with the standard error by {one.error_method}",
            n=one.clips,
            higher_is_better=description.measures[name].higher_is_better,
        )
    failed = columns.failed
    rate = as_happened(description.key.get("fps_policy", ""), bool(columns.converted), bool(failed["wrong_fps"]))
    key = description.key | {"fps_policy": rate}
    return Summary(
        key=key,
        signature=signature(key, _versions(description)),
        listed=listed,
        scored=len(columns.scored),
        tracks=len(order) if rule == "all" else None,
        failed={status: failed[status] for status in STATUSES if failed[status]},
        pending=listed - columns.records,
        warned=columns.warned,
        converted=columns.converted,
        metrics=metrics,
        offsets={str(offset): columns.offsets[offset] for offset in sorted(columns.offsets)},
        grades=dict(sorted(columns.grades.items())),
        seconds=_quantiles(columns.seconds),
        usage=None if usage is None else total_usage(usage),
    )


def _versions(description: RunDescription) -> list[str]:
    """Return the versions of LSE-Bench that made a run."""
    found = [description.versions, *(one.get("versions") for one in description.continued_with or [])]
    return [one["lse-bench"] for one in found if one and "lse-bench" in one]


def _quantiles(values: array[float]) -> dict[str, float]:
    """Return quantiles by share: "0" is the smallest value, "1" the largest. Empty if there are no values."""
    if not values:
        return {}
    found = np.quantile(np.frombuffer(values, np.float64), _QUANTILES)
    return {f"{share:g}": float(value) for share, value in zip(_QUANTILES, found, strict=True)}


class Grouped(NamedTuple):
    """A clip's id and groups, as in its record."""

    id: str
    groups: Mapping[str, str]


def members_of(records: Sequence[Record | Grouped]) -> Members:
    """Return the members on which each record depends, for intervals: speakers or clips.

    If every record names its speaker, the members are the speakers of picture and sound. The speaker of a sound is
    taken from a record in which that clip is the source video; otherwise the clip counts as its own speaker. If a
    record names no speaker, the members are the source video and the source sound as far as known, or the record
    itself.
    """
    if records and all("speaker" in record.groups for record in records):
        speaker = {record.groups["video"]: record.groups["speaker"] for record in records if "video" in record.groups}
        sounds = [record.groups.get("sound") for record in records]
        found = (
            frozenset({record.groups["speaker"]} | ({speaker.get(sound, f"clip {sound}")} if sound else set()))
            for record, sound in zip(records, sounds, strict=True)
        )
        return Members.of(found, "speaker")
    sources = ({record.groups[name] for name in ("video", "sound") if name in record.groups} for record in records)
    return Members.of(frozenset(held or {record.id}) for record, held in zip(records, sources, strict=True))
