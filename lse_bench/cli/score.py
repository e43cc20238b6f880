"""`score` and `merge`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench.choices import FpsPolicy, ScoringPrecision
from lse_bench.cli.common import (
    SCORE,
    Device,
    Json,
    Offline,
    Trust,
    app,
    command_line,
    find_weights,
    make_console,
    progress_bar,
    started,
    tell_passed,
    warn_of_weights,
    working,
)
from lse_bench.cli.face_options import (
    SFD_FACE,
    Boxes,
    Detector,
    DetectorWeights,
    FfmpegProgram,
    MinTrack,
    Stride,
    Tracker,
    TrackRule,
    find_detector,
    find_scenes,
)
from lse_bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lse_bench.manifests.listed import ListedClip
    from lse_bench.runs.schema import Record, Summary

_SHOWN_FAILURES = 20

_SCORE_EXAMPLES = """
**Examples**

    lse-bench score outputs/

    lse-bench score outputs/ --weights syncnet_v2.model --protocol lrs-lossless --out runs/mine

    lse-bench score results/ --pairs lrs2.txt --max-failed 100

    lse-bench score clips.csv --shard 1/4 --out runs/part1

    lse-bench score interviews/ --protocol tracked --overlay seen/

    lse-bench score interviews/ --protocol tracked --tracks-only --out scenes/

    lse-bench score outputs/ --robustness 20 --out runs/noise

A run that was stopped goes on when the same command names the same --out.
Exit status: 0 done, 1 more clips failed than --max-failed, 2 wrong usage.
"""


@app.command(epilog=_SCORE_EXAMPLES, rich_help_panel=SCORE)
def score(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="Videos, folders of videos, or lists (.csv, .json) with a column `clip`."
        ),
    ],
    weights: Annotated[
        str, typer.Option(help="SyncNet's checkpoint: a file, or a name of `lse-bench weights list`; never executed.")
    ] = "syncnet_v2",
    protocol: Annotated[
        str,
        typer.Option(
            help="Face crops: lrs@1 (as published), lrs-lossless@1 (without its JPEG step). Whole videos: tracked@1 "
            "(in memory), tracked-legacy@2 (as published)."
        ),
    ] = "lrs@1",
    fps_policy: Annotated[
        FpsPolicy | None,
        typer.Option(
            help="require-25 refuses other rates; resample converts by presentation time; as-is counts frames as 40 "
            "ms. Default: require-25, for tracked protocols resample."
        ),
    ] = None,
    detector: Detector = None,
    boxes: Boxes = None,
    detector_weights: DetectorWeights = SFD_FACE,
    track_rule: TrackRule = "all",
    tracker: Tracker = "original",
    min_track: MinTrack = 100,
    stride: Stride = 1,
    ffmpeg: FfmpegProgram = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Folder for the scored clips with boxes and running confidence drawn in.")
    ] = None,
    tracks_only: Annotated[
        bool, typer.Option("--tracks-only", help="Write shots and face tracks (JSON, PNG) to --out; score nothing.")
    ] = False,
    pairs: Annotated[
        Path | None, typer.Option(help="The list that made 0.mp4, 1.mp4, … in the one folder given, a pair per line.")
    ] = None,
    pairs_order: Annotated[
        str, typer.Option(help="Columns of --pairs: auto, audio-video (LRS2, LRS3, LRW) or video-audio (ReSyncED).")
    ] = "auto",
    root: Annotated[Path | None, typer.Option(help="Folder that the names in a list are relative to.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default runs/DATE-TIME.")] = None,
    device: Device = "auto",
    precision: Annotated[
        ScoringPrecision, typer.Option(help="fp32, or bf16: faster, recorded, not comparable with fp32.")
    ] = "fp32",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows per network pass; never changes a number.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Threads that decode ahead; never changes a number.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Score part I of N; join with lse-bench merge.")
    ] = None,
    max_failed: Annotated[int, typer.Option(min=0, help="How many clips may fail before the exit status is 1.")] = 0,
    keep_windows: Annotated[bool, typer.Option("--keep-windows", help="Keep the distances of every window.")] = False,
    robustness: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Score only N of the clips, and again after edits that should not matter (crop, re-encoding, …). "
            "Writes robustness.json.",
        ),
    ] = None,
    offline: Offline = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Score videos: LSE-D (lower is better), LSE-C (higher is better) and AV offset, with every failure counted."""
    from lse_bench.manifests.clips import Source
    from lse_bench.manifests.search import Passed
    from lse_bench.runs.directory import Shard
    from lse_bench.runs.run import score_run

    console = make_console()
    part = Shard.parse(shard) if shard else None
    source = Source(inputs=inputs, root=root, pairs=pairs, pairs_order=pairs_order)
    passed = Passed()
    with working(console, "Reading the list of clips"):
        clips = source.clips(passed)
    tell_passed(console, passed)
    out = out or Path("runs") / started().strftime("%Y%m%d-%H%M%S")
    mine = part.of(clips) if part else clips
    from lse_bench.sync.protocol import get_protocol

    chosen = get_protocol(protocol)
    if tracks_only and chosen.codec == "pipeline":
        raise UsageError(f"--tracks-only looks at frames as tracked@1 has them, not as {chosen.id}; use tracked")
    tracking = None
    if chosen.tracked:
        from lse_bench.faces.tracking import Tracking

        name = detector or ("s3fd" if chosen.codec == "pipeline" else "centerface")
        found = find_detector(console, name, boxes, detector_weights, device, offline, trust)
        tracking = Tracking(found, tracker, min_track, stride)
    elif detector or boxes or tracks_only or overlay:
        raise UsageError(
            f"{chosen.id} takes whole frames for faces; --detector, --boxes, --overlay and --tracks-only need "
            "--protocol tracked or tracked-legacy"
        )
    if tracks_only:
        assert tracking is not None
        failed = find_scenes(console, mine, tracking, fps_policy or chosen.fps_policy, out)
        console.print(f"shots and tracks of {len(mine) - len(failed)} of {len(mine)} clips: {out}", highlight=False)
        raise typer.Exit(1 if len(failed) > max_failed else 0)
    checkpoint = find_weights(console, weights, offline, trust)
    with working(console, "Loading torch and the weights"):
        from lse_bench.sync.scorer import SyncScorer

        scorer = SyncScorer.load(
            checkpoint,
            protocol=protocol,
            fps_policy=fps_policy,
            tracking=tracking,
            track_rule=track_rule,
            ffmpeg=ffmpeg,
            device=device,
            precision=precision,
            batch_size=batch_size,
            workers=workers,
        )
    if robustness is not None:
        from lse_bench.cli.robustness import measure_robustness

        measure_robustness(console, scorer, mine, robustness, out, as_json)
        return
    text = f"{len(mine)} clips, {scorer.key['protocol']}, {scorer.device} → {out}"
    console.print(text, highlight=False, markup=False)
    try:
        with scoring_progress(console, mine) as (on_record, on_step, on_problem):
            summary = score_run(
                scorer,
                clips,
                out,
                weights=str(weights),
                command=command_line(),
                source=source,
                shard=part,
                keep_windows=keep_windows,
                overlay=overlay,
                on_record=on_record,
                on_step=on_step,
                on_problem=on_problem,
            )
    except KeyboardInterrupt:
        console.print(f"stopped; the same command with --out {out} goes on from here", highlight=False, markup=False)
        raise typer.Exit(130) from None
    _finish(console, summary, out, as_json, max_failed)


@app.command(epilog="**Example**\n\n    lse-bench merge runs/part1 runs/part2 --out runs/whole", rich_help_panel=SCORE)
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories of the shards of one list.")],
    out: Annotated[Path, typer.Option(help="New run directory.")],
    max_failed: Annotated[int, typer.Option(min=0, help="How many clips may fail before the exit status is 1.")] = 0,
    as_json: Json = False,
) -> None:
    """Join the shards of one list into one run. Runs that differ in anything that moves a score are refused."""
    from lse_bench.runs.merge import merge_runs

    summary = merge_runs(runs, out, command_line())
    _finish(make_console(), summary, out, as_json, max_failed)


@contextmanager
def scoring_progress(
    console: Console, clips: list[ListedClip]
) -> Iterator[tuple[Callable[[Record], None], Callable[[Path, str], None], Callable[[str], None]]]:
    """A progress bar over clips; failures are printed as they come, the first few of them. Yields what to call with
    each record, with a clip and words on what is being done with it, and with what else went wrong."""
    from rich.markup import escape

    failed = 0
    with progress_bar(console, "scoring", len(clips)) as (progress, advance):

        def on_record(record: Record) -> None:
            nonlocal failed
            if record.status != "ok":
                failed += 1
                if failed <= _SHOWN_FAILURES:
                    text = escape(f"{record.clip}: {record.status}: {record.reason}")
                    progress.console.print(text, style="red", highlight=False, soft_wrap=True)
                elif failed == _SHOWN_FAILURES + 1:
                    progress.console.print("… further failures are in records.jsonl", style="red")
            advance(f"scoring ({failed} failed)" if failed else "scoring")

        def on_step(clip: Path, text: str) -> None:
            progress.update(progress.task_ids[0], description=escape(f"{clip.name}: {text}"))

        def on_problem(text: str) -> None:
            progress.console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)

        yield on_record, on_step, on_problem


def _finish(console: Console, summary: Summary, out: Path, as_json: bool, max_failed: int) -> None:
    from lse_bench.stored import to_json

    failed = summary.listed - summary.scored
    if as_json:
        print(json.dumps(to_json(summary) | {"run": str(out)}, indent=2, ensure_ascii=False))
    else:
        _print_summary(console, summary, out)
    if failed > max_failed:
        console.print(f"{failed} clips without a score, --max-failed allows {max_failed}", style="red", highlight=False)
        raise typer.Exit(1)


def _print_summary(console: Console, summary: Summary, out: Path) -> None:
    from rich.table import Table

    from lse_bench.weights.table import name_of_digest

    key = summary.key
    tracks = f", {summary.tracks} face tracks" if summary.tracks is not None else ""
    table = Table(title=f"{key['protocol']}, {summary.scored} of {summary.listed} clips scored{tracks}")
    for heading in ("metric", "mean", "95 % interval", "n"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    mini = " (mini)" if name_of_digest(key["weights_sha256"]) == "syncnet-mini" else ""
    labels = {"lse_d": f"LSE-D{mini} ↓", "lse_c": f"LSE-C{mini} ↑", "offset": "AV offset (frames)"}
    for metric, values in summary.metrics.items():
        interval = values.ci95
        table.add_row(
            labels.get(metric, metric),
            "-" if values.mean is None else f"{values.mean:.4f}",
            "-" if interval is None else f"{interval[0]:.4f} … {interval[1]:.4f}",
            str(values.n),
        )
    console.print(table)
    console.print(f"signature: {summary.signature}", highlight=False, markup=False, soft_wrap=True)
    reasons = [f"{count} {status}" for status, count in summary.failed.items()]
    if summary.pending:
        reasons.append(f"{summary.pending} pending")
    if reasons:
        console.print(f"without a score: {', '.join(reasons)}", highlight=False)
    if summary.warned:
        console.print(f"scored with a warning: {summary.warned} (see records.jsonl)", highlight=False)
    warn_of_weights(console, key["weights_sha256"])
    console.print(f"run: {out}", highlight=False, markup=False)
