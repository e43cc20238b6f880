"""The command `lse-bench minilrs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import MAKE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared_corpora import MiniLrsOptions

_EXAMPLES = """
**Examples**

    lse-bench minilrs --speakers 10 --clips 8 --out minilrs

    lse-bench minilrs --flavour lrw --speakers 40 --clips 25 --seed 3 --out minilrw

    lse-bench minilrs --split test --style marked --frames 75 --speakers 25 --clips 8 --out hard

Run the same command with the same --out again to continue a stopped corpus. The voices come from espeak-ng. Install it
with `pip install 'lse-bench[minilrs]'`.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=MAKE)
@offers(MiniLrsOptions)
def minilrs(
    out: Annotated[
        Path, typer.Option(help="Folder of the corpus: new, empty, or holding a stopped corpus to continue.")
    ],
    options: MiniLrsOptions,
    as_json: Json = False,
) -> None:
    """Make a corpus of synthetic talking faces in the layout of LRS2, LRS3 or LRW. A seed always gives the same one."""
    report = ConsoleReport()
    with report.importing():
        from lse_bench.stored import to_json
        from lse_bench.tasks.corpora import make_minilrs

    try:
        summary = make_minilrs(out, options, report)
    except KeyboardInterrupt:
        report.say(f"stopped; run the same command with --out {out} again to continue")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(to_json(summary), indent=2))
        return
    splits = ", ".join(f"{count} {name}" for name, count in (summary.splits or {}).items())
    report.say(
        f"{summary.clips} clips ({splits}), {summary.frames:,} frames, digest {str(summary.digest)[:16]}… → {out}"
    )
