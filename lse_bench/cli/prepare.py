"""The command `lse-bench prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import MAKE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared_corpora import PrepareOptions
from lse_bench.tasks.declared_execution import ExecutionOptions

_SHOWN = 5

_EXAMPLES = """
**Examples**

    lse-bench prepare /data/lrs2 --out prepared/lrs2

    lse-bench prepare minilrs --pads 0,10,0,0 --out prepared/mini

    lse-bench prepare HDTF --speaker-from '(?P<speaker>[^/]+)/' --out prepared/hdtf

    lse-bench prepare /data/lrs3 --crop aligned --sync-weights syncnet_v2 --out prepared/lrs3-aligned

Speech2Vid trains on aligned faces. All other generators train on boxes. Run the same command with the same --out again
to continue a stopped preparation.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=MAKE)
@offers(PrepareOptions)
@offers(ExecutionOptions, "execution")
def prepare(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A corpus (LRS2, LRS3, LRW, MiniLRS), any folder of videos, a list of clips, or a manifest, whose "
            "source videos are prepared.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the prepared clips.")],
    options: PrepareOptions,
    execution: ExecutionOptions,
    root: Annotated[
        Path | None, typer.Option(help="Folder with the files of a list or manifest. Default: the one that it names.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prepare clips for training: crop faces and compute sound features once."""
    report = ConsoleReport()
    with report.importing():
        from lse_bench.baselines.speech2vid.alignment import AlignedCropper
        from lse_bench.tasks.preparing import prepare_into

    index = prepare_into(out, source, options, report, AlignedCropper, root, execution)
    problems: dict[str, str] = index.problems
    if as_json:
        shown = index.model_dump(include={"digest", "problem_counts", "problems"})
        print(json.dumps(shown | {"clips": len(index.clips)}, indent=2))
    for name, problem in list(problems.items())[:_SHOWN]:
        report.say(f"left out {name}: {problem}")
    if len(problems) > _SHOWN:
        report.say(f"… and {len(problems) - _SHOWN} more, all in {out / 'prepared.json'}")
    report.say(
        f"{len(index.clips)} clips prepared, {len(problems)} left out, {len(index.corrected)} corrected; "
        f"digest {index.digest[:16]}… → {out}"
    )
