"""Validation curves of training runs as SVG: LSE-C on mismatched sound, and L1 of the mouth relative to a pasted one.

Run: python -m measurements.quality.training_curves NAME=RUN... --out FOLDER
"""

from __future__ import annotations

import argparse
import csv
from functools import partial
from pathlib import Path
from typing import Any

from lse_bench.leaderboard.plots import colours_of
from lse_bench.tables.curves import svg_of

Rows = list[dict[str, float]]


def read_rows(run: Path) -> Rows:
    """A run's validation.csv."""
    with (run / "validation.csv").open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def draw(axes: Any, runs: dict[str, Rows], measure: str, label: str) -> None:
    """One line for each run that has the measure."""
    colours = colours_of(["real", "unsynced", *runs])
    for name, rows in runs.items():
        if rows and measure in rows[0]:
            points = [(row["step"], row[measure]) for row in rows]
        elif rows and measure == "ratio" and "copy" in rows[0]:
            points = [(row["step"], row["mouth"] / row["copy"]) for row in rows]
        else:
            continue
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name, color=colours[name])
    if measure == "ratio":
        axes.axhline(1.0, color="#888888", linewidth=1, linestyle="--")
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=10)


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    runs = {name: read_rows(Path(path)) for name, _, path in (text.partition("=") for text in chosen.runs)}
    chosen.out.mkdir(parents=True, exist_ok=True)
    for file, measure, label in (
        ("training-lse_c", "lse_c", "LSE-C (mini) on mismatched sound, 10 validation clips"),
        ("training-mouth", "ratio", "L1 of the mouth / of a pasted mouth (under 1 is better)"),
    ):
        svg = svg_of(partial(draw, runs=runs, measure=measure, label=label))
        (chosen.out / f"{file}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
