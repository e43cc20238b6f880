"""The command `lse-bench measures`."""

from __future__ import annotations

import json

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport

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
                "install": [f"pip install 'lse-bench[{extra}]'" for extra in dict.fromkeys(made.packages.values())],
            }
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    shown = Console()
    for row in rows:
        if row["broken"] is not None:
            shown.print(f"{row['name']} ({row['package']}): broken: {row['broken']}", highlight=False, markup=False)
            continue
        better = {True: "higher is better", False: "lower is better", None: "neither end is better"}
        told = f"{better[row['higher_is_better']]}; needs {', '.join(map(str, row['needs']))}"  # type: ignore[index,call-overload]
        shown.print(f"{row['name']} ({row['package']}): {row['what']}", highlight=False, markup=False)
        shown.print(f"    {told}; weights: {row['licence']}", highlight=False, markup=False)
        if row["deviations"]:
            shown.print(f"    deviates: {row['deviations']}", highlight=False, markup=False)
        for line in row["install"]:  # type: ignore[attr-defined]
            shown.print(f"    {line}", highlight=False, markup=False)
