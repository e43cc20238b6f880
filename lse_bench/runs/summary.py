"""Summarise the records of a run: counts, means and intervals. A summary depends only on run.json and the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lse_bench.errors import STATUSES, Status
from lse_bench.runs.schema import MetricSummary, Record, RunDescription, Summary
from lse_bench.runs.statistics import mean_with_interval
from lse_bench.sync.signature import as_happened, at_25, signature

METRICS = ("lse_d", "lse_c", "offset", "lse_d_at_0", "lse_d_valid", "lse_c_valid", "offset_valid", "offset_ms")
_NEWER = {"offset_ms"}  # metrics that records of older versions lack
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
HIGHER_IS_BETTER = {"lse_c": True, "lse_c_valid": True, "lse_d": False, "lse_d_at_0": False, "lse_d_valid": False}


def summarise(records: Sequence[Record], listed: int, description: RunDescription) -> Summary:
    """Return the counts and means of a run. The order of the records does not matter.

    `listed`: number of clips that were to be scored. Every mean is reported with the numbers of scored and of listed
    clips. Under the track rule `all`, each scored face track counts once in means, `n` and `offsets`; otherwise each
    scored clip counts once. The quantiles of the clips' lengths are included because the length changes LSE-D and
    LSE-C.
    """
    rule = description.track_rule
    scored = [record for record in records if record.status == "ok"]
    units, unit = members_of(scored)
    results = sorted(_results(scored, units, rule), key=lambda result: result[0])
    failed: Counter[Status] = Counter(record.status for record in records if record.status != "ok")
    metrics = {}
    for metric in METRICS:
        rows = [(float(values[metric]), members) for _, members, values in results if values[metric] is not None]
        if metric in _NEWER and not rows:
            continue
        estimate = mean_with_interval([value for value, _ in rows], [members for _, members in rows], unit)
        metrics[metric] = MetricSummary(
            mean=estimate.mean,
            ci95=estimate.ci95,
            ci_method=estimate.ci_method,
            n=estimate.n,
            higher_is_better=HIGHER_IS_BETTER.get(metric),
        )
    grades = Counter(str(values["offset_grade"]) for _, _, values in results if values["offset_grade"] is not None)
    offsets = Counter(int(values["offset"]) for _, _, values in results if values["offset"] is not None)
    converted = sum(not at_25(record.fps, record.warnings) for record in scored)
    rate = as_happened(description.key.get("fps_policy", ""), bool(converted), bool(failed["wrong_fps"]))
    key = description.key | {"fps_policy": rate}
    return Summary(
        key=key,
        signature=signature(key, _versions(description)),
        listed=listed,
        scored=len(scored),
        tracks=len(results) if rule == "all" else None,
        failed={status: failed[status] for status in STATUSES if failed[status]},
        pending=listed - len(records),
        warned=sum(bool(record.warnings) for record in scored),
        converted=converted,
        metrics=metrics,
        offsets={str(offset): offsets[offset] for offset in sorted(offsets)},
        grades=dict(sorted(grades.items())),
        seconds=_quantiles([record.seconds for record in scored if record.seconds is not None]),
    )


def _versions(description: RunDescription) -> list[str]:
    """Return the versions of LSE-Bench that made a run."""
    found = [description.versions, *(one.get("versions") for one in description.continued_with or [])]
    return [one["lse-bench"] for one in found if one and "lse-bench" in one]


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return quantiles by share: "0" is the smallest value, "1" the largest. Empty if there are no values."""
    if not values:
        return {}
    found = np.quantile(np.array(values), _QUANTILES)
    return {f"{share:g}": float(value) for share, value in zip(_QUANTILES, found, strict=True)}


def _results(
    records: Sequence[Record], units: Sequence[frozenset[str]], rule: str | None
) -> Iterator[tuple[str, frozenset[str], dict[str, Any]]]:
    """Yield (sort key, members, values by metric) of each clip, or, under the rule `all`, of each scored face track."""
    for record, members in zip(records, units, strict=True):
        if rule != "all" or record.tracks is None:
            yield record.id, members, {name: getattr(record, name) for name in (*METRICS, "offset_grade")}
            continue
        for track in record.tracks:
            if track.status == "ok":
                yield (
                    f"{record.id} {track.track:06d}",
                    members,
                    {name: getattr(track, name) for name in (*METRICS, "offset_grade")},
                )


def members_of(records: Sequence[Record]) -> tuple[list[frozenset[str]], str]:
    """Return the members on which each record depends, for intervals, and their unit: "speaker" or "clip".

    If every record names its speaker, the members are the speakers of picture and sound. The speaker of a sound is
    taken from a record in which that clip is the source video; otherwise the clip counts as its own speaker. If a
    record names no speaker, the members are the source video and the source sound as far as known, or the record
    itself.
    """
    if records and all("speaker" in record.groups for record in records):
        speaker = {record.groups["video"]: record.groups["speaker"] for record in records if "video" in record.groups}
        sounds = [record.groups.get("sound") for record in records]
        return [
            frozenset({record.groups["speaker"]} | ({speaker.get(sound, f"clip {sound}")} if sound else set()))
            for record, sound in zip(records, sounds, strict=True)
        ], "speaker"
    found = []
    for record in records:
        sources = {record.groups[name] for name in ("video", "sound") if name in record.groups}
        found.append(frozenset(sources or {record.id}))
    return found, "clip"
