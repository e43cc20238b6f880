"""The command `lse-bench fid`: FID and KID between two sets of frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared import FidOptions
from lse_bench.tasks.declared_execution import ExecutionOptions

if TYPE_CHECKING:
    from lse_bench.fidelity.results import FidResult

_EXAMPLES = """
**Examples**

    lse-bench fid outputs/ originals/

    lse-bench fid outputs/ originals/ --reference-frames matched --frame-step 5

    lse-bench fid outputs/ originals/ --save-statistics lrs2-test.npz

    lse-bench fid outputs/ lrs2-test.npz --out fid.json

    lse-bench fid outputs/ originals/ --weights inception-mini
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=SCORE)
@offers(FidOptions)
@offers(ExecutionOptions, "execution")
def fid(
    generated: Annotated[
        Path, typer.Argument(help="A folder of videos or pictures, a run directory, or saved statistics (.npz).")
    ],
    reference: Annotated[
        Path, typer.Argument(help="The reference in one of the same forms. Statistics of pytorch-fid are accepted too.")
    ],
    options: FidOptions,
    execution: ExecutionOptions,
    save_statistics: Annotated[
        Path | None, typer.Option(help="Save the statistics of the reference to this .npz file.")
    ] = None,
    max_failed: Annotated[
        int, typer.Option(min=0, help="Number of clips that may fail before the exit status is 1.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
    as_json: Json = False,
) -> None:
    """Compute FID and KID between the frames of two sets (lower is better), and print the id of all settings."""
    report = ConsoleReport()
    with report.importing():
        from lse_bench.stored import to_json
        from lse_bench.tasks.distances import fid_of

    result = fid_of(
        generated, reference, options, report, execution=execution, out=out, save_statistics=save_statistics
    )
    if as_json:
        print(json.dumps(to_json(result), indent=2, ensure_ascii=False))
    else:
        _print(report, result)
    failed = sum(len(counts.failed) for counts in (result.generated, result.reference) if counts is not None)
    if failed > max_failed:
        report.fail(f"{failed} clips failed, --max-failed allows {max_failed}")
        raise typer.Exit(1)


def _print(report: ConsoleReport, result: FidResult) -> None:
    from lse_bench.weights.table import MINI_INCEPTION, mark_of, name_of_digest

    network = name_of_digest(result.weights_sha256 or "")
    mark = mark_of(network)
    error = result.fid_standard_error
    shown = "" if error is None else f" ± {error:.4f} ({result.fid_error_method})"
    report.say(f"FID{mark} {result.fid:.4f}{shown}")
    if result.kid is not None:
        interval = result.kid_ci95
        spread = "" if interval is None else f", 95 % {interval[0]:.6f} … {interval[1]:.6f} ({result.kid_ci_method})"
        report.say(f"KID{mark} {result.kid:.6f}{spread}")
    for name, counts in (("generated", result.generated), ("reference", result.reference)):
        if counts is not None:
            report.say(f"{name}: {counts.frames} frames of {counts.clips} clips")
    report.say(f"id: {result.fid_id}")
    for warning in result.warnings:
        report.warn(warning)
    if network == MINI_INCEPTION:
        report.warn("inception-mini knows synthetic faces only. Its FID and KID compare with no published ones")
