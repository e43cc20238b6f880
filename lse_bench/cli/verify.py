"""The command `lse-bench verify`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lse_bench.cli.common import COMPARE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared import RescoreOptions

if TYPE_CHECKING:
    from lse_bench.runs.read import Run
    from lse_bench.runs.verify import Verdict

_SHOWN = 20
_EXAMPLES = """
**Examples**

    lse-bench verify runs/mine

    lse-bench verify runs/mine --rescore 5

    lse-bench verify leaderboard/results/miniature --json

The command computes scores from curves, curves from windows, summaries from records, and tables from summaries. It
compares fid and fd-sync with the digests of the files that they were computed from. It compares existing clips with the
digests in the records. Two numbers are equal if they agree to 1e-9 (windows: 1e-5, clips scored again: 1e-3).
Exit status: 0 nothing differs, 1 something differs.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=COMPARE)
@offers(RescoreOptions)
def verify(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run directories, benchmark folders or collections.")
    ],
    options: RescoreOptions,
    rescore: Annotated[
        int,
        typer.Option(
            min=0, help="Score this many clips of each run again. Only this detects a run that is forged as a whole."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Random seed that chooses the clips to score again.")] = 0,
    as_json: Json = False,
) -> None:
    """Check that stored results follow from the data they were computed from, and name every difference."""
    with ConsoleReport().importing():
        from lse_bench.leaderboard.check import verify_all

    report = ConsoleReport()
    with report.working("Reading results, computing them again, hashing clips"):
        verdicts = verify_all(runs)
    if rescore:
        from lse_bench.tasks.rescoring import rescore_some

        for entry, verdict in verdicts.values():
            if entry is not None:
                rescore_some(entry, verdict, rescore, seed, options, report)
    if as_json:
        print(json.dumps({name: _as_json(verdict) for name, (_, verdict) in verdicts.items()}, indent=2))
    else:
        _print(verdicts, rescore)
    if any(verdict.differences for _, verdict in verdicts.values()):
        raise typer.Exit(1)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "differences": verdict.differences,
        "unverified": verdict.unverified,
        "checked": verdict.checked,
    }


def _print(verdicts: dict[str, tuple[Run | None, Verdict]], rescored: int) -> None:
    from rich.console import Console

    shown = Console(highlight=False, markup=False, soft_wrap=True)
    for name, (_, verdict) in verdicts.items():
        counts = ", ".join(f"{count} {what}" for what, count in verdict.checked.items())
        word = "differs" if verdict.differences else "nothing differs"
        shown.print(f"{name}: {word} ({counts})", style="red" if verdict.differences else "green")
        for told in verdict.differences[:_SHOWN]:
            shown.print(f"  {told}")
        if len(verdict.differences) > _SHOWN:
            shown.print(f"  … and {len(verdict.differences) - _SHOWN} more (--json lists all)")
        for told in verdict.unverified:
            shown.print(f"  not verified: {told}", style="yellow")
    if not rescored:
        shown.print(
            "not proved: that records, curves and windows were not forged together; --rescore N scores N clips again"
        )
