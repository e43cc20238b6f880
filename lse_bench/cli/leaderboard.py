"""The commands `lse-bench leaderboard build` and `lse-bench leaderboard add`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import COMPARE, Json, app
from lse_bench.cli.console import ConsoleReport

group = typer.Typer(
    no_args_is_help=True,
    help="Make tables, plots and a web page from stored runs. No model is needed.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="leaderboard", rich_help_panel=COMPARE)

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Folders from `benchmark`, run directories from `score`, or collections. NAME=RUN renames a run.",
    ),
]


@group.command(
    epilog="**Examples**\n\n    lse-bench leaderboard build runs/mine --out page\n\n"
    "    lse-bench leaderboard build ours=runs/a theirs=runs/b --out page --clips 0\n\n"
    "    lse-bench leaderboard build ours=runs/a theirs=runs/b --people report/report.json --out page"
)
def build(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="Folder for index.html, tables/, plots/ and clips/.")] = Path("page"),
    clips: Annotated[int, typer.Option(min=0, help="Number of pairs of each corpus to play side by side.")] = 4,
    title: Annotated[str, typer.Option(help="The heading of the page.")] = "Lip-sync leaderboard",
    people: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CORPUS=]REPORT",
            help="A report.json from `study report`, whose judgement stands beside the measures. Repeatable.",
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            help="A Reliability Card: notes under the tables name methods that are too close for their clips."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make CSV, Markdown and LaTeX tables, plots, and a page that opens from the disk.

    Runs of one table with different comparison keys are refused.
    """
    report = ConsoleReport()
    with report.working("Reading records, drawing tables and plots"):
        from lse_bench.leaderboard.build import build as build_page

        written = build_page(runs, out, clips, title, people or (), card)
    if as_json:
        print(json.dumps(written, indent=2))
        return
    text = f"{written['rows']} rows in {written['tables']} tables, {written['plots']} plots, {written['clips']} pairs: "
    report.say(text + written["page"])


@group.command(epilog="**Example**\n\n    lse-bench leaderboard add runs/mine --out leaderboard/results/mine --clips 2")
def add(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="A new folder for the collection.")],
    clips: Annotated[int, typer.Option(min=0, help="Number of pairs of each corpus whose videos are copied too.")] = 0,
    as_json: Json = False,
) -> None:
    """Check a submission and copy the descriptions, records and summaries that a leaderboard is rebuilt from."""
    with ConsoleReport().importing():
        from lse_bench.leaderboard.submit import add as add_runs

    added = add_runs(runs, out, clips)
    if as_json:
        print(json.dumps(added, indent=2))
        return
    text = f"{added['runs']} runs in {added['tables']} tables, {added['clips']} videos: {out}"
    for row in added["repeats"]:
        if "problem" in row:
            text += f"\nnot compared with {row['collection']}: {row['problem']}"
            continue
        where = f"{row['method']} on {row['corpus']}, {row['protocol']}"
        text += f"\n{where}: {row['byte_equal']} of {row['of']} files are byte-equal to those of {row['collection']}"
    for told in added["unverified"]:
        text += f"\nnot verified: {told}"
    ConsoleReport().say(text)
