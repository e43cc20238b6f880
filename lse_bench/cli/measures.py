"""The command `lse-bench measures`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport

if TYPE_CHECKING:
    from lse_bench.measures.interface import AnyMeasure
    from lse_bench.runs.correlation import Correlation
    from lse_bench.runs.read import Run

_EXAMPLES = """
**Examples**

    lse-bench measures

    lse-bench score outputs/ --originals originals/ --measures psnr,ssim --out runs/mine

    lse-bench score outputs/ --measure-command "blur=python blur.py {video}" --out runs/mine

    lse-bench measures compare runs/real runs/mine runs/theirs
"""
_COMPARE_EXAMPLES = """
**Examples**

    lse-bench measures compare runs/real runs/mine runs/theirs

    lse-bench measures compare runs/* --most 10 --json
"""


group = typer.Typer(
    invoke_without_command=True,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="measures", rich_help_panel=SCORE)


@group.callback()
def measures(context: typer.Context, as_json: Json = False) -> None:
    """List the measures beside LSE, with what they need, their licences and what they deviate in."""
    if context.invoked_subcommand is not None:
        return
    with ConsoleReport().importing("Importing the measures"):
        from lse_bench.measures.interface import SetMeasure
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
                "of_sets": issubclass(made, SetMeasure),
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
            told = [better[made.higher_is_better], f"needs {', '.join(sorted(made.needs))}", made.licence]
            told += ["one value for all clips"] if issubclass(made, SetMeasure) else []
            lines.append(f"    {'; '.join(told)}")
            lines += [f"    deviates: {made.deviations}"] if made.deviations else []
            lines += [f"    {line}" for line in _installs(made)]
        shown.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _installs(made: type[AnyMeasure]) -> list[str]:
    """Return the commands that get what a measure needs: packages and weights."""
    from lse_bench.measures.helpers import PACKAGES, WEIGHTS
    from lse_bench.weights.table import table

    extras = list(made.packages.values())
    known = table()
    weights = [name for name in made.weights if name not in known or not known[name].embedded]
    for need in sorted(made.needs):
        extras += PACKAGES.get(need, {}).values()
        weights += [WEIGHTS[need]] if need in WEIGHTS else []
    lines = [f"pip install 'lse-bench[{','.join(dict.fromkeys(extras))}]'"] if extras else []
    return lines + ([f"lse-bench weights fetch {' '.join(weights)}"] if weights else [])


@group.command(epilog=_COMPARE_EXAMPLES)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories of one list of clips.")],
    most: Annotated[int, typer.Option(min=0, help="Number of clips to show on which measures disagree most.")] = 5,
    as_json: Json = False,
) -> None:
    """Set measures beside each other: rank correlations over clips and over methods, and where they disagree most.

    A positive correlation means that both call the same clips, or methods, better.
    """
    from lse_bench.runs.read import read_run
    from lse_bench.tables.beside import relations

    entries: dict[str, Run] = {}
    for path in runs:
        run = read_run(path)
        entries[run.method if run.method not in entries else run.name] = run
    found = relations(entries, most)
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in found], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Spearman's rank correlation, 95 % interval; {len(entries)} methods")
    for name in ("measure", "and", "over clips", "clips", "over methods"):
        table.add_column(name, justify="left" if name in ("measure", "and") else "right")
    for one in found:
        clips = "–" if one.clips is None else _correlation(one.clips)
        counted = "0" if one.clips is None else str(one.clips.n)
        table.add_row(one.first, one.second, clips, counted, _correlation(one.methods))
    shown = Console()
    shown.print(table)
    apart = sorted(
        ((one, clip) for one in found for clip in one.disagree),
        key=lambda pair: -abs(pair[1].places[0] - pair[1].places[1]),
    )[:most]
    if apart:
        print("Measures disagree most on these clips (place among the method's clips, 0 worst, 1 best):")
    for one, clip in apart:
        places = " and ".join(
            f"{name} {place:.2f} ({value:.4g})"
            for name, place, value in zip((one.first, one.second), clip.places, clip.values, strict=True)
        )
        print(f"  {clip.method}, {clip.clip}: {places}")


def _correlation(one: Correlation) -> str:
    """Return a correlation with its interval as text."""
    if one.spearman is None:
        return "–"
    interval = one.spearman_ci95
    return f"{one.spearman:+.2f}" + ("" if interval is None else f" [{interval[0]:+.2f}, {interval[1]:+.2f}]")
