"""Taking results into a collection: validated, without videos, so that everything shown can be rebuilt from it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lse_bench.benchmark.run import BENCH_FILE
from lse_bench.benchmark.run import SUMMARY_FILE as BENCH_SUMMARY
from lse_bench.errors import UsageError
from lse_bench.leaderboard.build import COLLECTION_FILE, find_entries
from lse_bench.leaderboard.clips import CLIPS_FOLDER, copied_clips
from lse_bench.manifests.generated import FAULTS
from lse_bench.runs.directory import RUN_FILE, SUMMARY_FILE, WINDOWS_FOLDER
from lse_bench.runs.read import EXTRAS, Run
from lse_bench.runs.records import RECORDS_FILE
from lse_bench.runs.verify import consequences
from lse_bench.storage import json_bytes, write_atomically
from lse_bench.tables.paired import byte_equal
from lse_bench.tables.table import REAL, UNSYNCED, tables_of

_SHOWN = 5  # of a run's differences


def faults_of(entry: Run) -> list[str]:
    """Why a run cannot be taken: what is missing for a reader to trust or repeat it."""
    faults = []
    about, summary = entry.description, entry.summary
    if summary.pending:
        faults.append(f"{summary.pending} of {summary.listed} clips have no record yet")
    if not about.shard and summary.listed != about.clip_list.clips:
        faults.append(f"{about.clip_list.clips} clips were to be scored, the summary is of {summary.listed}")
    if not summary.scored:
        faults.append("no clip was scored")
    if not about.manifest_sha256:
        faults.append("the clips are no folder of lse-bench generate, so nobody knows which pairs were asked for")
    if about.precision != "fp32":
        faults.append(f"scored in {about.precision}; fp32 is comparable")
    if about.shard:
        faults.append(f"is shard {about.shard}; lse-bench merge joins them")
    faults += consequences(entry).differences[:_SHOWN]
    for fault, count in ((about.generation and about.generation.looked) or {}).items():
        if fault in FAULTS:
            faults.append(f"{count} videos have {FAULTS[fault]}")
    double = {record.sha256 for record in entry.records if record.sha256 and record.status == "ok"}
    if entry.method not in (REAL, UNSYNCED) and len(double) < summary.scored:
        faults.append(f"{summary.scored - len(double)} scored files are copies of others")
    return faults


def unverified_of(entry: Run) -> list[str]:
    """What of a run cannot be verified, since an older version did not store what is needed."""
    looked = entry.description.generation and entry.description.generation.looked
    missing = [] if looked is not None else ["its videos were made by a version that did not look at them"]
    if looked and (count := looked.get("not_looked_at")):
        missing = [f"{count} of its videos were made by a version that did not look at them"]
    return [*consequences(entry).unverified, *missing]


def repeats_of(entries: Sequence[Run], target: Path) -> list[dict[str, Any]]:
    """Where collections beside `target` hold the same method on the same pairs: how many files are byte-equal.

    Processors and libraries decide bytes of generated videos, so a repeated run may share few of them. A collection
    that cannot be read is a row with `problem`, and stops nothing.
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
    """Copy runs, or one benchmark, into the new folder `target`: descriptions, records and summaries; and of `clips`
    pairs of each corpus the videos with their windows.

    Raises UsageError naming every run that cannot be taken and why, or a table without `real` and `unsynced`.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: already holds something; choose a new folder")
    entries = find_entries(inputs)
    tables = tables_of(entries)
    faults = [f"{entry.folder}: {fault}" for entry in entries for fault in faults_of(entry)]
    for table in tables:
        there = {row.method for row in table.rows}
        faults += [
            f"{table.corpus}, {table.protocol}: no row called {name}" for name in (REAL, UNSYNCED) if name not in there
        ]
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
        for extra, path in entry.extra_files.items():  # a benchmark keeps them beside its runs
            shutil.copyfile(path, place / EXTRAS[extra])
        for clip, video in played.get(str(entry.folder), {}).items():
            for source, folder in (
                (video, CLIPS_FOLDER),
                (entry.folder / WINDOWS_FOLDER / f"{clip}.npz", WINDOWS_FOLDER),
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
