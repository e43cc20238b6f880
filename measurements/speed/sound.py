"""Seconds of the sound features of 45 s of sound, and of importing librosa. Run by `bootstrap.py bench`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from lse_bench.features.htk_mfcc import htk_mfcc
from lse_bench.features.mel import mel_spectrogram
from measurements.speed.figures import tell

SECONDS, ROUNDS = 45, 5


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the three times."""
    sound = np.random.default_rng(0).integers(-3000, 3000, SECONDS * 16_000).astype(np.int16)
    load = [sys.executable, "-c", "import librosa; librosa.stft; librosa.filters.mel"]
    print(f"\nSound features of {SECONDS} s of sound")
    tell("sound", f"mel spectrogram of {SECONDS} s", best(lambda: mel_spectrogram(sound)), "s")
    tell("sound", f"MFCC of Speech2Vid and LipGAN of {SECONDS} s", best(lambda: htk_mfcc(sound)), "s")
    tell("sound", "a Python that imports librosa", best(lambda: subprocess.run(load, check=True)), "s")


if __name__ == "__main__":
    main()
