"""How often the talking one of two MiniLRS faces in a larger moving frame gets the higher confidence.

Both faces move their lips; the sound is one's. Half of the time it is the right one's.

Run: python -m measurements.quality.talking_face [--cases 50] [--stride 5] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from lse_bench.faces.detectors import load_detector
from lse_bench.faces.tracking import Tracking
from lse_bench.manifests.layouts import read_corpus
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.stage import write_stage
from lse_bench.sync.scorer import SyncScorer

WANTED = 0.9


def main() -> None:
    """Print the share; exit status 1 when it is below 0.9."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--stride", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("quality"))
    chosen = parser.parse_args()
    console = Console(width=120)
    root = chosen.out / "stage-corpus"
    # Two clips of each of as many speakers as there are cases: neighbours in the list are different people.
    make_corpus(Spec(speakers=chosen.cases, clips=2, seed=1000, split="test", frames=125), root)
    clips = sorted(read_corpus(root)[1], key=lambda clip: (clip.path.stem, clip.id))
    tracking = Tracking(load_detector("centerface"), stride=chosen.stride)
    scorer = SyncScorer.load("syncnet-mini", protocol="tracked", tracking=tracking)
    right = 0
    for case in track(range(chosen.cases), "cases", console=console):
        pair = [clips[case].path, clips[(case + 1) % chosen.cases].path]
        path = chosen.out / "stage" / f"{case:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        corners = write_stage(pair, path, speaker=case % 2)
        (outcome,) = scorer.score_all([(case, path)])
        found: dict[int, float] = {}
        for number, score in outcome.tracks.items():
            box = outcome.facts.scene.tracks.kept[number].boxes.mean(axis=0)  # type: ignore[union-attr]
            nearest = int(np.argmin([abs(corner.mean(axis=0) - box).sum() for corner in corners]))
            found[nearest] = max(score.lse_c, found.get(nearest, -np.inf))
        good = len(found) == 2 and found[case % 2] > found[1 - case % 2]
        right += good
        if not good:
            console.print(case, outcome.failure, {key: round(value, 2) for key, value in found.items()})
    console.print(f"the talking face is the more confident in {right} of {chosen.cases} ({scorer.key['protocol']})")
    raise SystemExit(0 if right >= WANTED * chosen.cases else 1)


if __name__ == "__main__":
    main()
