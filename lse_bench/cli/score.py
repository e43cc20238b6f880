"""The commands `lse-bench score` and `lse-bench merge`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench.cli.common import SCORE, Json, app, command_line, started
from lse_bench.cli.console import ConsoleReport, warn_of_weights
from lse_bench.cli.offers import offers
from lse_bench.errors import UsageError
from lse_bench.tasks.declared import AdoptOptions, ScoreOptions
from lse_bench.tasks.declared_execution import ExecutionOptions

if TYPE_CHECKING:
    from lse_bench.runs.schema import Summary

_SCORE_EXAMPLES = """
**Examples**

    lse-bench score outputs/

    lse-bench score outputs/ --weights syncnet_v2.model --protocol lrs-lossless --out runs/mine

    lse-bench score mine/ --manifest pairs.json --names "{speaker}_{id}_ours.mp4" --max-failed 2

    lse-bench score dubbed.mp4 --sound speech.wav

    lse-bench score clips.csv --devices all --out runs/mine

    lse-bench score clips.csv --shard 1/4 --out runs/part1

    lse-bench score interviews/ --protocol tracked --overlay seen/

    lse-bench score interviews/ --protocol tracked --tracks-only --out scenes/

Run the same command with the same --out again to continue a stopped run.
Exit status: 0 success, 1 more clips failed than --max-failed, 2 wrong usage.
"""


@app.command(epilog=_SCORE_EXAMPLES, rich_help_panel=SCORE)
@offers(ScoreOptions)
@offers(AdoptOptions, "adopt")
@offers(ExecutionOptions, "execution")
def score(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Videos, folders of videos, or lists (.csv, .tsv, .json, .jsonl, .parquet) with a column `clip`.",
        ),
    ],
    options: ScoreOptions,
    adopt: AdoptOptions,
    execution: ExecutionOptions,
    tracks_only: Annotated[
        bool,
        typer.Option("--tracks-only", help="Only write shots and face tracks (JSON, PNG) to --out. No clip is scored."),
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="The pairs that finished videos were made from. INPUT is one folder with a video for each. Missing "
            "ones count as failed clips."
        ),
    ] = None,
    sound: Annotated[
        Path | None, typer.Option(help="The file whose sound is heard in place of the clip's own. For one clip.")
    ] = None,
    sounds: Annotated[
        Path | None, typer.Option(help="A folder with one sound for each clip, named by the clip's id.")
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that file names in a list, or the sounds of --pair-sounds, are relative to. Default: the "
            "folder of the list, or the one that the manifest names."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory. Default: runs/DATE-TIME.")] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N|auto",
            help="Score only part I of N. auto reads both from Slurm or torchrun. Join the parts with lse-bench merge.",
        ),
    ] = None,
    verify_inputs: Annotated[
        bool,
        typer.Option(
            "--verify-inputs",
            help="Hash every recorded file before a run continues. Default: only those whose size or time has changed.",
        ),
    ] = False,
    publish: Annotated[
        Path | None,
        typer.Option(
            metavar="ADDRESS",
            help="Also copy the run directory to a store, every five minutes and at the end, such as s3://bucket/runs/a.",
        ),
    ] = None,
    max_failed: Annotated[
        int, typer.Option(min=0, help="Number of clips that may fail before the exit status is 1.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Score videos: LSE-D (lower is better), LSE-C (higher is better) and AV offset. Every failed clip is counted."""
    report = ConsoleReport()
    out = out or Path("runs") / started().strftime("%Y%m%d-%H%M%S")
    with report.working("Reading the list of clips"):
        from lse_bench.manifests.clips import Source
        from lse_bench.manifests.search import Passed
        from lse_bench.runs.shards import Shard

        part = Shard.parse(shard, os.environ) if shard else None
        source, passed = Source(inputs, root, manifest, adopt.names, adopt.pair_sounds, sound, sounds), Passed()
        clips, adopted = source.clips(passed), source.adoption()
    for told in () if adopted is None else adopted.sentences():
        report.say(told)
    if (over := passed.sentence()) is not None:
        report.warn(over)
    if execution != ExecutionOptions() and tracks_only:
        raise UsageError("--tracks-only works in this process. Leave out --devices and --ray")
    if shard == "auto" and part is not None:
        report.say(f"--shard auto: this is part {part.index} of {part.count}")
    mine = part.of(clips) if part else clips
    if tracks_only:
        from lse_bench.tasks.scenes import find_scenes

        failed = find_scenes(out, mine, options, report)
        report.say(f"shots and tracks of {len(mine) - failed} of {len(mine)} clips: {out}")
        raise typer.Exit(1 if failed > max_failed else 0)
    with report.importing():
        from lse_bench.tasks.scoring import score_into
    try:
        summary = score_into(
            out,
            source,
            clips,
            options,
            report,
            shard=part,
            execution=execution,
            verify_inputs=verify_inputs,
            publish=publish,
            command=command_line(),
        )
    except KeyboardInterrupt:
        report.say(f"stopped; run the same command with --out {out} again to continue")
        raise typer.Exit(130) from None
    _finish(report, summary, out, as_json, max_failed)


@app.command(epilog="**Example**\n\n    lse-bench merge runs/part1 runs/part2 --out runs/whole", rich_help_panel=SCORE)
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories of the shards of one list.")],
    out: Annotated[Path, typer.Option(help="A new run directory.")],
    max_failed: Annotated[
        int, typer.Option(min=0, help="Number of clips that may fail before the exit status is 1.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Join the shards of one list into one run. Runs with different comparison keys are refused."""
    from lse_bench.runs.merge import merge_runs

    summary = merge_runs(runs, out, command_line())
    _finish(ConsoleReport(), summary, out, as_json, max_failed)


def _finish(report: ConsoleReport, summary: Summary, out: Path, as_json: bool, max_failed: int) -> None:
    from lse_bench.stored import to_json

    failed = summary.listed - summary.scored
    if as_json:
        print(json.dumps(to_json(summary) | {"run": str(out)}, indent=2, ensure_ascii=False))
    else:
        _print_summary(report, summary, out)
    if failed > max_failed:
        report.fail(f"{failed} clips without a score, --max-failed allows {max_failed}")
        raise typer.Exit(1)


def _print_summary(report: ConsoleReport, summary: Summary, out: Path) -> None:
    from rich.table import Table

    from lse_bench.fidelity.results import FidResult
    from lse_bench.runs.read import extras_in
    from lse_bench.runs.records import read_records
    from lse_bench.runs.remarks import warnings_by_kind, wrong_protocol
    from lse_bench.runs.set_values import read_sets
    from lse_bench.runs.statistics import normal_interval
    from lse_bench.stored import read_stored
    from lse_bench.weights.table import mark_of, name_of_digest

    key = summary.key
    tracks = f", {summary.tracks} face tracks" if summary.tracks is not None else ""
    table = Table(title=f"{key['protocol']}, {summary.scored} of {summary.listed} clips scored{tracks}")
    for heading in ("metric", "mean", "95 % interval", "n"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    mini = mark_of(name_of_digest(key["weights_sha256"]))
    labels = {"lse_d": f"LSE-D{mini} ↓", "lse_c": f"LSE-C{mini} ↑", "offset": "AV offset (frames)"}
    labels["offset_ms"] = "AV offset (ms, + early)"
    for metric, values in summary.metrics.items():
        interval = values.ci95
        table.add_row(
            labels.get(metric, metric),
            "-" if values.mean is None else f"{values.mean:.4f}",
            "-" if interval is None else f"{interval[0]:.4f} … {interval[1]:.4f}",
            str(values.n),
        )
    fid, sets = extras_in(out).get("fid"), read_sets(out)
    if fid is not None:
        result = read_stored(fid, FidResult, "Run the command again")
        shown = mark_of(name_of_digest(result.weights_sha256 or ""))
        around = None if result.fid is None else normal_interval(result.fid, result.fid_standard_error)
        clips = "" if result.generated is None or result.generated.clips is None else str(result.generated.clips)
        for name, value, ends in (("FID", result.fid, around), ("KID", result.kid, result.kid_ci95)):
            table.add_row(
                f"{name}{shown} ↓",
                "-" if value is None else f"{value:.4f}",
                "-" if ends is None else f"{ends[0]:.4f} … {ends[1]:.4f}",
                clips,
            )
    report.console.print(table)
    for warning in () if fid is None else result.warnings:
        report.warn(warning)
    for name, why in sets.missing.items():
        report.warn(f"{name} has no value: {why}")
    report.say(f"signature: {summary.signature}")
    if summary.grades:
        told = ", ".join(f"{count} {grade}" for grade, count in summary.grades.items())
        report.say(f"AV offset by ITU-R BT.1359: {told}")
    reasons = [f"{count} {status}" for status, count in summary.failed.items()]
    if summary.pending:
        reasons.append(f"{summary.pending} pending")
    if reasons:
        report.say(f"without a score: {', '.join(reasons)}")
    if summary.warned:
        records = read_records(out)
        kinds = ", ".join(f"{count} {kind}" for kind, count in warnings_by_kind(records).most_common())
        report.say(f"scored with a warning: {summary.warned} (see records.jsonl): {kinds}")
        if (advice := wrong_protocol(records, key["protocol"])) is not None:
            report.warn(advice)
    warn_of_weights(report, key["weights_sha256"])
    report.say(f"run: {out}")
