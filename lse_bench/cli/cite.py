"""The command `lse-bench cite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import COMPARE, app

_EXAMPLES = """
**Example**

    lse-bench cite runs/mine
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=COMPARE)
def cite(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Print a run's signature, a paragraph for the methods section, and BibTeX entries of the work that it used."""
    from lse_bench.benchmark.summary import read_cell
    from lse_bench.runs.cite import citation

    print(citation(read_cell(run)), end="")
