"""All checks of `lse-bench verify`: runs, and the consistency of a benchmark or a collection with its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lse_bench.benchmark.summary import BENCH_FILE
from lse_bench.benchmark.summary import SUMMARY_FILE as BENCH_SUMMARY
from lse_bench.leaderboard.build import COLLECTION_FILE, find_entries
from lse_bench.leaderboard.clips import CLIPS_FOLDER
from lse_bench.naming import slug
from lse_bench.runs.agreement import disagreement
from lse_bench.runs.read import Run
from lse_bench.runs.verify import Verdict, verify
from lse_bench.storage import read_object
from lse_bench.stored import to_json
from lse_bench.tables.table import REAL, below, tables_of
from lse_bench.weights.readers import digest_of_digests, file_digest

_WAY_OUT = "Run lse-bench benchmark or lse-bench leaderboard add again"


def verify_all(inputs: Sequence[str]) -> dict[str, tuple[Run | None, Verdict]]:
    """Return the run and its verdict for each run, benchmark and collection, by path.

    For a benchmark or a collection as a whole, the run is None. Raises UsageError if an input cannot be read.
    """
    found: dict[str, tuple[Run | None, Verdict]] = {}
    for text in inputs:
        entries = find_entries([text])
        for entry in entries:
            verdict = verify(entry)
            _copies(entry, verdict)
            found[str(entry.folder)] = (entry, verdict)
        folder = Path(text)
        if (folder / COLLECTION_FILE).exists() or ((folder / BENCH_SUMMARY).exists() and len(entries) != 1):
            found[text] = (None, _whole(folder, entries))
    return found


def _whole(folder: Path, entries: Sequence[Run]) -> Verdict:
    verdict = Verdict()
    if (folder / BENCH_SUMMARY).exists():
        stored = read_object(folder / BENCH_SUMMARY, _WAY_OUT)["tables"]
        tables = tables_of(entries)
        follows = [to_json(below(table, folder)) for table in tables]
        if (told := disagreement(stored, follows, "tables")) is not None:
            verdict.differences.append(f"{BENCH_SUMMARY} does not follow from the runs: {told}")
        verdict.count("tables", len(tables))
    if (folder / BENCH_FILE).exists():
        planned = {step["out"] for step in read_object(folder / BENCH_FILE, _WAY_OUT)["steps"]}
        for entry in entries:
            name = entry.folder.relative_to(folder)
            if name.parts[-3:-1] != (slug(entry.corpus), slug(entry.method)) or name.as_posix() not in planned:
                verdict.differences.append(
                    f"{name}: called {entry.method} on {entry.corpus}, but the benchmark's plan calls it "
                    f"{name.parts[-2]} on {name.parts[-3]}"
                )
        verdict.count("names", len(entries))
    else:
        verdict.unverified.append("the names of methods, because the runs are not part of a benchmark")
    _references(entries, verdict)
    return verdict


def _copies(entry: Run, verdict: Verdict) -> None:
    """Check that the videos in a collection are those that were scored."""
    digests = {record.id: record.sha256 for record in entry.records}
    for path in sorted((entry.folder / CLIPS_FOLDER).glob("*.mp4")):
        verdict.count("copies")
        if file_digest(path) != digests.get(path.stem):
            verdict.differences.append(f"{CLIPS_FOLDER}/{path.name}: not the file that was scored")


def _references(entries: Sequence[Run], verdict: Verdict) -> None:
    """Check that FID and fd-sync were computed against the clips of `real` in the same table."""
    real = {entry.table: entry for entry in entries if entry.method == REAL}
    for entry in entries:
        for name, extra in entry.extras.items():
            held = None if extra.reference is None else extra.reference.files_sha256
            if held is None or entry.table not in real:
                continue
            digests = [record.sha256 for record in real[entry.table].records if record.sha256 is not None]
            verdict.count("references")
            if held != digest_of_digests(digests):
                verdict.differences.append(
                    f"{entry.folder}: {name}: computed against other clips than those of {REAL} in the table"
                )
