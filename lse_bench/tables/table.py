"""Tables: runs of several methods on one list under one protocol, side by side.

Whatever may not stand in one table is refused here, for every table that is printed, plotted or put on a page.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.runs.directory import SUMMARY_FILE, read_description
from lse_bench.runs.records import Record, read_records
from lse_bench.runs.statistics import mean_with_interval
from lse_bench.runs.summary import members_of, summarise
from lse_bench.storage import read_object
from lse_bench.tables.paired import difference, ranks, refuse_mixed
from lse_bench.weights.table import name_of_digest

RANKED = ("lse_d", "lse_c")
REAL, UNSYNCED = "real", "unsynced"
_MADE_BY = {"fid": "fid", "fd_sync": "fd-sync"}
EXTRAS = {"fid": "fid.json", "fd_sync": "fd_sync.json"}  # results of other commands that may lie in a run directory


@dataclass(frozen=True, slots=True)
class Entry:
    """A run in a table. `extras`: results of `fid` and `fd-sync` for the same videos, where there are; `extra_files`:
    the files that hold them."""

    method: str
    corpus: str
    run: Path
    description: dict[str, Any]
    records: Sequence[Record]
    summary: dict[str, Any]
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra_files: dict[str, Path] = field(default_factory=dict)

    @property
    def table(self) -> tuple[str, str]:
        """Which table it stands in: corpus and protocol."""
        return self.corpus, self.description["protocol"]


def read_entry(
    run: Path, method: str | None = None, corpus: str | None = None, extra_files: dict[str, Path] | None = None
) -> Entry:
    """A run directory as a row. `method`, `corpus`: names to show; by default the generator's and the manifest's.
    `extra_files`: by name in `EXTRAS`; by default those that lie in the run directory.

    Raises UsageError for what is no run directory, or one that another version wrote.
    """
    description = read_description(run)
    generation = description.get("generation") or {}
    records = read_records(run)
    again = "the command that made it goes on with it"
    listed = read_object(run / SUMMARY_FILE, again).get("listed")
    if not isinstance(listed, int):
        raise UsageError(f"{run / SUMMARY_FILE}: damaged: listed is {listed!r}; {again}")
    if extra_files is None:
        extra_files = {name: run / file for name, file in EXTRAS.items() if (run / file).exists()}
    return Entry(
        method or generation.get("generator") or run.name,
        corpus or generation.get("manifest", {}).get("name") or "clips",
        run,
        description,
        records,
        json.loads(json.dumps(summarise(records, listed, description["key"]))),  # as a stored one reads
        {name: _read_extra(name, path) for name, path in extra_files.items()},
        extra_files,
    )


def _read_extra(name: str, path: Path) -> dict[str, Any]:
    """A fid.json or fd_sync.json. Raises UsageError when it is damaged."""
    way_out = f"lse-bench {_MADE_BY[name]} makes it anew"
    content = read_object(path, way_out)
    for number in (name, "kid"):
        if not isinstance(content.get(number), int | float | None):
            raise UsageError(f"{path}: damaged: {number} is {content[number]!r}. {way_out}")
    return content


def tables_of(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One table for each corpus and protocol, in the order given: `corpus`, `protocol`, `key`, `evaluator` (the name of
    SyncNet's weights), `manifest_sha256`, `rows`.

    A row: `method`, `listed`, `scored`, `failed`, `metrics` (mean, ci95, n), `rank` by metric, `better_than_real` by
    metric, `fid`, `fd_sync`, `above_unsynced` (LSE-C on a scale where `unsynced` is 0 and `real` is 1). Raises
    UsageError for a method that is there twice and for runs that cannot be compared, naming the field that differs.
    """
    grouped: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        grouped[entry.table].append(entry)
    return [
        {
            "corpus": corpus,
            "protocol": protocol,
            "evaluator": name_of_digest(members[0].description["key"].get("weights_sha256", "")),
            "key": members[0].description["key"],
            "manifest_sha256": members[0].description.get("manifest_sha256"),
            "rows": _rows(members),
        }
        for (corpus, protocol), members in grouped.items()
    ]


def _rows(entries: list[Entry]) -> list[dict[str, Any]]:
    by_method: dict[str, Entry] = {}
    for entry in entries:
        if entry.method in by_method:
            raise UsageError(
                f"{entry.run} and {by_method[entry.method].run} are both {entry.method} on {entry.corpus} under "
                f"{entry.description['protocol']}; name one of them otherwise: NAME=RUN"
            )
        by_method[entry.method] = entry
    refuse_mixed({str(entry.run): entry.description for entry in entries})
    _refuse_mixed_extras(entries)
    records = {name: entry.records for name, entry in by_method.items() if entry.summary["scored"]}
    generated = {name: found for name, found in records.items() if name not in (REAL, UNSYNCED)}
    placed = {metric: ranks(generated, metric) for metric in RANKED}
    return [
        {
            "method": name,
            "run": str(entry.run),
            "extras": {extra: str(path) for extra, path in entry.extra_files.items()},
            **{field: entry.summary[field] for field in ("listed", "scored", "failed", "offsets", "seconds")},
            "metrics": {
                metric: {part: found[part] for part in ("mean", "ci95", "ci_method", "n")}
                for metric, found in entry.summary["metrics"].items()
            },
            "rank": {metric: places.get(name) for metric, places in placed.items()},
            "better_than_real": {metric: _beats_real(name, records, metric) for metric in RANKED},
            "flat": _flat(name, records),
            "above_unsynced": _above_unsynced(entry, by_method),
            "within_1": _within_one(entry),
            "fid": entry.extras.get("fid", {}).get("fid"),
            "kid": entry.extras.get("fid", {}).get("kid"),
            "fd_sync": entry.extras.get("fd_sync", {}).get("fd_sync"),
        }
        for name, entry in by_method.items()
    ]


def _refuse_mixed_extras(entries: Sequence[Entry]) -> None:
    """FID and fd-sync of one table must be of one kind as well."""
    for extra, names in (("fid", ("fid_id", "reference")), ("fd_sync", ("key", "reference"))):
        found = [(entry.run, entry.extras[extra]) for entry in entries if extra in entry.extras]
        for name in names:
            for run, content in found[1:]:
                here, there = found[0][1].get(name), content.get(name)
                matched = name == "reference" and ":matched:" in str(content.get("fid_id"))  # of the method's own clips
                if here != there and not matched:
                    raise UsageError(
                        f"{found[0][0]} and {run} cannot be compared: {extra} of another {name} ({here} and {there}). "
                        "Compute both the same way, against the same originals"
                    )


def _beats_real(name: str, records: dict[str, Sequence[Record]], metric: str) -> bool | None:
    """Whether a method scores significantly better than untouched video, which is a warning, not praise."""
    if name in (REAL, UNSYNCED) or REAL not in records or name not in records:
        return None
    return difference(records[name], records[REAL], metric).better == "first"


def _flat(name: str, records: dict[str, Sequence[Record]]) -> bool | None:
    """Whether a method is significantly better than unsynced video by LSE-D and significantly worse by LSE-C."""
    if name in (REAL, UNSYNCED) or UNSYNCED not in records or name not in records:
        return None
    found = [difference(records[name], records[UNSYNCED], metric).better for metric in RANKED]
    return dict(zip(RANKED, found, strict=True)) == {"lse_d": "first", "lse_c": "second"}


def _above_unsynced(entry: Entry, methods: dict[str, Entry]) -> float | None:
    """(LSE-C - unsynced) / (real - unsynced)."""
    means = [
        None if one is None else one.summary["metrics"]["lse_c"]["mean"]
        for one in (entry, methods.get(UNSYNCED), methods.get(REAL))
    ]
    if means[0] is None or means[1] is None or means[2] is None or means[1] == means[2]:
        return None
    return float((means[0] - means[1]) / (means[2] - means[1]))


def _within_one(entry: Entry) -> float | None:
    """Share of results whose AV offset is at most one frame."""
    offsets = {int(offset): count for offset, count in entry.summary["offsets"].items()}
    total = sum(offsets.values())
    return sum(count for offset, count in offsets.items() if abs(offset) <= 1) / total if total else None


def by_group(records: Sequence[Record], name: str) -> list[dict[str, Any]]:
    """LSE-D and LSE-C of each group of clips, such as each `speaker`, with counts; sorted by the group's name."""
    members: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if name in record.groups:
            members[record.groups[name]].append(record)
    rows = []
    for group, found in sorted(members.items()):
        scored = [record for record in found if record.status == "ok"]
        row: dict[str, Any] = {"group": group, "listed": len(found), "scored": len(scored)}
        units, unit = members_of(scored)
        for metric in RANKED:
            estimate = mean_with_interval([float(getattr(record, metric)) for record in scored], units, unit)
            row |= {metric: estimate.mean, f"{metric}_ci95": estimate.ci95}
        rows.append(row)
    return rows
