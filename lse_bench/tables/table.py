"""Tables: runs of several methods on one list of clips under one protocol.

This module refuses runs that cannot be compared, for every table that is printed, plotted or put on a page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from lse_bench.errors import Status, UsageError
from lse_bench.runs.read import Run
from lse_bench.runs.schema import MetricSummary, Record
from lse_bench.runs.statistics import mean_with_interval
from lse_bench.runs.summary import members_of
from lse_bench.tables.paired import difference, directions_of, ranks, refuse_mixed
from lse_bench.weights.table import name_of_digest

if TYPE_CHECKING:
    import pandas as pd

RANKED = ("lse_d", "lse_c")
REAL, UNSYNCED = "real", "unsynced"


class Judged(BaseModel):
    """What people think of one method."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    value: float | None
    """The mean opinion or the strength; null if there is no finite one."""
    ci95: tuple[float, float] | None
    """95 % interval for other raters and other clips; null if there is none."""
    n: int | None
    """Number of ratings; null for strengths."""


class People(BaseModel):
    """Whose judgement stands in a table beside the measures."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    columns: dict[str, str]
    """The title of each column of people's judgement, with an arrow if an end is better."""
    told: str
    """Who judged, in one sentence."""


class TableRow(BaseModel):
    """One method in a table."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    method: str
    """Name of the method."""
    run: str
    """The run directory."""
    extras: dict[str, str] = {}
    """Paths of the results of `fid` and `fd-sync`, by name (`fid`, `fd_sync`)."""
    listed: int
    """Number of clips that were to be scored."""
    scored: int
    """Number of clips with a score."""
    failed: dict[Status, int]
    """Number of clips without a score, by status."""
    converted: int | None = None
    """Number of scored clips that were not evenly spaced at 25 frames per second; null in files of older versions."""
    adopted: bool = False
    """Whether finished videos were scored, so that how they were made is not known."""
    offsets: dict[str, int]
    """Number of results by AV offset, in frames of 40 ms."""
    seconds: dict[str, float]
    """Quantiles of the clips' lengths in seconds, by share (0 to 1)."""
    metrics: dict[str, MetricSummary]
    """Means by metric."""
    rank: dict[str, int | None]
    """1 + the number of significantly better methods, by metric; null for anchors and if no clip was scored."""
    better_than_real: dict[str, bool | None]
    """Whether the mean is significantly better than that of `real`, by metric; null for anchors or if unknown."""
    flat: bool | None = None
    """Whether LSE-D is significantly better and LSE-C significantly worse than for `unsynced`; null if unknown."""
    above_unsynced: float | None = None
    """LSE-C on a scale where `unsynced` is 0 and `real` is 1; null without both anchors."""
    within_1: float | None = None
    """Share of results (0 to 1) whose AV offset is at most one frame, early or late."""
    fid: float | None = None
    """FID against the real videos. Lower is better."""
    kid: float | None = None
    """KID against the real videos. Lower is better."""
    fd_sync: float | None = None
    """Fréchet distance of lip embeddings to the real videos. Lower is better."""
    signature: str | None = None
    """The comparison key and the version in one line."""
    people: dict[str, Judged] = {}
    """People's judgement, by the name of the column; empty if people did not judge the method."""


class Table(BaseModel):
    """A table of the methods of one corpus under one protocol."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    corpus: str
    """Name of the corpus."""
    protocol: str
    """Protocol id."""
    evaluator: str | None
    """Name of the scorer's weights; null if the table of weights does not list the digest."""
    inception: str | None = None
    """Name of the network behind FID and KID; null if there is no FID or if the table of weights lacks the digest."""
    key: dict[str, str]
    """The comparison key that all rows share."""
    manifest_sha256: str | None
    """SHA-256 of the manifest that all rows share; null if there is no manifest."""
    rows: list[TableRow]
    """One row per method, in the order given."""
    people: People | None = None
    """Whose judgement stands beside the measures; null if nobody's does."""
    resolution: list[str] = []
    """Notes on differences that are smaller than the clips can decide, from a Reliability Card."""


def tables_of(entries: Sequence[Run]) -> list[Table]:
    """Return one table for each corpus and protocol, in the order given.

    Raises UsageError if a method is given twice for one table, or if runs cannot be compared (the message names the
    field that differs).
    """
    grouped: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for entry in entries:
        grouped[entry.table].append(entry)
    return [
        Table(
            corpus=corpus,
            protocol=protocol,
            evaluator=name_of_digest(members[0].description.key.get("weights_sha256", "")),
            inception=next((entry.inception for entry in members if entry.inception is not None), None),
            key=_shared_key(members),
            manifest_sha256=members[0].description.manifest_sha256,
            rows=_rows(members),
        )
        for (corpus, protocol), members in grouped.items()
    ]


def _shared_key(members: Sequence[Run]) -> dict[str, str]:
    """Return the comparison key of a table. Its frame rate is `resample` if clips of a run were converted."""
    rates = {entry.summary.key.get("fps_policy", "") for entry in members}
    return members[0].summary.key | {"fps_policy": "resample" if "resample" in rates else rates.pop()}


def below(table: Table, folder: Path) -> Table:
    """Return the table with the paths of runs and extras relative to `folder`."""
    rows = [
        row.model_copy(
            update={
                "run": Path(row.run).relative_to(folder).as_posix(),
                "extras": {name: Path(path).relative_to(folder).as_posix() for name, path in row.extras.items()},
            }
        )
        for row in table.rows
    ]
    return table.model_copy(update={"rows": rows})


def _rows(entries: list[Run]) -> list[TableRow]:
    by_method: dict[str, Run] = {}
    for entry in entries:
        if entry.method in by_method:
            raise UsageError(
                f"{entry.name} and {by_method[entry.method].name} are both {entry.method} on {entry.corpus} under "
                f"{entry.description.protocol}; give one of them another name: NAME=RUN"
            )
        by_method[entry.method] = entry
    refuse_mixed(entries)
    _refuse_mixed_extras(entries)
    records = {name: entry.records for name, entry in by_method.items() if entry.summary.scored}
    generated = {name: found for name, found in records.items() if name not in (REAL, UNSYNCED)}
    directions = directions_of(entries)
    further = sorted({name for entry in entries for name in entry.description.clip_measures if name in directions})
    placed = {metric: ranks(generated, metric, directions[metric]) for metric in (*RANKED, *further)}
    return [
        TableRow(
            method=name,
            run=entry.name,
            extras={extra: str(path) for extra, path in entry.extra_files.items()},
            listed=entry.summary.listed,
            scored=entry.summary.scored,
            failed=entry.summary.failed,
            converted=entry.summary.converted,
            adopted=entry.description.adopted is not None,
            offsets=entry.summary.offsets,
            seconds=entry.summary.seconds,
            metrics=entry.summary.metrics,
            rank={metric: places.get(name) for metric, places in placed.items()},
            better_than_real={metric: _beats_real(name, records, metric) for metric in RANKED},
            flat=_flat(name, records),
            above_unsynced=_above_unsynced(entry, by_method),
            within_1=_within_one(entry),
            fid=entry.fid,
            kid=entry.kid,
            fd_sync=entry.fd_sync,
            signature=entry.signature,
        )
        for name, entry in by_method.items()
    ]


def _refuse_mixed_extras(entries: Sequence[Run]) -> None:
    """Raise UsageError unless FID and fd-sync in one table have the same settings and the same reference."""
    for extra, names in (("fid", ("fid_id", "reference")), ("fd_sync", ("key", "reference"))):
        found = [(entry.name, entry.extras[extra]) for entry in entries if extra in entry.extras]
        for name in names:
            for run, content in found[1:]:
                here, there = getattr(found[0][1], name), getattr(content, name)
                matched = name == "reference" and ":matched:" in str(
                    getattr(content, "fid_id", None)
                )  # matched FID compares with the originals of the method's own clips
                if here != there and not matched:
                    raise UsageError(
                        f"{found[0][0]} and {run} cannot be compared: {extra} of another {name} ({here} and {there}). "
                        "Compute both with the same settings, against the same originals"
                    )


def _beats_real(name: str, records: dict[str, Sequence[Record]], metric: str) -> bool | None:
    """Return whether a method is significantly better than `real`, which is a warning sign; None if unknown."""
    if name in (REAL, UNSYNCED) or REAL not in records or name not in records:
        return None
    return difference(records[name], records[REAL], metric).better == "first"


def _flat(name: str, records: dict[str, Sequence[Record]]) -> bool | None:
    """Return whether LSE-D is significantly better but LSE-C significantly worse than `unsynced`; None if unknown."""
    if name in (REAL, UNSYNCED) or UNSYNCED not in records or name not in records:
        return None
    found = [difference(records[name], records[UNSYNCED], metric).better for metric in RANKED]
    return dict(zip(RANKED, found, strict=True)) == {"lse_d": "first", "lse_c": "second"}


def _above_unsynced(entry: Run, methods: dict[str, Run]) -> float | None:
    """Return (LSE-C - unsynced) / (real - unsynced), of means; None if an anchor is missing or in sync."""
    if own_sounds(methods.values()):
        return None
    means = [None if one is None else one.lse_c.mean for one in (entry, methods.get(UNSYNCED), methods.get(REAL))]
    if means[0] is None or means[1] is None or means[2] is None or means[1] == means[2]:
        return None
    return float((means[0] - means[1]) / (means[2] - means[1]))


def own_sounds(entries: Iterable[Run]) -> bool:
    """Return whether each clip of a table's methods has the sound of its own source, so `unsynced` would be in sync."""
    pairs = [one.groups for entry in entries if entry.method not in (REAL, UNSYNCED) for one in entry.records]
    return bool(pairs) and all("sound" in one and one["sound"] == one.get("video") for one in pairs)


def _within_one(entry: Run) -> float | None:
    """Return the share of results (0 to 1) whose AV offset is at most one frame; None without results."""
    offsets = {int(offset): count for offset, count in entry.summary.offsets.items()}
    total = sum(offsets.values())
    return sum(count for offset, count in offsets.items() if abs(offset) <= 1) / total if total else None


def by_group(records: Sequence[Record], name: str) -> pd.DataFrame:
    """Return a data frame of LSE-D and LSE-C for each group of clips, sorted by the group's name.

    `name`: the kind of group, such as `speaker`. The columns are `group`, `listed`, `scored`, and for each metric its
    mean, `…_low` and `…_high` (95 % interval). Missing values are None.
    """
    import pandas as pd

    named: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if name in record.groups:
            named[record.groups[name]].append(record)
    rows = []
    for group, found in sorted(named.items()):
        scored = [record for record in found if record.status == "ok"]
        row: dict[str, Any] = {"group": group, "listed": len(found), "scored": len(scored)}
        members = members_of(scored)
        for metric in RANKED:
            estimate = mean_with_interval([float(getattr(record, metric)) for record in scored], members)
            low, high = estimate.ci95 or (None, None)
            row |= {metric: estimate.mean, f"{metric}_low": low, f"{metric}_high": high}
        rows.append(row)
    columns = ["group", "listed", "scored", *(f"{metric}{end}" for metric in RANKED for end in ("", "_low", "_high"))]
    return pd.DataFrame(rows, columns=columns, dtype=object)
