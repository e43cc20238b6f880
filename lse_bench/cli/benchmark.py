"""The command `lse-bench benchmark`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench.cli.common import COMPARE, Json, app, explain
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.errors import UsageError
from lse_bench.naming import slug, whole
from lse_bench.tasks.declared_execution import ExecutionOptions

if TYPE_CHECKING:
    from lse_bench.benchmark.config import BenchConfig
    from lse_bench.benchmark.steps import Step
    from lse_bench.benchmark.summary import BenchmarkSummary

_UNBOUNDED = 10_000  # columns

_EXAMPLES = """
**Examples**

    lse-bench benchmark bench.toml --dry-run

    lse-bench benchmark bench.toml --out runs/mine

    lse-bench benchmark bench.toml --devices all --out runs/mine

    lse-bench benchmark bench.toml --only "Wav2Lip@LRS2" --from score --out runs/mine

    lse-bench benchmark --preset wav2lip-paper --lrs2 LRS2 --lrs3 LRS3 --lrw LRW --out runs/paper

    lse-bench leaderboard build runs/mine --out page

bench.toml lists methods, pairs and protocols. docs/benchmark.md describes it. Run the same command again to continue a
stopped benchmark. Finished steps are kept. A step whose options, weights or lists have changed is repeated, and its old
result is kept.
Exit status: 0 success, 1 a step failed or too many clips failed, 2 wrong usage or something is missing.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=COMPARE)
@offers(ExecutionOptions, "execution")
def benchmark(
    bench: Annotated[
        Path | None,
        typer.Argument(metavar="BENCH.toml", help="The file with the methods, lists of pairs and protocols."),
    ] = None,
    *,
    execution: ExecutionOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the benchmark. Default: runs/ and its name in lower case, such as runs/my-bench."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the steps, their sizes and estimated times, and exit.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD@CORPUS",
            help="Run only these cells of the tables and what they need. An empty side stands for all. Repeatable.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STEP",
            help="Make finished steps again, from this kind on: corpus, manifest, generate, adopt, score, fid or "
            "fd-sync. The old results are renamed.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Use a built-in benchmark instead of BENCH.toml. wav2lip-paper is the published comparison."),
    ] = None,
    lrs2: Annotated[Path | None, typer.Option(help="For --preset: the folder of LRS2.")] = None,
    lrs3: Annotated[Path | None, typer.Option(help="For --preset: the folder of LRS3.")] = None,
    lrw: Annotated[Path | None, typer.Option(help="For --preset: the folder of LRW.")] = None,
    lists: Annotated[
        Path | None,
        typer.Option(
            help="For --preset: a folder with your copies of lrs2.txt, lrs3.txt and lrw.txt. Default: fetch the lists."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="For --preset: write its BENCH.toml to this file, so that you can edit it, and exit."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Generate videos with several methods, score them, compute FID and print the tables, as one file describes."""
    report = ConsoleReport()
    with report.importing():
        from lse_bench.benchmark import chosen
        from lse_bench.benchmark.endings import read_steps
        from lse_bench.benchmark.plan import steps_of
        from lse_bench.benchmark.run import problems, refuse_missing, run_bench, to_fetch

    roots = {name: path for name, path in (("lrs2", lrs2), ("lrs3", lrs3), ("lrw", lrw)) if path is not None}
    if (bench is None) == (preset is None):
        raise UsageError("benchmark needs either BENCH.toml or --preset wav2lip-paper. Give exactly one of the two")
    if preset is None and (roots or lists is not None or save is not None):
        raise UsageError("--lrs2, --lrs3, --lrw, --lists and --save need --preset")
    if save is not None and (dry_run or as_json or out is not None):
        raise UsageError("--save writes BENCH.toml and does nothing else. Leave out --dry-run, --json and --out")
    if preset is not None and save is not None:
        _save_preset(save, preset, roots, lists, report)
        return
    config, folder = _config(bench, preset, roots, lists)
    target = whole(out or Path("runs") / slug(config.name))
    everything = steps_of(config, folder, target)
    steps = chosen.only(everything, only or ())
    missing = problems(config, steps, folder)
    if dry_run:
        _print_plan(report, config, steps, target, missing, [] if missing else list(to_fetch(steps)), as_json)
        raise typer.Exit(2 if missing else 0)
    refuse_missing(missing)
    for name, allowed in to_fetch(steps).items():  # a failed download must not cost hours
        report.weights(name, allowed.offline, allowed.trust)

    if from_ is not None:
        for path in chosen.put_aside(steps, from_, read_steps(target), only or ()):
            report.say(f"put aside: {path}")

    def say(text: str) -> None:
        report.console.print(text, style="bold", highlight=False, markup=False)

    try:
        summary = run_bench(config, everything, target, lambda step: _attempt(step, report, execution), say, steps)
    except KeyboardInterrupt:
        report.say("stopped; run the same command again to continue")
        raise typer.Exit(130) from None
    if as_json:
        from lse_bench.stored import to_json

        print(json.dumps(to_json(summary), indent=2, ensure_ascii=False))
    else:
        _print_tables(summary)
    if config.published and not as_json:
        from lse_bench.leaderboard.published import beside_published

        print("\n" + beside_published(summary.tables))
    report.say(
        f"records and summary: {target}. Make a page of it with: lse-bench leaderboard build {target} --out PAGE"
    )
    for label, reason in summary.failed.items():
        report.fail(f"{label}: {reason}")
    if summary.failed or summary.clips_failed > config.max_failed:
        report.fail(f"{len(summary.failed)} steps and {summary.clips_failed} clips failed")
        raise typer.Exit(1)


def _config(
    bench: Path | None, preset: str | None, roots: dict[str, Path], lists: Path | None
) -> tuple[BenchConfig, Path]:
    """Return the benchmark that is asked for, and the folder that its files are relative to."""
    from lse_bench.benchmark.config import config_of, read_config
    from lse_bench.benchmark.presets import preset_text

    if bench is not None:
        return read_config(bench), whole(bench.parent)
    assert preset is not None
    return config_of(preset_text(preset, roots, lists), Path(preset)), Path()


def _save_preset(save: Path, preset: str, roots: dict[str, Path], lists: Path | None, report: ConsoleReport) -> None:
    from lse_bench.benchmark.presets import preset_text

    text = preset_text(preset, roots, lists)
    if not save.absolute().parent.is_dir():
        raise UsageError(f"{save}: its folder does not exist")
    if save.is_dir():
        raise UsageError(f"{save}: is a folder; --save names a file")
    save.write_text(text, encoding="utf-8")
    report.say(f"Written. Run it with: lse-bench benchmark {save}")


def _attempt(step: Step, report: ConsoleReport, execution: ExecutionOptions) -> tuple[int, str | None]:
    """Run a step and return its exit status and, if it failed, the reason."""
    try:
        step.run(report, execution)
    except Exception as error:  # noqa: BLE001 - a failed step must not end the benchmark
        try:
            text, status = explain(error)
        except Exception:  # noqa: BLE001 - `explain` raises an unknown error again
            return 1, f"{type(error).__name__}: {error}"
        return status, text
    return 0, None


def _print_plan(
    report: ConsoleReport,
    config: BenchConfig,
    steps: list[Step],
    out: Path,
    missing: list[str],
    fetched: list[str],
    as_json: bool,
) -> None:
    from lse_bench.benchmark.endings import finished, read_steps
    from lse_bench.benchmark.estimates import estimate, in_words

    ended = read_steps(out)
    rows = []
    for step in steps:
        done = finished(step, ended)
        expected = estimate(step, ended)
        rows.append({"step": step.label, "items": step.items, "done": done, "command": step.command,
                     "seconds": 0.0 if done else expected.seconds, "measured": expected.measured})  # fmt: skip
    total = sum(row["seconds"] for row in rows)  # type: ignore[misc]
    if as_json:
        print(json.dumps({"name": config.name, "steps": rows, "seconds": total, "missing": missing,
                          "fetched_first": fetched}, indent=2))  # fmt: skip
        return
    for row in rows:
        state = "done" if row["done"] else in_words(float(str(row["seconds"])))
        print(f"{row['step']}: {row['items'] or '?'} clips, {state}")
    unknown = any(not row["items"] for row in rows)
    guess = (
        ""
        if all(row["measured"] or row["done"] for row in rows)
        else ". The time is a rough guess until the first steps have run"
    )
    print(f"{len(rows)} steps, {sum(bool(row['done']) for row in rows)} done, about {in_words(total)} left{guess}"
          + (". Lists that are not made yet are not counted" if unknown else ""))  # fmt: skip
    if fetched:
        print(f"fetched before the first clip: {', '.join(fetched)}")
    for text in missing:
        report.fail(f"missing: {text}")


def _print_tables(summary: BenchmarkSummary) -> None:
    from rich.console import Console
    from rich.table import Table

    from lse_bench.tables.formats import cells_of, columns_of, markdown, notes_of

    shown = Console()
    for table in summary.tables:
        columns = columns_of(table)
        printed = Table(title=f"{table.corpus}, {table.protocol}", caption="\n".join(notes_of(table)))
        for number, column in enumerate(columns):
            printed.add_column(column.title, justify="right" if number else "left", no_wrap=True)
        for row in table.rows:
            printed.add_row(*cells_of(row, columns))
        needed = shown.measure(printed, options=shown.options.update(max_width=_UNBOUNDED)).maximum
        if needed > shown.width:  # a pipe, or a terminal where cells would be cut
            print(f"{table.corpus}\n\n{markdown(table)}")
        else:
            shown.print(printed)
