"""The task that scores clips of a run again, with the settings in its comparison key."""

from __future__ import annotations

from dataclasses import replace

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.faces.detectors import name_of
from lse_bench.reporting import Report
from lse_bench.runs.read import Run
from lse_bench.runs.rescore import rescore
from lse_bench.runs.verify import Verdict
from lse_bench.sync.offset_settings import OffsetSettings
from lse_bench.sync.scorer import SyncScorer
from lse_bench.tasks.declared import RescoreOptions, ScoreOptions
from lse_bench.tasks.scoring import scorer_of


def rescore_some(entry: Run, verdict: Verdict, count: int, seed: int, options: RescoreOptions, report: Report) -> None:
    """Score `count` clips of a run again. Add to `verdict` what differs, or why nothing was scored again."""
    try:
        scorer = _scorer(entry, options, report)
    except LseBenchError as error:
        verdict.unverified.append(f"nothing was scored again: {error}")
        return
    with report.counting("scoring again", min(count, entry.summary.scored)) as counter:
        rescore(entry, scorer, count, seed, verdict, counter.advance)


def _scorer(entry: Run, options: RescoreOptions, report: Report) -> SyncScorer:
    about, key = entry.description, entry.description.key
    wanted = ScoreOptions(
        weights=options.weights or about.weights.name or about.weights.file or "syncnet_v2",
        protocol=about.protocol.split(":")[0],
        fps_policy=key["fps_policy"],  # type: ignore[arg-type]
        precision=key["precision"],  # type: ignore[arg-type]
        sound_stream=key.get("sound_stream"),
        device=options.device,
        offline=options.offline,
        trust=options.trust,
    )
    if "detector" in key:
        wanted = replace(
            wanted,
            detector=name_of(key["detector"]),
            boxes=options.boxes,
            tracker=key["tracker"],  # type: ignore[arg-type]
            min_track=int(key["min_track"]),
            stride=int(key["stride"]),
            track_rule=key["track_rule"],  # type: ignore[arg-type]
        )
    scorer = scorer_of(wanted, report)
    scorer.offsets = OffsetSettings(about.calibration, about.search, about.timeline)
    if scorer.tracking is not None and scorer.tracking.detector.id != key["detector"]:
        there = scorer.tracking.detector.id
        raise UsageError(f"{entry.folder}: its faces were found by {key['detector']}, but here the detector is {there}")
    return scorer
