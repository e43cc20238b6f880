"""Figures of speed and memory: printed, and kept in a file from which a page is made.

`python3 bootstrap.py bench -- FILE` measures all of them. The figures of a program that is
run again take the place of its older ones.

Run: python -m measurements.speed.figures FILE     prints the tables
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lse_bench.processor import machine

KEPT = "LSE_BENCH_FIGURES"  # the variable that names the file
_PACKAGES = ("torch", "numpy", "av", "opencv-python")
_READ = {"av": "PyAV", "opencv-python": "OpenCV"}


def tell(program: str, what: str, value: float, unit: str, wanted: str = "") -> None:
    """Print a figure, and keep it if the variable says where.

    `program`: the module that measured it, such as `lse`. `wanted`: the limit, in words. Raises ValueError if the file
    holds figures of another machine or of other versions.
    """
    print(f"  {what:66s} {shown(value):>9} {unit}{f' (wanted: {wanted})' if wanted else ''}", flush=True)
    if name := os.environ.get(KEPT):
        path = Path(name)
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"figures": []}
        here = {"machine": machine(), "versions": {one: version(one) for one in _PACKAGES}}
        if any(name in held and held[name] != value for name, value in here.items()):
            raise ValueError(f"{path}: holds figures of another machine or of other versions. Name a new file")
        held |= here
        row = {"program": program, "what": what, "value": value, "unit": unit, "wanted": wanted}
        kept = [one for one in held["figures"] if (one["program"], one["what"]) != (program, what)]
        held["figures"] = [*kept, row | {"date": datetime.now(UTC).date().isoformat()}]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def shown(value: float) -> str:
    """Return a value with three digits, whole above 100."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def page(held: dict[str, Any]) -> str:
    """Return a file of figures as Markdown: the machine and the versions, then a table for each program."""
    about = held["machine"]
    versions = ", ".join(f"{_READ.get(name, name)} {number}" for name, number in held["versions"].items())
    dates = sorted({row["date"] for row in held["figures"]})
    lines = [
        f"{about['processor']}, {about['threads']} threads, {', '.join(about['instruction_sets'])}; {versions}; "
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    ]
    for program in dict.fromkeys(row["program"] for row in held["figures"]):
        lines += ["", f"| `python -m measurements.speed.{program}` | value | unit | wanted |", "|---|---:|---|---|"]
        lines += [
            f"| {row['what']} | {shown(row['value'])} | {row['unit']} | {row['wanted']} |"
            for row in held["figures"]
            if row["program"] == program
        ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables of a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    print(page(json.loads(parser.parse_args().file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
