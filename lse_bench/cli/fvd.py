"""The command `lse-bench fvd`: the Fréchet distance between I3D's features of two sets of videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared import FvdOptions
from lse_bench.tasks.declared_execution import ExecutionOptions

_EXAMPLES = """
**Examples**

    lse-bench weights fetch i3d

    lse-bench fvd outputs/ originals/

    lse-bench fvd runs/mine originals/ --out fvd.json
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=SCORE)
@offers(FvdOptions)
@offers(ExecutionOptions, "execution")
def fvd(
    generated: Annotated[Path, typer.Argument(help="A folder of generated videos, or a run directory.")],
    reference: Annotated[Path, typer.Argument(help="A folder of real videos, or a run directory of them.")],
    options: FvdOptions,
    execution: ExecutionOptions,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
    max_failed: Annotated[
        int, typer.Option(min=0, help="Number of clips that may fail before the exit status is 1.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Compute FVD between two sets of videos (lower is better), from pieces of 16 frames, and print its id."""
    report = ConsoleReport()
    with report.importing():
        from lse_bench.stored import to_json
        from lse_bench.tasks.distances import fvd_of

    result = fvd_of(generated, reference, options, report, execution=execution, out=out)
    sets = {"generated": result.generated, "reference": result.reference}
    if as_json:
        print(json.dumps(to_json(result), indent=2, ensure_ascii=False))
    else:
        error = result.fvd_standard_error
        report.say(f"FVD {result.fvd:.3f}" + ("" if error is None else f" ± {error:.3f} ({result.fvd_error_method})"))
        for name, counts in sets.items():
            if counts is not None:
                report.say(f"{name}: {counts.pieces} pieces of {counts.clips} clips")
        report.say(f"id: {result.fvd_id}")
        for warning in result.warnings:
            report.warn(warning)
    failed = sum(len(counts.failed) for counts in sets.values() if counts is not None)
    if failed > max_failed:
        report.fail(f"{failed} clips failed, --max-failed allows {max_failed}")
        raise typer.Exit(1)
