"""`evaluate`: the whole scoring run as one call from Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lse_bench.manifests.clips import Source
from lse_bench.runs.directory import describe_run
from lse_bench.runs.read import Run, read_run, run_of
from lse_bench.runs.run import score_clips, score_run
from lse_bench.sync.scorer import SyncScorer


def evaluate(
    inputs: Path | str | Iterable[Path | str],
    *,
    weights: Path | str = "syncnet_v2",
    out: Path | str | None = None,
    keep_windows: bool = False,
    **options: object,
) -> Run:
    """placeholder"""
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    source = Source([Path(path) for path in paths])
    clips = source.clips()
    scorer = SyncScorer.load(weights, **options)
    if out is not None:
        score_run(scorer, clips, Path(out), weights=str(weights), source=source, keep_windows=keep_windows)
        return read_run(Path(out))
    description = describe_run(scorer, clips, weights=str(weights), command=[], source=source)
    records = [record for record, _ in score_clips(scorer, clips, keep_windows)]
    return run_of(description, records, len(clips))
