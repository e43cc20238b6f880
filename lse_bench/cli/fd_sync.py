"""The command `lse-bench fd-sync`: the Fréchet distance between SyncNet's lip embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport, warn_of_weights
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared import FdSyncOptions
from lse_bench.tasks.declared_execution import ExecutionOptions

_EXAMPLES = """
**Examples**

    lse-bench fd-sync outputs/ originals/

    lse-bench fd-sync runs/mine originals/ --weights syncnet-mini --json
"""


@app.command("fd-sync", epilog=_EXAMPLES, rich_help_panel=SCORE)
@offers(FdSyncOptions)
@offers(ExecutionOptions, "execution")
def fd_sync(
    generated: Annotated[Path, typer.Argument(help="A folder of generated videos, or a run directory.")],
    reference: Annotated[Path, typer.Argument(help="A folder of real videos, or a run directory of them.")],
    options: FdSyncOptions,
    execution: ExecutionOptions,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
    max_failed: Annotated[
        int, typer.Option(min=0, help="Number of clips that may fail before the exit status is 1.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Compute fd-sync: how far lip motion differs from real clips, by SyncNet. It does not measure image quality."""
    report = ConsoleReport()
    with report.importing():
        from lse_bench.stored import to_json
        from lse_bench.tasks.distances import fd_sync_of

    result = fd_sync_of(generated, reference, options, report, execution=execution, out=out)
    sets = {"generated": result.generated, "reference": result.reference}
    if as_json:
        print(json.dumps(to_json(result), indent=2, ensure_ascii=False))
    else:
        report.say(f"fd-sync {result.fd_sync:.4f} (lower is closer to the reference)")
        for name, counts in sets.items():
            if counts is not None:
                report.say(f"{name}: {counts.windows} windows of {counts.clips} clips")
        for warning in result.warnings:
            report.warn(warning)
        warn_of_weights(report, result.key["weights_sha256"])
    failed = sum(len(counts.failed) for counts in sets.values() if counts is not None)
    if failed > max_failed:
        report.fail(f"{failed} clips failed, --max-failed allows {max_failed}")
        raise typer.Exit(1)
