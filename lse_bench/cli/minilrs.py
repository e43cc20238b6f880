"""`minilrs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import MAKE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared import MiniLrsOptions

_EXAMPLES = """
**Examples**

    lse-bench minilrs --speakers 10 --clips 8 --out minilrs

    lse-bench minilrs --flavour lrw --speakers 40 --clips 25 --seed 3 --out minilrw

    lse-bench minilrs --split test --style marked --frames 75 --speakers 25 --clips 8 --out hard

The same command with the same --out goes on where it was stopped. The voices are espeak-ng's:
`pip install 'lse-bench[minilrs]'`.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=MAKE)
@offers(MiniLrsOptions)
def minilrs(
    out: Annotated[Path, typer.Option(help="Folder of the corpus; new, empty, or one to go on with.")],
    options: MiniLrsOptions,
    as_json: Json = False,
) -> None:
    """Make a corpus of made-up talking faces in the layout of LRS2, LRS3 or LRW; the same seed makes the same one."""
    from lse_bench.tasks.corpora import make_minilrs

    report = ConsoleReport()
    try:
        summary = make_minilrs(out, options, report)
    except KeyboardInterrupt:
        report.say(f"stopped; the same command with --out {out} goes on from here")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    splits = ", ".join(f"{count} {name}" for name, count in summary["splits"].items())
    report.say(
        f"{summary['clips']} clips ({splits}), {summary['frames']:,} frames, digest {summary['digest'][:16]}… → {out}"
    )
