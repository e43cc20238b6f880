"""`evaluate`: the whole scoring run as one call from Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lse_bench.manifests.clips import Source
from lse_bench.runs.records import Record, read_records
from lse_bench.runs.run import score_clips, score_run
from lse_bench.runs.summary import summarise
from lse_bench.sync.scorer import SyncScorer


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`summary`: counts and means with intervals, as in summary.json; `records`: one per clip, failures included."""

    summary: dict[str, Any]
    records: list[Record]


def evaluate(
    inputs: Path | str | Iterable[Path | str],
    *,
    weights: Path | str = "syncnet_v2",
    out: Path | str | None = None,
    keep_windows: bool = False,
    **options: Any,
) -> Evaluation:
    """Score clips, folders or lists, as `lse-bench score` does.

    `out`: a run directory to keep the result in and to go on from; without it nothing is written. `options` are those
    of `SyncScorer.load` (protocol, fps_policy, device, precision, batch_size, workers). Raises UsageError and
    WeightsError; a clip that cannot be scored is a record, never an exception.
    """
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    source = Source([Path(path) for path in paths])
    clips = source.clips()
    scorer = SyncScorer.load(weights, **options)
    if out is not None:
        summary = score_run(scorer, clips, Path(out), weights=str(weights), source=source, keep_windows=keep_windows)
        return Evaluation(summary, read_records(Path(out)))
    records = [record for record, _ in score_clips(scorer, clips, keep_windows)]
    return Evaluation(summarise(records, len(clips), scorer.key), records)
