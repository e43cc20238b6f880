"""Do the intervals and the predictions of a Reliability Card hold? Simulated sets of clustered clips.

    python -m measurements.quality.reliability [--sets 1000]

Clips of one speaker share how well a measure works for them. The truth is the mean tau of 20,000 clips. The last table
predicts from one half of the clips and draws speakers from the other half. Some five minutes.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from lse_bench.reliability.oracle import clip_taus, mean_tau, pooled_tau
from lse_bench.reliability.resolution import pair, wrong_order
from lse_bench.runs.statistics import Members

AMOUNTS = (0.0, 0.1, 0.25, 0.5, 1.0)
# speakers, clips of each, slope, spread of slopes over speakers, over clips, noise
SETS = (
    (50, 2, 1.0, 0.8, 0.4, 0.6),
    (25, 4, 1.0, 0.8, 0.4, 0.6),
    (12, 3, 1.0, 0.8, 0.4, 0.6),
    (12, 3, 0.0, 0.5, 0.2, 0.6),
)
WORTH = (("perfect", 1.0, 0.0, 0.0), ("useless", 0.0, 0.0, 1.0), ("inverted", -1.0, 0.0, 0.0))
DRAWN = (6, 12, 24, 60)  # clips


def taus(rng: np.random.Generator, slopes: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Values of clips whose measure rises with damage by these slopes, (clips, steps)."""
    return slopes[:, None] * np.array(AMOUNTS) + rng.normal(0, noise, (len(slopes), len(AMOUNTS)))


def drawn(
    rng: np.random.Generator, speakers: int, clips: int, slope: float, by_speaker: float, by_clip: float
) -> NDArray[np.float64]:
    """Slopes of clips."""
    return np.repeat(rng.normal(slope, by_speaker, speakers), clips) + rng.normal(0, by_clip, speakers * clips)


def cover(sets: int) -> None:
    """Print how often intervals of tau hold the truth."""
    print("| speakers | clips of each | true tau | held, mean of clips | width | held, pooled | width |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for speakers, clips, slope, by_speaker, by_clip, noise in SETS:
        rng = np.random.default_rng(speakers)
        many = taus(rng, drawn(rng, 20_000, 1, slope, by_speaker, by_clip), noise)
        truth = float(np.nanmean(clip_taus(AMOUNTS, many)))
        whole = pooled_tau(AMOUNTS, many, np.arange(len(many)) % 3).tau
        assert whole is not None
        who = np.repeat(np.arange(speakers), clips)
        members = Members.of((frozenset([str(one)]) for one in who), "speaker")
        held, widths = [0, 0], [0.0, 0.0]
        for _ in range(sets):
            values = taus(rng, drawn(rng, speakers, clips, slope, by_speaker, by_clip), noise)
            found = mean_tau(clip_taus(AMOUNTS, values), members), pooled_tau(AMOUNTS, values, who)
            for place, (one, true) in enumerate(zip(found, (truth, whole), strict=True)):
                assert one.ci95 is not None
                held[place] += one.ci95[0] <= true <= one.ci95[1]
                widths[place] += (one.ci95[1] - one.ci95[0]) / sets
        shares = [f"{100 * one / sets:.1f} %" for one in held]
        print(f"| {speakers} | {clips} | {truth:.2f} | {shares[0]} | {widths[0]:.2f} | {shares[1]} | {widths[1]:.2f} |")


def worth() -> None:
    """Print the taus of a perfect, a useless and an inverted measure of 100 clips."""
    print("\n| measure | tau | 95 % interval |\n|---|---:|---:|")
    members = Members.of((frozenset([str(one)]) for one in np.repeat(np.arange(50), 2)), "speaker")
    for name, slope, spread, noise in WORTH:
        rng = np.random.default_rng(4)
        values = taus(rng, drawn(rng, 50, 2, slope, spread, 0.0), noise)
        found = mean_tau(clip_taus(AMOUNTS, values), members)
        assert found.ci95 is not None
        print(f"| {name} | {found.tau:.2f} | {found.ci95[0]:.2f} to {found.ci95[1]:.2f} |")


def orders(draws: int = 2000) -> None:
    """Print predicted and drawn probabilities of a wrong order."""
    print("\n| true difference, deviations | clips | predicted | drawn |\n|---:|---:|---:|---:|")
    rng, speakers, clips = np.random.default_rng(9), 400, 2
    members = Members.of((frozenset([str(one)]) for one in np.repeat(np.arange(speakers // 2), clips)), "speaker")
    for level in (0.1, 0.25, 0.5):
        apart = np.repeat(rng.normal(level, 0.6, speakers), clips) + rng.normal(0, 0.8, speakers * clips)
        known, other = apart[: len(apart) // 2], apart[len(apart) // 2 :].reshape(-1, clips)
        found = pair("m", ("a", "b"), np.zeros(len(known)), known, members)
        assert found is not None
        truth = float(other.mean())
        for n in DRAWN:
            means = other[rng.integers(len(other), size=(draws, n // clips))].reshape(draws, -1).mean(axis=1)
            wrong = float(np.mean(np.sign(means) != np.sign(truth)))
            predicted = wrong_order(truth, found.deviation, n)
            print(f"| {truth / found.deviation:.2f} | {n} | {100 * predicted:.1f} % | {100 * wrong:.1f} % |")


def main() -> None:
    """Simulate, and print three tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=1000)
    chosen = parser.parse_args()
    cover(chosen.sets)
    worth()
    orders()


if __name__ == "__main__":
    main()
