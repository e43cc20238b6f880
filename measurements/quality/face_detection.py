"""How often CenterFace finds exactly one face in MiniLRS frames, its box over the sidecar's by half or more.

Run: python -m measurements.quality.face_detection [--clips 100] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lse_bench.faces.centerface import CenterFace
from lse_bench.faces.face import overlap
from lse_bench.manifests.layouts import FLAVOURS, read_corpus
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.truth import truth_path

STEP = 7  # every seventh frame


def main() -> None:
    """Print the table; exit status 1 when less than 95 % are right."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("quality"))
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=120)
    table = Table(title="CenterFace on MiniLRS (mixed style, seed 1000)")
    for heading in ("flavour", "frames", "exactly one face", "and over the sidecar's box by 0.5"):
        table.add_column(heading, justify="right")
    detector = CenterFace()
    worst = 1.0
    for flavour in FLAVOURS:
        root = chosen.out / f"faces-{flavour}"
        make_corpus(Spec(flavour=flavour, speakers=max(1, chosen.clips // 2), clips=2, seed=1000, split="test"), root)
        single = right = total = 0
        for clip in track(read_corpus(root)[1], flavour, console=console):
            with np.load(truth_path(clip.path, root)) as truth:
                boxes = truth["boxes"]
            for number, frame in enumerate(read_frames(probe(clip.path))):
                if number % STEP == 0:
                    (faces,) = detector.detect([frame])
                    total += 1
                    single += len(faces) == 1
                    right += len(faces) == 1 and overlap(faces[0].box, boxes[number]) >= 0.5
        worst = min(worst, right / total)
        table.add_row(flavour, str(total), f"{single / total:.4f}", f"{right / total:.4f}")
    console.print(table)
    raise SystemExit(0 if worst >= 0.95 else 1)


if __name__ == "__main__":
    main()
