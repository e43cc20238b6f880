"""Does training go the way the shipped weights went? The first 20 losses of the shipped config against the stored ones.

Run: python -m measurements.quality.retrain [syncnet|inception] [--corpus FOLDER] [--out FOLDER]; without --corpus the
config's corpus is made first, which takes five minutes.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

STORED = {name: Path(__file__).with_name(f"{name}-mini-losses.csv") for name in ("syncnet", "inception")}
LIMIT = 1e-4


def losses(path: Path) -> list[float]:
    """The logged losses, step by step."""
    with path.open(newline="", encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def main() -> None:
    """Print the largest difference; exit status 1 when it is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network", nargs="?", default="syncnet", choices=list(STORED))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    stored = losses(STORED[chosen.network])
    with tempfile.TemporaryDirectory() as folder:
        out = chosen.out or Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "lse_bench",
            "train",
            chosen.network,
            "--device",
            "cpu",
            "--steps",
            str(len(stored)),
            "--out",
            str(out),
        ]
        if chosen.corpus is not None:
            command += ["--corpus", str(chosen.corpus)]
        subprocess.run(command, check=True)
        found = losses(out / "log.csv")
    worst = max(abs(a - b) for a, b in zip(stored, found, strict=True))
    print(f"{len(found)} losses, largest difference {worst:.2e} (limit {LIMIT:.0e})")
    raise SystemExit(0 if worst <= LIMIT else 1)


if __name__ == "__main__":
    main()
