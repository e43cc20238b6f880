"""Validate runs and copy them into a collection, from which all tables and plots can be rebuilt."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lse_bench.benchmark.summary import BENCH_FILE
from lse_bench.benchmark.summary import SUMMARY_FILE as BENCH_SUMMARY
from lse_bench.errors import UsageError
from lse_bench.leaderboard.build import COLLECTION_FILE, find_entries
from lse_bench.leaderboard.clips import CLIPS_FOLDER, copied_clips
from lse_bench.manifests.generated import FAULTS
from lse_bench.runs.directory import RUN_FILE, SUMMARY_FILE, TIMELINES_FOLDER, WINDOWS_FOLDER
from lse_bench.runs.read import EXTRAS, Run
from lse_bench.runs.records import RECORDS_FILE
from lse_bench.runs.set_values import SETS_FILE
from lse_bench.runs.verify import consequences
from lse_bench.storage import json_bytes, write_atomically
from lse_bench.tables.paired import byte_equal
from lse_bench.tables.table import REAL, UNSYNCED, own_sounds, tables_of

_SHOWN = 5  # at most this many differences of a run are listed


def faults_of(entry: Run) -> list[str]:
    """Return the reasons why a run cannot be added: everything that prevents a reader from trusting or repeating it."""
    faults = []
    about, summary = entry.description, entry.summary
    if summary.pending:
        faults.append(f"{summary.pending} of {summary.listed} clips have no record yet")
    if not about.shard and summary.listed != about.clip_list.clips:
        faults.append(f"{about.clip_list.clips} clips were to be scored, the summary is of {summary.listed}")
    if not summary.scored:
        faults.append("no clip was scored")
    if not about.manifest_sha256:
        faults.append(
            "the clips are no folder of lse-bench generate, and no --manifest was given, so the pairs are unknown"
        )
    if about.precision != "fp32":
        faults.append(f"it was scored in {about.precision}, but only fp32 is comparable")
    if about.shard:
        faults.append(f"it is shard {about.shard}; join the shards with lse-bench merge")
    faults += consequences(entry).differences[:_SHOWN]
    for fault, count in ((about.generation and about.generation.looked) or {}).items():
        if fault in FAULTS:
            faults.append(f"{count} videos have {FAULTS[fault]}")
    double = {record.sha256 for record in entry.records if record.sha256 and record.status == "ok"}
    if entry.method not in (REAL, UNSYNCED) and len(double) < summary.scored:
        faults.append(f"{summary.scored - len(double)} scored files are copies of other scored files")
    return faults


def unverified_of(entry: Run) -> list[str]:
    """Return the parts of a run that cannot be verified because an older version did not store the data."""
    if entry.description.adopted is not None:
        return [*consequences(entry).unverified, "its videos were adopted, so how they were made is not known"]
    looked = entry.description.generation and entry.description.generation.looked
    missing = [] if looked is not None else ["its videos were made by a version that did not check them"]
    if looked and (count := looked.get("not_looked_at")):
        missing = [f"{count} of its videos were made by a version that did not check them"]
    return [*consequences(entry).unverified, *missing]


def repeats_of(entries: Sequence[Run], target: Path) -> list[dict[str, Any]]:
    """Find runs of the same method on the same pairs in the collections next to `target`, and count equal files.

    Each row holds `byte_equal`, the number of files that are equal byte for byte, and `of`, the number that was
    compared. The bytes of generated videos depend on processor and libraries, so a repeated run may share few of them.
    A collection that cannot be read gives a row with `problem` and does not stop the search.
    """
    found: list[dict[str, Any]] = []
    for folder in sorted(target.parent.glob(f"*/{COLLECTION_FILE}")):
        try:
            held = find_entries([str(folder.parent)])
        except UsageError as error:
            found.append({"collection": str(folder.parent), "problem": str(error)})
            continue
        for there in held:
            for entry in entries:
                same = (entry.method, entry.table) == (there.method, there.table)
                manifests = {one.description.manifest_sha256 for one in (entry, there)}
                if same and len(manifests) == 1:
                    files = byte_equal(entry.records, there.records)
                    about = dict(zip(("method", "corpus", "protocol"), (entry.method, *entry.table), strict=True))
                    found.append(
                        about | {"collection": str(folder.parent), "byte_equal": files.equal, "of": files.known}
                    )
    return found


def add(inputs: Sequence[str], target: Path, clips: int = 0) -> dict[str, Any]:
    """Copy runs, or one benchmark, into the new folder `target`, and return counts, repeated runs and unverified parts.

    Descriptions, records, summaries, FID and fd-sync are copied. `clips`: number of pairs of each corpus whose videos
    and windows are copied as well. Raises UsageError if a run cannot be added, or if a table lacks `real`, or
    `unsynced` where that is another sound. The message lists every such run with the reasons.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: already holds files; choose a new folder")
    entries = find_entries(inputs)
    tables = tables_of(entries)
    faults = [f"{entry.folder}: {fault}" for entry in entries for fault in faults_of(entry)]
    for table in tables:
        there = {row.method for row in table.rows}
        members = [entry for entry in entries if entry.table == (table.corpus, table.protocol)]
        needed = (REAL,) if own_sounds(members) else (REAL, UNSYNCED)
        faults += [f"{table.corpus}, {table.protocol}: no row called {name}" for name in needed if name not in there]
    if faults:
        raise UsageError("cannot be added:\n  - " + "\n  - ".join(faults))
    repeats = repeats_of(entries, target)
    bench = Path(inputs[0])
    whole = len(inputs) == 1 and (bench / BENCH_SUMMARY).exists()
    played = copied_clips(entries, clips)
    rows = []
    for number, entry in enumerate(entries):
        name = entry.folder.relative_to(bench).as_posix() if whole else f"{number:03d}-{entry.folder.name}"
        rows.append({"method": entry.method, "corpus": entry.corpus, "run": name})
        place = target / name
        place.mkdir(parents=True)
        for file in (RUN_FILE, RECORDS_FILE, SUMMARY_FILE):
            shutil.copyfile(entry.folder / file, place / file)
        if (entry.folder / SETS_FILE).exists():
            shutil.copyfile(entry.folder / SETS_FILE, place / SETS_FILE)
        for extra, path in entry.extra_files.items():  # a benchmark keeps them next to its run directories
            shutil.copyfile(path, place / EXTRAS[extra])
        for clip, video in played.get(str(entry.folder), {}).items():
            for source, folder in (
                (video, CLIPS_FOLDER),
                (entry.folder / WINDOWS_FOLDER / f"{clip}.npz", WINDOWS_FOLDER),
                (entry.folder / TIMELINES_FOLDER / f"{clip}.json", TIMELINES_FOLDER),
            ):
                if source.exists():
                    (place / folder).mkdir(exist_ok=True)
                    shutil.copyfile(source, place / folder / source.name)
    if whole:
        shutil.copyfile(bench / BENCH_FILE, target / BENCH_FILE)
    write_atomically(target / COLLECTION_FILE, json_bytes({"schema": 1, "kind": "collection", "runs": rows}))
    videos = sum(map(len, played.values()))
    unverified = [f"{entry.folder}: {told}" for entry in entries for told in unverified_of(entry)]
    return {
        "tables": len(tables),
        "runs": len(entries),
        "clips": videos,
        "repeats": repeats,
        "unverified": unverified,
    }
