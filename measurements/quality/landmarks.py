"""How well the face mesh finds lips: on MiniLRS people nobody has seen, against the renderer's own landmarks.

Run: python -m measurements.quality.landmarks [--clips N] [--out FOLDER]. Some four minutes on one core with 200 clips.
It needs `lse-bench weights fetch facemesh` and the extras `landmarks` and `faces`.

For each style: the distance of the inner lip corners in eye distances, and the correlation of the lip gap with the true
one, with the true box in each frame and as measures follow a face (a detector, then the points themselves). `size` is
the gap found over the true one. `noise` is the root mean square of the gap's second difference where the true gap is
still, in eye distances: the temporal consistency.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.faces.facemesh import FaceMesh, landmarks_of, load_mesh, square_of_box
from lse_bench.faces.landmarks import Follower, Mesh
from lse_bench.measures.landmarks import eye_distance
from lse_bench.measures.lips import lip_gap
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.truth import truth_path
from lse_bench.weights.store import resolve

CORNERS = [60, 64]
SPEAKERS, SEED, FRAMES = 20, 2600, 50
STYLES = ("plain", "marked", "mixed")


@dataclass
class Found:
    """What came out for one style and one way of looking."""

    corners: list[float] = field(default_factory=list)
    correlations: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    lost: int = 0
    frames: int = 0
    seconds: float = 0.0


class TrueBoxes(Follower):
    """Looks into the true box of each frame."""

    def __init__(self, network: FaceMesh, boxes: NDArray[np.float32]) -> None:
        self._network, self._boxes = network, iter(boxes)

    def find(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        return landmarks_of(self._network.find(frame, square_of_box(next(self._boxes)))[0])


def look(follower: Follower, clip: Path, truth: NDArray[np.float64], found: Found) -> None:
    """Add what a follower finds in a clip."""
    points = []
    for frame in read_frames(probe(clip), 25):
        began = time.perf_counter()
        points.append(follower.find(frame))
        found.seconds += time.perf_counter() - began
    seen = [(one, other) for one, other in zip(points, truth, strict=False) if one is not None]
    found.frames += len(points)
    found.lost += len(points) - len(seen)
    if len(seen) < 10:
        return
    errors = [np.linalg.norm(one[CORNERS] - other[CORNERS], axis=1).mean() / eye_distance(other) for one, other in seen]
    ours, theirs = (np.array([lip_gap(pair[side]) for pair in seen]) for side in (0, 1))
    found.corners.append(float(np.mean(errors)))
    found.correlations.append(float(np.corrcoef(ours, theirs)[0, 1]))
    found.sizes.append(float(ours.mean() / theirs.mean()))
    still = np.abs(np.diff(theirs, 2)) < 1e-3
    if still.any():
        found.noise.append(float(np.sqrt(np.mean(np.diff(ours, 2)[still] ** 2))))


def main() -> None:
    """Print a row for each style and way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    network = resolve("facemesh")
    source, mesh = Mesh(network), load_mesh(network)
    each = -(-chosen.clips // (SPEAKERS * len(STYLES)))
    print("| style | boxes | clips | corners | worst | gap r | least | size | noise | lost | frames/s a core |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    whole: dict[str, Found] = {"true": Found(), "followed": Found()}
    with tempfile.TemporaryDirectory() as folder:
        for style in STYLES:
            root = (chosen.out or Path(folder)) / style
            spec = Spec(speakers=SPEAKERS, clips=each, seed=SEED, split="test", style=style, frames=FRAMES)  # type: ignore[arg-type]
            make_corpus(spec, root)
            ways = {"true": Found(), "followed": Found()}
            for clip in sorted(root.rglob("*.mp4")):
                with np.load(truth_path(clip, root)) as held:
                    truth, boxes = held["landmarks"].astype(np.float64), held["boxes"]
                for name, follower in (("true", TrueBoxes(mesh, boxes)), ("followed", source.follow(clip))):
                    look(follower, clip, truth, ways[name])
            for name, found in ways.items():
                print(row(style, name, found), flush=True)
                for values in ("corners", "correlations", "sizes", "noise"):
                    getattr(whole[name], values).extend(getattr(found, values))
                whole[name].lost += found.lost
                whole[name].frames += found.frames
                whole[name].seconds += found.seconds
    for name, found in whole.items():
        print(row("all", name, found))
    ours = whole["true"]
    good = np.mean(ours.corners) <= 0.07 and np.mean(ours.correlations) >= 0.80
    print(f"wanted with true boxes, on average: corners at most 0.07, gap r at least 0.80: {'yes' if good else 'NO'}")
    raise SystemExit(0 if good else 1)


def row(style: str, name: str, found: Found) -> str:
    """A row of the table."""
    cells = (
        *(style, name, str(len(found.corners))),
        *(f"{np.mean(found.corners):.4f}", f"{np.max(found.corners):.3f}"),
        *(f"{np.mean(found.correlations):.3f}", f"{np.min(found.correlations):.2f}", f"{np.mean(found.sizes):.2f}"),
        f"{np.median(found.noise):.4f}" if found.noise else "",
        *(str(found.lost), f"{found.frames / found.seconds:,.0f}"),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
