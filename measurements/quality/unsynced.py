"""Do `real` and `unsynced` bound what a generator can do? LSE-C of MiniLRS pairs with their own and mismatched audio.

Run by `bootstrap.py quality`, or: python -m measurements.quality.unsynced [--pairs 100] [--weights syncnet-mini]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from lse_bench.manifests.manifest import read_manifest
from lse_bench.runs.records import read_records

SPEAKERS, CLIPS, FRAMES = 20, 5, 75


def lse_bench(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "lse_bench", *map(str, arguments)], check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    """The share of pairs whose LSE-C falls when the sound is another speaker's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--weights", default="syncnet-mini")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus, pairs = folder / "corpus", folder / "pairs.json"
        sizes = ("--speakers", SPEAKERS, "--clips", CLIPS, "--frames", FRAMES)
        lse_bench("minilrs", "--seed", 11, "--split", "test", *sizes, "--out", corpus)
        lse_bench("manifest", "build", corpus, "--pairs", chosen.pairs, "--out", pairs)
        for generator in ("real", "unsynced"):
            lse_bench("generate", generator, "--manifest", pairs, "--out", folder / generator)
            run = folder / f"{generator}-run"
            lse_bench("score", folder / generator, "--weights", chosen.weights, "--out", run)
        real = {record.groups["video"]: record for record in read_records(folder / "real-run")}
        mismatched = {record.id: record for record in read_records(folder / "unsynced-run")}
        lower, falls = 0, []
        for job in read_manifest(pairs).jobs:
            own, other = real[job.groups["video"]].lse_c, mismatched[job.id].lse_c
            assert own is not None and other is not None
            lower += other < own
            falls.append(own - other)
    mean = sum(falls) / len(falls)
    print(f"{lower} of {chosen.pairs} pairs have a lower LSE-C unsynced than real ({mean:.2f} lower on average)")


if __name__ == "__main__":
    main()
