"""The task that scores a list of clips into a run directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lse_bench.execution.interface import Watch
from lse_bench.faces.tracking import Tracking
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.originals import tell_missing
from lse_bench.reporting import Report
from lse_bench.runs.measured import Measures
from lse_bench.runs.publish import Publisher
from lse_bench.runs.run import score_run
from lse_bench.runs.schema import Record, RecordHead, Summary, Trend
from lse_bench.runs.shards import Shard
from lse_bench.runs.trends import told
from lse_bench.sync.offsets import read_calibration
from lse_bench.sync.protocol import get_protocol
from lse_bench.sync.scorer import SyncScorer
from lse_bench.tasks.checks import check_scoring
from lse_bench.tasks.declared import ScoreOptions
from lse_bench.tasks.declared_execution import ExecutionOptions, executor_of
from lse_bench.tasks.faces import find_detector
from lse_bench.tasks.options import absolute, settings_of


def tracking_of(options: ScoreOptions, report: Report) -> Tracking | None:
    """Return how faces are found and tracked, or None if the protocol treats the whole frame as a face.

    Raises UsageError if such a protocol is given options about faces.
    """
    check_scoring(options)
    if not get_protocol(options.protocol).tracked:
        return None
    return Tracking(find_detector(options, report), options.tracker, options.min_track, options.stride)


def load_scorer(options: ScoreOptions, device: str) -> SyncScorer:
    """Load the scorer of a worker process for its device. Weights are fetched if this machine lacks them."""
    return scorer_of(replace(options, device=device), Report())


def scorer_of(options: ScoreOptions, report: Report) -> SyncScorer:
    """Load the scorer that the options describe, and fetch absent weights. Raises UsageError or WeightsError."""
    tracking = tracking_of(options, report)
    checkpoint = report.weights(options.weights, options.offline, options.trust)
    with report.working("Loading torch and the weights"):
        return SyncScorer.load(
            checkpoint,
            protocol=options.protocol,
            fps_policy=options.fps_policy,
            tracking=tracking,
            track_rule=options.track_rule,
            ffmpeg=options.ffmpeg,
            sound_stream=options.sound_stream,
            search=options.search,
            timeline=options.timeline,
            calibration=None if options.calibration is None else read_calibration(options.calibration),
            device=options.device,
            precision=options.precision,
            batch_size=options.batch_size,
            workers=options.workers,
        )


def measures_of(options: ScoreOptions, report: Report) -> Measures | None:
    """Return the further measures that the options ask for, None for none, and fetch absent weights.

    Raises UsageError if a measure is unknown or broken, or lacks a package or a folder. Raises WeightsError if weights
    cannot be had.
    """
    commands = list(settings_of(options.measure_command, "--measure-command").items())
    if not options.measures and not commands:
        return None
    from lse_bench.tasks.measuring import measures_for, names_of

    return measures_for(
        names_of(options.measures),
        commands,
        lambda weights: report.weights(weights, options.offline, options.trust),
        originals=options.originals,
        landmarks=options.landmarks,
        landmark_weights=options.landmark_weights,
        sidecars=options.sidecars,
    )


def _phrase(trend: Trend) -> str:
    return "over time is unknown" if trend.trend == "unknown" else told(trend)


def score_into(
    out: Path,
    source: Source,
    clips: Sequence[ListedClip],
    options: ScoreOptions,
    report: Report,
    *,
    scorer: SyncScorer | None = None,
    shard: Shard | None = None,
    execution: ExecutionOptions | None = None,
    verify_inputs: bool = False,
    publish: Path | None = None,
    command: Sequence[str] = (),
) -> Summary:
    """Score clips of `source` into the run directory `out`. A repeated call continues a stopped one.

    `clips`: the whole list. `scorer`: a loaded scorer with the same options, or None to load one. `shard`: the part of
    the list to score, or None for all. `execution`: who does the work, None for this process. `verify_inputs`: hash
    every recorded file before the run continues. `publish`: an address that the run directory is copied to. `command`:
    the words of the command, which are stored with the run. Raises UsageError or WeightsError. Raises KeyboardInterrupt
    if it is stopped; finished records are kept.
    """
    executor = executor_of(execution, options.device)
    if executor is not None:  # the workers have the devices; this process only looks at the weights
        options = replace(options, device="cpu")
    measures = measures_of(options, report)
    scorer = scorer or scorer_of(options, report)
    mine = shard.of(clips) if shard else clips
    report.say(
        f"{len(mine)} clips, {scorer.key['protocol']}, {executor.devices if executor else scorer.device} → {out}"
    )
    if measures is not None and measures.originals is not None:
        count, why = tell_missing(measures.originals, mine)
        if count:
            report.warn(f"{count} of {len(mine)} clips have no original, such as: {why}")
    publisher = None if publish is None else Publisher(out, publish)
    failed = earlier = 0
    with report.counting("scoring", len(mine)) as counter:

        def on_earlier(record: RecordHead) -> None:
            nonlocal failed, earlier
            earlier += 1
            if record.status != "ok":
                failed += 1
                counter.fail(record.clip, f"{record.status}: {record.reason}")

        def on_record(record: Record) -> None:
            nonlocal failed
            if record.status != "ok":
                failed += 1
                counter.fail(record.clip, f"{record.status}: {record.reason}")
            elif record.timeline is not None and record.timeline.trend != "constant":
                counter.say(f"{record.clip}: the offset {_phrase(record.timeline)}")
            counter.advance(f"scoring ({failed} failed)" if failed else "scoring", record.seconds or 0.0)

        return score_run(
            scorer,
            clips,
            out,
            weights=options.weights,
            command=command,
            source=source,
            shard=shard,
            keep_windows=options.keep_windows,
            overlay=options.overlay,
            measures=measures,
            verify_inputs=verify_inputs,
            publisher=publisher,
            executor=executor,
            load=partial(load_scorer, absolute(options)),
            watch=Watch(counter.note, counter.warn),
            on_record=on_record,
            on_earlier=on_earlier,
            on_begin=lambda: counter.skip(earlier),
            on_problem=counter.warn,
        )
