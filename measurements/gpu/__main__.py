"""What a device computes, and how fast: the scorer, Inception, S3FD, every generator, a step of every trainer.

    python measurements/gpu [--device cuda] [--out gpu.json] [--limit 120] [--small] [--only PART ...]
    python measurements/gpu --page gpu.json        # the table of docs/speed.md from a file of figures

Needs arrays only: torch, numpy, scipy, safetensors, pydantic, Lightning Fabric. No media library, no network, no
installed package: it runs from a checkout. Weights and inputs are made up by formula, so every machine has the same.
Each part is a process of its own with its own limit of seconds; one that fails or takes too long leaves the others.
Printed is one table; the JSON file holds the same with the machine's description. `--small` is for tests: narrow
networks and few inputs. The parts `compile-…` are left out unless named by --only or --compile is given: a compiler
takes minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def cells(part: str, row: dict[str, Any]) -> list[str]:
    """A row of the table as words: part, setting, batch, speed, memory, error, more."""
    if "failed" in row:
        return [part, "", "", "", "", "", row["failed"]]
    speed = "" if row["per_second"] is None else f"{row['per_second']:,.1f} {row['unit']}/s"
    memory = "" if row["gib"] is None else f"{row['gib']:.2f} GiB"
    error = "" if row["error"] is None else f"{row['error']:.1e}"
    more = (
        f"{name} {value if isinstance(value, str) else format(value, '.5g')}" for name, value in row["more"].items()
    )
    return [part, row["what"], str(row["batch"]), speed, memory, error, ", ".join(more)]


WIDTHS = (24, 9, 5, 20, 10, 8, 0)
HEADS = ("part", "setting", "batch", "speed", "memory", "error", "more")


def line_of(words: list[str]) -> str:
    """A line of the printed table."""
    return " ".join(word.ljust(width) for word, width in zip(words, WIDTHS, strict=True)).rstrip()


def page_of(path: Path) -> str:
    """The Markdown table of a file of figures, under the machine's description."""
    held = json.loads(path.read_text(encoding="utf-8"))
    lines = [told(held["machine"]) + ".", "", f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    for part, rows in held["parts"].items():
        lines += [f"| {' | '.join(cells(part, row))} |" for row in rows]
    return "\n".join(lines)


def described(device: str) -> dict[str, Any]:
    """The machine and the card."""
    import torch

    from lse_bench.processor import machine

    card = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {"device": device, "card": card, "torch": torch.__version__, "cuda": torch.version.cuda, **machine()}


def told(about: dict[str, Any]) -> str:
    """The machine in a sentence."""
    return ", ".join(f"{name} {value}" for name, value in about.items() if value and name != "instruction_sets")


def main() -> int:
    """Parse and run; 1 when a part has no figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, cuda or cuda:N; default: the card where there is one.")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--limit", type=float, default=120.0, help="Seconds for each part.")
    parser.add_argument("--small", action="store_true", help="Narrow networks and few inputs.")
    parser.add_argument("--compile", action="store_true", help="Steps under torch.compile too.")
    parser.add_argument("--only", nargs="*", help="Names of parts.")
    parser.add_argument("--page", type=Path, help="Print the table of a file of figures as Markdown, and end.")
    arguments = parser.parse_args()
    if arguments.page:
        print(page_of(arguments.page))
        return 0
    import torch  # what a page of figures needs no second for
    from measure import Rows, parts_of, run_part
    from parts import Setting

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    parts, setting = parts_of(), Setting(device, arguments.small)
    about = described(device)
    print(told(about))
    print(line_of(list(HEADS)))
    found: dict[str, Rows] = {}
    wanted = arguments.only or [name for name in parts if arguments.compile or not name.startswith("compile-")]
    for name in wanted:
        found[name] = run_part(name, setting, arguments.limit)
        for row in found[name]:
            print(line_of(cells(name, row)), flush=True)
        arguments.out.write_text(json.dumps({"machine": about, "parts": found}, indent=1) + "\n", encoding="utf-8")
    return int(any("failed" in row for rows in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
