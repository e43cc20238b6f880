"""Score a folder into a data frame and plot LSE-C by speaker. Run: python examples/data_frame.py FOLDER OUT.png"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

import lse_bench


def main() -> None:
    """Score, print, plot."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    run = lse_bench.evaluate(folder, weights="syncnet-mini", protocol="lrs-lossless@1", method="mine")
    frame = run.to_frame()
    print(frame[["clip", "status", "lse_d", "lse_c", "offset"]].to_string(index=False))
    print(f"LSE-C {run.lse_c.mean:.3f}, {run.lse_c.n} clips; {run.signature}")
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(frame["lse_c"].dropna().astype(float), bins=10)
    axes.set_xlabel("LSE-C (higher is better)")
    axes.set_ylabel("clips")
    figure.savefig(out)


if __name__ == "__main__":
    main()
