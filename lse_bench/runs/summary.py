"""Summaries: what the records of a run say together. A pure function of run.json and the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lse_bench.errors import STATUSES, Status
from lse_bench.runs.records import Record
from lse_bench.runs.statistics import mean_with_interval

METRICS = ("lse_d", "lse_c", "offset", "lse_d_at_0", "lse_d_valid", "lse_c_valid", "offset_valid")
HIGHER_IS_BETTER = {"lse_c": True, "lse_c_valid": True, "lse_d": False, "lse_d_at_0": False, "lse_d_valid": False}


def summarise(records: Sequence[Record], listed: int, key: dict[str, str]) -> dict[str, Any]:
    """Counts and means. Every mean stands beside `scored` of `listed`; records may come in any order.

    `failed` counts clips by status, `pending` those without a record yet, `warned` those scored with a warning. Under
    the track rule `all` every face track counts once, and `n` counts tracks; under the others every clip.
    """
    scored = [record for record in records if record.status == "ok"]
    results = sorted(_results(scored, key.get("track_rule")), key=lambda result: result[0])
    failed: Counter[Status] = Counter(record.status for record in records if record.status != "ok")
    metrics = {}
    for metric in METRICS:
        rows = [(float(values[metric]), members) for _, members, values in results if values[metric] is not None]
        estimate = mean_with_interval([value for value, _ in rows], [members for _, members in rows])
        metrics[metric] = {
            "mean": estimate.mean,
            "ci95": estimate.ci95,
            "ci_method": estimate.ci_method,
            "n": estimate.n,
            "higher_is_better": HIGHER_IS_BETTER.get(metric),
        }
    return {
        "schema": 1,
        "key": key,
        "listed": listed,
        "scored": len(scored),
        **({"tracks": len(results)} if key.get("track_rule") == "all" else {}),
        "failed": {status: failed[status] for status in STATUSES if failed[status]},
        "pending": listed - len(records),
        "warned": sum(bool(record.warnings) for record in scored),
        "metrics": metrics,
    }


def _results(records: Sequence[Record], rule: str | None) -> Iterator[tuple[str, frozenset[str], dict[str, Any]]]:
    """What is averaged: (sort key, members, values by metric), one for each clip or each scored face track."""
    for record in records:
        if rule != "all" or record.tracks is None:
            yield record.id, _members(record), {metric: getattr(record, metric) for metric in METRICS}
            continue
        for track in record.tracks:
            if track["status"] == "ok":
                yield f"{record.id} {track['track']:06d}", _members(record), track


def _members(record: Record) -> frozenset[str]:
    """The clips a result is made of: source picture and source sound where known, else the clip itself."""
    sources = {record.groups[name] for name in ("video", "sound") if name in record.groups}
    return frozenset(sources or {record.id})
