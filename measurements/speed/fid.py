"""FID beside pytorch-fid: features of the same pictures, and the distance itself. Run by `bootstrap.py bench`."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from pytorch_fid import fid_score
from pytorch_fid import inception as theirs

from lse_bench.fidelity.fid import measure
from lse_bench.fidelity.frechet import Statistics, frechet_distance
from lse_bench.fidelity.inception import FidInception
from lse_bench.fidelity.sources import items_of
from lse_bench.fidelity.work import FrameReader
from measurements.reference import inception_state, pytorch_fid_runs
from measurements.speed.figures import tell

PICTURES, SIZE, ROUNDS = 100, 224, 3


def side_by_side(ours: Callable[[], object], original: Callable[[], object]) -> tuple[float, float, float]:
    """Best seconds of each, and the median of the ratios of neighbouring runs."""
    times: dict[str, list[float]] = {"ours": [], "original": []}
    for _ in range(ROUNDS):
        for name, run in (("ours", ours), ("original", original)):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    ratios = [there / here for here, there in zip(times["ours"], times["original"], strict=True)]
    return min(times["ours"]), min(times["original"]), statistics.median(ratios)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    state = inception_state()
    theirs.load_state_dict_from_url = lambda url, progress: state
    original = theirs.InceptionV3([3]).eval()
    network = FidInception(state)
    print(f"\nFID, 2 threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        for number in range(PICTURES):
            small = random.integers(0, 256, (28, 28, 3), dtype=np.uint8)
            cv2.imwrite(f"{folder}/{number:03d}.png", cv2.resize(small, (SIZE, SIZE)))
        files = sorted(Path(folder).iterdir())
        here, there, ratio = side_by_side(
            lambda: measure(items_of(Path(folder)), lambda device: FrameReader(network.features, network.tile)),
            lambda: fid_score.get_activations(files, original, batch_size=50, num_workers=1),
        )
        tell("fid", f"Inception features of {PICTURES} pictures", here, "s")
        tell("fid", f"Inception features of {PICTURES} pictures, pytorch-fid", there, "s")
        tell("fid", "Inception features, pytorch-fid / ours", ratio, "", "1.6 or more")
    for count in (3000, 300) if pytorch_fid_runs() else ():
        random = np.random.default_rng(count)
        mixing = random.normal(size=(64, network.dimensions)) / 8
        sets = [Statistics.of(np.maximum(random.normal(size=(count, 64)) @ mixing + shift, 0)) for shift in (0.3, 0.35)]
        moments = [value for one in sets for value in (one.mean, one.covariance)]
        here, there, ratio = side_by_side(
            lambda sets=sets: frechet_distance(*sets),  # type: ignore[misc]
            lambda moments=moments: fid_score.calculate_frechet_distance(*moments),  # type: ignore[misc]
        )
        tell("fid", f"Fréchet distance, {count:,} frames", here, "s")
        tell("fid", f"Fréchet distance, {count:,} frames, pytorch-fid / ours", ratio, "", "4 or more")


if __name__ == "__main__":
    main()
