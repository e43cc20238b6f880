"""The command `lse-bench measures`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport

if TYPE_CHECKING:
    from lse_bench.measures.interface import Measure

_EXAMPLES = """
**Examples**

    lse-bench measures

    lse-bench score outputs/ --originals originals/ --measures psnr,ssim --out runs/mine

    lse-bench score outputs/ --measure-command "blur=python blur.py {video}" --out runs/mine
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=SCORE)
def measures(as_json: Json = False) -> None:
    """List the measures beside LSE, with what they need, their licences and what they deviate in."""
    with ConsoleReport().working("Importing the measures"):
        from lse_bench.measures.registry import load, names

        found = [load(name) for name in names()]
    rows = []
    for plugin in found:
        row: dict[str, object] = {"name": plugin.name, "package": plugin.package, "broken": plugin.broken}
        if plugin.make is not None:
            made = plugin.make
            row |= {
                "what": plugin.what,
                "version": made.version,
                "needs": sorted(made.needs),
                "unit": made.unit,
                "higher_is_better": made.higher_is_better,
                "range": list(made.range),
                "licence": made.licence,
                "sources": list(made.sources),
                "deviations": made.deviations,
                "install": _installs(made),
            }
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    shown = Console()
    better = {True: "higher is better", False: "lower is better", None: "neither end is better"}
    for plugin in found:
        lines = [f"{plugin.name} ({plugin.package}): {plugin.what}"]
        if plugin.make is None:
            lines = [f"{plugin.name} ({plugin.package}): broken: {plugin.broken}"]
        else:
            made = plugin.make
            lines.append(f"    {better[made.higher_is_better]}; needs {', '.join(sorted(made.needs))}; {made.licence}")
            lines += [f"    deviates: {made.deviations}"] if made.deviations else []
            lines += [f"    {line}" for line in _installs(made)]
        shown.print("\n".join(lines), highlight=False, markup=False)


def _installs(made: type[Measure]) -> list[str]:
    """Return the commands that install what a measure imports."""
    return [f"pip install 'lse-bench[{extra}]'" for extra in dict.fromkeys(made.packages.values())]
