"""The command `lse-bench compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import COMPARE, Json, app
from lse_bench.cli.console import ConsoleReport, warn_of_weights

_COMPARE_EXAMPLES = """
**Examples**

    lse-bench compare runs/mine runs/theirs

    lse-bench compare runs/mine runs/theirs --json

    lse-bench compare runs/mine runs/theirs --card card
"""

_ARROWS = {True: "↑", False: "↓", None: ""}


@app.command(epilog=_COMPARE_EXAMPLES, rich_help_panel=COMPARE)
def compare(
    first: Annotated[Path, typer.Argument(help="A run directory.")],
    second: Annotated[Path, typer.Argument(help="Another run directory of the same list under the same protocol.")],
    card: Annotated[
        Path | None,
        typer.Option(help="A Reliability Card of the same weights and protocol: shows what so many clips can decide."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two runs on the clips that both scored: mean paired differences with 95 % intervals and p values."""
    with ConsoleReport().importing():
        from lse_bench.reliability.beside import read_card
        from lse_bench.reliability.decides import decided, measured_alike, refuse_other
        from lse_bench.runs.read import read_run
        from lse_bench.tables.paired import compare as compare_runs

    one, other = read_run(first), read_run(second)
    result = compare_runs(one, other)
    known = None if card is None else read_card(card)
    if known is not None:
        refuse_other(known, str(card), one.description.key, str(first))
    if as_json:
        print(json.dumps(result.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    def _decided(metric: str, difference: float | None, n: int) -> str:
        """Return from which difference on n clips decide, marked if this one does not reach it."""
        if known is None or not measured_alike(known, metric, (one, other)):
            return "–"
        least, reached = decided(known, metric, difference, n)
        return "–" if least is None else f"{least:.4f}" + (" (not reached)" if reached is False else "")

    shown = Console()
    names = {"first": "A", "second": "B", None: "neither"}
    table = Table(title=f"A minus B, {result.both} clips that both scored")
    headings = ["metric", "difference", "95 % interval", "p", "better", *(["decided from"] if known else [])]
    for name in headings:
        table.add_column(name, justify="left" if name in ("metric", "better") else "right")
    for metric, found in result.metrics.items():
        interval, p = found.ci95, found.p_value
        table.add_row(
            f"{metric} {_ARROWS[found.higher_is_better]}".rstrip(),
            "–" if found.difference is None else f"{found.difference:+.4f}",
            "–" if interval is None else f"{interval[0]:+.4f} … {interval[1]:+.4f}",
            "–" if p is None else f"{p:.2g}",
            names[found.better],
            *([] if known is None else [_decided(metric, found.difference, found.n)]),
        )
    shown.print(table)
    for number, run_ in enumerate((first, second)):
        print(f"{'AB'[number]}: {run_}: {result.scored[number]} of {result.listed[number]} clips scored")
    print(f"{result.byte_equal} of {result.same_clips} files of the same clip are byte-equal")
    print(f"intervals: {result.ci_method}")
    warn_of_weights(ConsoleReport(), one.description.key["weights_sha256"])
