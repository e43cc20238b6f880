"""Seconds per second of video: the published network and pipeline beside ours. Run: `bootstrap.py bench`."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lse_bench.manifests.clips import find_clips
from lse_bench.media.writer import write_clip
from lse_bench.processor import machine
from lse_bench.runs.run import score_run
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.syncnet import FastSyncNet, SyncNet
from lse_bench.weights.formula import formula_weights
from measurements.reference import published_features, score_as_original
from measurements.speed.figures import tell

THREADS = 2
FPS, SIZE = 25, 224
WINDOWS = 200  # for the networks alone, in PASSES, so that they run as long as a clip takes
PASSES = 4
SECONDS = 30
ROUNDS = 3


def make_clip(path: Path, seconds: int) -> Path:
    """Moving gradients with camera noise, and a modulated buzz; some 300 kb/s, as LRS2 clips are."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    noise = random.integers(0, 4, (16, SIZE, SIZE, 3), dtype=np.uint8)

    def frames():  # type: ignore[no-untyped-def]
        for number in range(seconds * FPS):
            base = 128 + 60 * np.sin((x + 3 * number) / 19) + 40 * np.cos((y - 2 * number) / 13)
            yield (np.repeat(base[..., None], 3, axis=2) + noise[number % 16]).clip(0, 255).astype(np.uint8)

    time_axis = np.arange(seconds * 16000) / 16000
    sound = 6000 * np.sin(2 * np.pi * 140 * time_axis) * (1 + np.sin(2 * np.pi * 3 * time_axis)) / 2
    write_clip(path, frames(), sound.astype(np.int16))
    return path


def make_network() -> SyncNet:
    network = SyncNet().eval()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in formula_weights(shapes).items()})
    return network


def peak_of_scoring(clip: Path, weights: Path, out: Path) -> float:
    """Peak resident memory, MB, of a fresh process that scores one clip (VmHWM: ru_maxrss would inherit ours)."""
    code = (
        "import re, sys, torch; torch.set_num_threads(2)\n"
        "from pathlib import Path\n"
        "from lse_bench.manifests.clips import find_clips\n"
        "from lse_bench.runs.run import score_run\n"
        "from lse_bench.sync.scorer import SyncScorer\n"
        "scorer = SyncScorer.load(sys.argv[2], protocol='lrs-lossless@1')\n"
        "score_run(scorer, find_clips([Path(sys.argv[1])]), Path(sys.argv[3]))\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024)\n"
    )
    command = [sys.executable, "-c", code, str(clip), str(weights), str(out)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_speed(folder: Path, network: SyncNet, weights: Path) -> None:
    """Networks alone, whole runs and the original's pipeline, interleaved."""
    fast = FastSyncNet(network)
    clip = make_clip(folder / "clip.mp4", SECONDS)
    scorers = {p: SyncScorer.load(weights, protocol=p) for p in ("lrs@1", "lrs-lossless@1")}
    random = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (1, 3, WINDOWS + 5, 224, 224), generator=random).float()
    cepstrum = torch.randn(1, 1, 13, 4 * (WINDOWS + 5), generator=random) * 5
    lips = fast.empty_lips(WINDOWS)
    lips.copy_(torch.randint(0, 256, lips.shape, generator=random))
    sounds = cepstrum[0].unfold(2, 20, 4)[0, :, :WINDOWS].permute(1, 0, 2)[:, None].contiguous()

    def published() -> None:
        with torch.no_grad():
            for _ in range(PASSES):
                published_features(network, video, cepstrum)

    def ours() -> None:
        for _ in range(PASSES):
            fast.lip(lips)
            fast.sound(sounds)

    def whole(protocol: str) -> Callable[[], None]:
        def run() -> None:
            score_run(scorers[protocol], find_clips([clip]), Path(tempfile.mkdtemp(dir=folder)))

        return run

    of_windows, of_clip = PASSES * WINDOWS / FPS, (SECONDS * FPS - 5) / FPS
    cases: dict[str, tuple[Callable[[], object], float]] = {
        "published network (Conv3d, batch 20)": (published, of_windows),
        "our network alone": (ours, of_windows),
        "lse-bench score, lrs-lossless@1": (whole("lrs-lossless@1"), of_clip),
        "lse-bench score, lrs@1": (whole("lrs@1"), of_clip),
        "pipeline as the original": (lambda: score_as_original(network, clip), of_clip),
    }
    base, alone, lossless, jpeg, original = cases
    times: dict[str, list[float]] = {case: [] for case in cases}
    ratios: dict[tuple[str, str], list[float]] = {}

    def measured(case: str) -> float:
        run, seconds = cases[case]
        start = time.perf_counter()
        run()
        times[case].append((time.perf_counter() - start) / seconds)
        return times[case][-1]

    # Machines have slow minutes, so each case is set against what ran right before and after it.
    for case, other in [(lossless, alone), (jpeg, alone)] * ROUNDS + [(base, alone), (original, lossless)] * 2:
        before, middle, after = measured(other), measured(case), measured(other)
        ratios.setdefault((case, other), []).append(middle / ((before + after) / 2))
    ratio = {pair: statistics.median(values) for pair, values in ratios.items()}
    print(f"\n{machine()['processor']}, {THREADS} threads, torch {torch.__version__}; the best of several runs")
    for case, values in times.items():
        tell("lse", case, min(values), "seconds per second of video")
    print("Ratios to the neighbouring runs, median")
    tell("lse", "published network / our network", ratio[base, alone], "", "1.5 or more")
    tell("lse", "lrs-lossless@1 / our network", ratio[lossless, alone], "", "1.10 or less")
    tell("lse", "lrs@1 / our network", ratio[jpeg, alone], "")
    tell("lse", "pipeline as the original / lrs-lossless@1", ratio[original, lossless], "", "1.7 or more")


def measure_memory(folder: Path, weights: Path) -> None:
    """Peak memory of scoring a short and a long clip."""
    short = peak_of_scoring(make_clip(folder / "short.mp4", 3), weights, folder / "short")
    long = peak_of_scoring(make_clip(folder / "long.mp4", 300), weights, folder / "long")
    tell("lse", "peak memory, a clip of 3 s", short, "MB")
    tell("lse", "peak memory, a clip of 300 s", long, "MB", "less than 50 more")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("speed", "memory"))
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    network = make_network()
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / "formula.pth"
        torch.save(network.state_dict(), weights)
        if options.only != "speed":
            measure_memory(Path(name), weights)
        if options.only != "memory":
            measure_speed(Path(name), network, weights)


if __name__ == "__main__":
    main()
