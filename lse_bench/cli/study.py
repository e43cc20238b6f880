"""The command `lse-bench study report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import COMPARE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.errors import UsageError

group = typer.Typer(
    no_args_is_help=True,
    help="Analyse people's votes, and compare measures with them.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="study", rich_help_panel=COMPARE)

_EXAMPLES = """
**Examples**

    lse-bench study report votes.csv --out report

    lse-bench study report votes.csv --run wav2lip=runs/wav2lip --run real=runs/real --out report

VOTES has the columns item, method_a, method_b, votes_a, votes_b and perhaps votes_tie and rater; or item, method,
rater, question and value. An item is the id of a clip in the runs. OUT gets report.json and report.md.
"""


@group.command(epilog=_EXAMPLES)
def report(
    votes: Annotated[Path, typer.Argument(metavar="VOTES", help="A CSV file of votes.")],
    out: Annotated[Path, typer.Option(help="Folder for the report.")],
    run: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD=RUN", help="A run directory of a method of the votes. Repeat for each method."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Report strengths or mean opinions of methods, and how far LSE-D, LSE-C and FID agree with people."""
    from lse_bench.benchmark.summary import read_cell
    from lse_bench.study.report import markdown
    from lse_bench.tasks.options import settings_of
    from lse_bench.tasks.studies import report_study

    named = settings_of(tuple(run or ()), "--run")
    empty = next((method for method, path in named.items() if not path), None)
    if empty is not None:
        raise UsageError(f"--run {empty}=: give the run directory of the method {empty}")
    console = ConsoleReport()
    found = report_study(out, votes, {method: read_cell(Path(path)) for method, path in named.items()}, console)
    print(found.model_dump_json(indent=2, by_alias=True) if as_json else markdown(found))
    console.say(f"{found.votes} votes on {len(found.methods)} methods: {out}")
