"""The files behind a run directory, for what compares pictures instead of scores."""

from __future__ import annotations

from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.fidelity.sources import Item, items_of
from lse_bench.manifests.clips import Source
from lse_bench.manifests.search import Passed
from lse_bench.naming import natural_key
from lse_bench.runs.directory import RUN_FILE, read_description
from lse_bench.runs.records import read_records


def items_to_compare(path: Path, passed: Passed) -> list[Item]:
    """The clips of a run directory that were scored, or the videos or pictures of any other folder.

    `passed` is told what a search passes over. Raises UsageError when the run does not say where its clips are, or they
    have moved.
    """
    if not (path / RUN_FILE).exists():
        return items_of(path, passed)
    description = read_description(path)
    if not description.source:
        raise UsageError(f"{path}: its run.json does not say where the clips are; give their folder instead")
    paths = {clip.id: clip.path for clip in Source.from_json(description.source).clips()}
    scored = [record.id for record in read_records(path) if record.status == "ok"]
    gone = [name for name in scored if name not in paths or not paths[name].exists()]
    if gone:
        raise UsageError(f"{path}: {len(gone)} of its {len(scored)} scored clips are no longer there, {gone[0]} first")
    if not scored:
        raise UsageError(f"{path}: none of its clips was scored")
    return [Item(name, paths[name]) for name in sorted(scored, key=natural_key)]
