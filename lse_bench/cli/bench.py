"""`run` and `compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lse_bench.cli.common import Json, app, call, find_weights, make_console, refuse_wrong_arguments, warn_of_weights
from lse_bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lse_bench.bench.config import BenchConfig
    from lse_bench.bench.steps import Step

_WIDE = 130  # columns of a terminal that a table needs

_RUN_EXAMPLES = """
**Examples**

    lse-bench run bench.toml --dry-run

    lse-bench run bench.toml --out runs/mine

    lse-bench run --preset wav2lip-paper --lrs2 LRS2 --lrs3 LRS3 --lrw LRW --out runs/paper

    lse-bench leaderboard build runs/mine --out page

bench.toml names methods, lists of pairs and protocols: docs/benchmark.md. Stopped, the same command goes on; finished
cells are kept, cells whose options, weights or lists have changed are done anew beside them.
Exit status: 0 done, 1 a step or too many clips failed, 2 wrong usage or something missing.
"""


@app.command(epilog=_RUN_EXAMPLES)
def run(
    bench: Annotated[Path | None, typer.Argument(metavar="BENCH.toml", help="What to compare.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the benchmark; default: runs/NAME.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, its size and time, and stop.")] = False,
    preset: Annotated[
        str | None, typer.Option(help="wav2lip-paper: the published comparison, in place of a file.")
    ] = None,
    lrs2: Annotated[Path | None, typer.Option(help="For --preset: folder of LRS2.")] = None,
    lrs3: Annotated[Path | None, typer.Option(help="For --preset: folder of LRS3.")] = None,
    lrw: Annotated[Path | None, typer.Option(help="For --preset: folder of LRW.")] = None,
    lists: Annotated[
        Path | None, typer.Option(help="For --preset: folder with your copies of lrs2.txt, lrs3.txt, lrw.txt.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="For --preset: write its BENCH.toml here, to be edited, and stop.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare methods: generate, score, FID, table, from one file, in one folder that goes on where it was stopped."""
    from lse_bench.bench.config import config_of, read_config
    from lse_bench.bench.run import problems, refuse_missing, run_bench, to_fetch
    from lse_bench.bench.steps import steps_of

    console = make_console()
    roots = {name: path for name, path in (("lrs2", lrs2), ("lrs3", lrs3), ("lrw", lrw)) if path is not None}
    if (bench is None) == (preset is None):
        raise UsageError("run needs BENCH.toml or --preset wav2lip-paper, one of the two")
    if preset is None and (roots or lists is not None or save is not None):
        raise UsageError("--lrs2, --lrs3, --lrw, --lists and --save are for --preset")
    if bench is not None:
        config, folder = read_config(bench), bench.parent
    else:
        from lse_bench.bench.presets import preset_text

        assert preset is not None
        text = preset_text(preset, roots, lists)
        if save is not None:
            if not save.absolute().parent.is_dir():
                raise UsageError(f"{save}: its folder does not exist")
            save.write_text(text, encoding="utf-8")
            console.print(f"lse-bench run {save} does it", highlight=False, markup=False)
            return
        config, folder = config_of(text, Path(preset)), Path()
    target = (out or Path("runs") / config.name).absolute()
    steps = steps_of(config, folder, target)
    for step in steps:
        refuse_wrong_arguments(step.arguments())
    missing = problems(config, steps, folder)
    if dry_run:
        _print_plan(console, config, steps, target, missing, [] if missing else list(to_fetch(steps)), as_json)
        raise typer.Exit(2 if missing else 0)
    refuse_missing(missing)
    for name, allowed in to_fetch(steps).items():  # before the first clip, not after hours
        find_weights(console, name, allowed.offline, allowed.trust)

    def say(text: str) -> None:
        console.print(text, style="bold", highlight=False, markup=False)

    try:
        summary = run_bench(config, steps, target, call, say)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here", highlight=False, markup=False)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        _print_tables(summary)
    if config.published and not as_json:
        from lse_bench.leaderboard.published import beside_published

        print("\n" + beside_published(summary["tables"]))
    console.print(f"records and summary: {target}; lse-bench leaderboard build {target} --out PAGE makes a page of it",
                  highlight=False, markup=False, soft_wrap=True)  # fmt: skip
    for label, reason in summary["failed"].items():
        console.print(f"{label}: {reason}", style="red", highlight=False, markup=False)
    if summary["failed"] or summary["clips_failed"] > config.max_failed:
        console.print(f"{len(summary['failed'])} steps and {summary['clips_failed']} clips failed", style="red")
        raise typer.Exit(1)


def _print_plan(
    console: Console,
    config: BenchConfig,
    steps: list[Step],
    out: Path,
    missing: list[str],
    fetched: list[str],
    as_json: bool,
) -> None:
    from lse_bench.bench.run import estimate, finished, in_words, read_steps

    ended = read_steps(out)
    rows = []
    for step in steps:
        done = finished(step, ended)
        expected = estimate(step, ended)
        rows.append({"step": step.label, "items": step.items, "done": done, "command": step.arguments(),
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
    guess = "" if all(row["measured"] or row["done"] for row in rows) else ", a rough guess until first steps have run"
    print(f"{len(rows)} steps, {sum(bool(row['done']) for row in rows)} done, about {in_words(total)} left{guess}"
          + ("; lists that are not made yet are not counted" if unknown else ""))  # fmt: skip
    if fetched:
        print(f"fetched before the first clip: {', '.join(fetched)}")
    for text in missing:
        console.print(f"missing: {text}", style="red", highlight=False, markup=False, soft_wrap=True)


def _print_tables(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from lse_bench.runs.words import cells_of, columns_of, markdown, notes_of

    shown = Console()
    for table in summary["tables"]:
        if shown.width < _WIDE:  # a pipe, or a terminal where every cell would be broken
            print(f"{table['corpus']}\n\n{markdown(table)}")
            continue
        columns = columns_of(table)
        printed = Table(title=f"{table['corpus']}, {table['protocol']}", caption="\n".join(notes_of(table)))
        for number, column in enumerate(columns):
            printed.add_column(column.title, justify="right" if number else "left", no_wrap=True)
        for row in table["rows"]:
            printed.add_row(*cells_of(row, columns))
        shown.print(printed)


_COMPARE_EXAMPLES = """
**Examples**

    lse-bench compare runs/mine runs/theirs

    lse-bench compare runs/mine runs/theirs --json
"""


@app.command(epilog=_COMPARE_EXAMPLES)
def compare(
    first: Annotated[Path, typer.Argument(help="A run directory.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same list under the same protocol.")],
    as_json: Json = False,
) -> None:
    """Two runs, paired: the mean difference on the clips that both scored, with its interval and p value."""
    from lse_bench.runs.paired import compare_runs
    from lse_bench.runs.run import read_description

    result = compare_runs(first, second)
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Console()
    names = {str(first): "A", str(second): "B", None: "neither"}
    table = Table(title=f"A minus B, {result['both']} clips that both scored")
    for name in ("metric", "difference", "95 % interval", "p", "better"):
        table.add_column(name, justify="left" if name in ("metric", "better") else "right")
    for metric, found in result["metrics"].items():
        interval, p = found["ci95"], found["p_value"]
        table.add_row(
            f"{metric} {'↑' if found['higher_is_better'] else '↓'}",
            "–" if found["difference"] is None else f"{found['difference']:+.4f}",
            "–" if interval is None else f"{interval[0]:+.4f} … {interval[1]:+.4f}",
            "–" if p is None else f"{p:.2g}",
            names[found["better"]],
        )
    shown.print(table)
    for number, run_ in enumerate((first, second)):
        print(f"{'AB'[number]}: {run_}: {result['scored'][number]} of {result['listed'][number]} clips scored")
    print(f"{result['byte_equal']} of {result['same_clips']} files of the same clip are byte-equal")
    print(f"intervals: {result['ci_method']}")
    warn_of_weights(make_console(), read_description(first)["key"]["weights_sha256"])
