"""`verify`."""

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

Computed again: scores from curves, curves from windows, summaries from records, tables from summaries; fid and fd-sync
are tied to the digests of the files they were computed from, clips at hand to the digests of the records. Numbers that
agree to 1e-9 are the same (windows: 1e-5; scored again: 1e-3). Exit status: 0 nothing differs, 1 something does.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=COMPARE)
@offers(RescoreOptions)
def verify(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run directories, benchmarks or collections.")],
    options: RescoreOptions,
    rescore: Annotated[
        int, typer.Option(min=0, help="Score so many clips of each run again; only this finds a whole forgery.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Which clips are scored again.")] = 0,
    as_json: Json = False,
) -> None:
    """Check that results follow from what they were computed from, and name every difference."""
    from lse_bench.leaderboard.check import verify_all

    report = ConsoleReport()
    with report.working("Reading, computing again, digesting clips"):
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
