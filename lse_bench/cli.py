"""The command `lse-bench`: the one module that may know every other. Each command imports what it needs, late."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lse_bench.errors import LseBenchError, UsageError, WeightsError

if TYPE_CHECKING:
    from rich.console import Console

    from lse_bench.manifests.clips import ListedClip
    from lse_bench.runs.records import Record

_SHOWN_FAILURES = 20

app = typer.Typer(
    name="lse-bench",
    help="Lip-sync scores that anyone can reproduce: LSE-D, LSE-C and AV offset of talking-face videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]

_SCORE_EXAMPLES = """
**Examples**

    lse-bench score outputs/ --weights syncnet_v2.model

    lse-bench score outputs/ --weights syncnet_v2.model --protocol lrs-lossless --out runs/mine

    lse-bench score results/ --pairs lrs2.txt --weights syncnet_v2.model --max-failed 100

    lse-bench score clips.csv --weights syncnet_v2.model --shard 1/4 --out runs/part1

A run that was stopped goes on when the same command names the same --out.
Exit status: 0 done, 1 more clips failed than --max-failed, 2 wrong usage.
"""


@app.command(epilog=_SCORE_EXAMPLES)
def score(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="Videos, folders of videos, or lists (.csv, .json) with a column `clip`."
        ),
    ],
    weights: Annotated[
        Path, typer.Option(help="SyncNet's checkpoint, syncnet_v2.model of the authors' site; never executed.")
    ],
    protocol: Annotated[
        str, typer.Option(help="lrs@1 (as published) or lrs-lossless@1 (without its JPEG step).")
    ] = "lrs@1",
    fps_policy: Annotated[
        str,
        typer.Option(
            help="require-25 refuses other rates; resample converts by presentation time; as-is counts frames as 40 ms."
        ),
    ] = "require-25",
    pairs: Annotated[
        Path | None, typer.Option(help="The list that made 0.mp4, 1.mp4, … in the one folder given, a pair per line.")
    ] = None,
    pairs_order: Annotated[
        str, typer.Option(help="Columns of --pairs: auto, audio-video (LRS2, LRS3, LRW) or video-audio (ReSyncED).")
    ] = "auto",
    root: Annotated[Path | None, typer.Option(help="Folder that the names in a list are relative to.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default runs/DATE-TIME.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, or bf16: faster, recorded, not comparable with fp32.")] = "fp32",
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
    as_json: Json = False,
) -> None:
    """Score videos: LSE-D (lower is better), LSE-C (higher is better) and AV offset, with every failure counted."""
    from lse_bench.manifests.clips import find_clips, numbered_outputs
    from lse_bench.runs.run import Shard, score_run

    console = _console()
    part = Shard.parse(shard) if shard else None
    if pairs is not None:
        if len(inputs) != 1 or pairs_order not in ("auto", "audio-video", "video-audio"):
            raise UsageError("--pairs goes with one folder, and --pairs-order auto, audio-video or video-audio")
        clips = numbered_outputs(inputs[0], pairs, pairs_order)  # type: ignore[arg-type]
    else:
        clips = find_clips(inputs, root)
    with console.status("Loading torch and the weights"):
        from lse_bench.sync.scorer import SyncScorer

        scorer = SyncScorer.load(
            weights,
            protocol=protocol,
            fps_policy=fps_policy,  # type: ignore[arg-type]
            device=device,
            precision=precision,  # type: ignore[arg-type]
            batch_size=batch_size,
            workers=workers,
        )
    out = out or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
    mine = part.of(clips) if part else clips
    console.print(f"{len(mine)} clips, {scorer.protocol.id}, {scorer.device} → {out}", highlight=False)
    with _progress(console, mine) as on_record:
        summary = score_run(
            scorer,
            clips,
            out,
            weights=str(weights),
            command=["lse-bench", *sys.argv[1:]],
            shard=part,
            keep_windows=keep_windows,
            on_record=on_record,
        )
    _finish(console, summary, out, as_json, max_failed)


@app.command(epilog="**Example**\n\n    lse-bench merge runs/part1 runs/part2 --out runs/whole")
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories of the shards of one list.")],
    out: Annotated[Path, typer.Option(help="New run directory.")],
    max_failed: Annotated[int, typer.Option(min=0, help="How many clips may fail before the exit status is 1.")] = 0,
    as_json: Json = False,
) -> None:
    """Join the shards of one list into one run. Runs that differ in anything that moves a score are refused."""
    from lse_bench.runs.run import merge_runs

    summary = merge_runs(runs, out, ["lse-bench", *sys.argv[1:]])
    _finish(_console(), summary, out, as_json, max_failed)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clips, the weights and the run.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Score two made-up clips with untrained weights, to see that everything works. The numbers mean nothing."""
    console = _console()
    with console.status("Making two clips and a network that has learnt nothing"):
        from lse_bench.demo import make_demo

        folder, weights = make_demo(out)
    from lse_bench.manifests.clips import find_clips
    from lse_bench.runs.run import score_run
    from lse_bench.sync.scorer import SyncScorer

    clips = find_clips([folder])
    scorer = SyncScorer.load(weights, protocol="lrs-lossless@1")
    with _progress(console, clips) as on_record:
        summary = score_run(
            scorer, clips, out / "run", weights=str(weights), command=["lse-bench", "demo"], on_record=on_record
        )
    console.print(
        "These numbers mean nothing: the weights come from a formula, not from training, and the clips show no face. "
        "They show that decoding, network and records work here.",
        style="yellow",
    )
    _finish(console, summary, out / "run", as_json, 0)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has and lacks (libraries, codecs, devices), and how to get what is missing."""
    from dataclasses import asdict

    from lse_bench.doctor import examine

    console = _console()
    with console.status("Looking around"):
        findings = examine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        marks = {"ok": "[green]ok     [/]", "note": "[yellow]note   [/]", "missing": "[red]missing[/]"}
        for finding in findings:
            console.print(f"{marks[finding.state]} {finding.what}: {finding.value}", highlight=False)
            if finding.fix:
                console.print(f"        → {finding.fix}", highlight=False)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: every error we can explain is one sentence on standard error, without a traceback."""
    try:
        app()
    except (UsageError, WeightsError) as error:
        _complain(str(error), 2)
    except LseBenchError as error:
        _complain(str(error), 1)
    except KeyboardInterrupt:
        _complain("stopped; the same command with the same --out goes on from here", 130)
    except ImportError as error:
        from lse_bench.doctor import explain_import_error

        explained = explain_import_error(error)
        if explained is None:
            raise
        _complain(explained, 1)


def _complain(text: str, status: int) -> None:
    print(f"lse-bench: {text}", file=sys.stderr)
    sys.exit(status)


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def _progress(console: Console, clips: list[ListedClip]) -> Iterator[Callable[[Record], None]]:
    """A progress bar on standard error; failures are printed as they come, the first few of them."""
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    failed = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), Remaining(), console=console) as progress:
        task = progress.add_task("scoring", total=len(clips))

        def on_record(record: Record) -> None:
            nonlocal failed
            if record.status != "ok":
                failed += 1
                if failed <= _SHOWN_FAILURES:
                    text = escape(f"{record.clip}: {record.status}: {record.reason}")
                    progress.console.print(text, style="red", highlight=False, soft_wrap=True)
                elif failed == _SHOWN_FAILURES + 1:
                    progress.console.print("… further failures are in records.jsonl", style="red")
            progress.update(task, advance=1, description=f"scoring ({failed} failed)" if failed else "scoring")

        yield on_record


def _finish(console: Console, summary: dict[str, Any], out: Path, as_json: bool, max_failed: int) -> None:
    failed = summary["listed"] - summary["scored"]
    if as_json:
        print(json.dumps(summary | {"run": str(out)}, indent=2, ensure_ascii=False))
    else:
        _print_summary(console, summary, out)
    if failed > max_failed:
        console.print(f"{failed} clips without a score, --max-failed allows {max_failed}", style="red", highlight=False)
        raise typer.Exit(1)


def _print_summary(console: Console, summary: dict[str, Any], out: Path) -> None:
    from rich.table import Table

    from lse_bench.weights.readers import known_name

    key = summary["key"]
    table = Table(title=f"{key['protocol']}, {summary['scored']} of {summary['listed']} clips scored")
    for heading in ("metric", "mean", "95 % interval", "n"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    labels = {"lse_d": "LSE-D ↓", "lse_c": "LSE-C ↑", "offset": "AV offset (frames)"}
    for metric, values in summary["metrics"].items():
        interval = values["ci95"]
        table.add_row(
            labels.get(metric, metric),
            "-" if values["mean"] is None else f"{values['mean']:.4f}",
            "-" if interval is None else f"{interval[0]:.4f} … {interval[1]:.4f}",
            str(values["n"]),
        )
    console.print(table)
    reasons = [f"{count} {status}" for status, count in summary["failed"].items()]
    if summary["pending"]:
        reasons.append(f"{summary['pending']} pending")
    if reasons:
        console.print(f"without a score: {', '.join(reasons)}", highlight=False)
    if summary["warned"]:
        console.print(f"scored with a warning: {summary['warned']} (see records.jsonl)", highlight=False)
    if known_name(key["weights_sha256"]) is None:
        digest = key["weights_sha256"][:12]
        console.print(
            f"weights {digest}… are not the published syncnet_v2: not comparable with any paper", style="yellow"
        )
    console.print(f"run: {out}", highlight=False)
