"""How often intervals of strengths, mean opinions and their differences cover the truth in simulated studies.

    python -m measurements.quality.votes [--studies 1000]

Raters and clips differ in what they prefer. Prints one row for each size of a study.
"""

from __future__ import annotations

import argparse

import numpy as np

from lse_bench.study.assignment import pair_trials, rating_trials
from lse_bench.study.clusters import clustered_difference, clustered_mean
from lse_bench.study.crossed import crossed_mean
from lse_bench.study.power import SPREAD
from lse_bench.study.strengths import PairVotes, fit_strengths

TRUTH = np.array([0.8, 0.3, -0.3, -0.8])
TIE = -0.5
# raters, clips, votes of one rater, spread of raters, spread of clips
PAIRS = ((30, 20, 12, 0.0, 0.0), (30, 20, 12, 0.4, 0.3), (60, 40, 12, 0.4, 0.3), (15, 10, 10, 0.4, 0.3))
# methods, raters, clips, trials of one rater
DESIGNS = ((4, 20, 20, 12), (4, 40, 20, 12), (6, 60, 30, 14), (4, 12, 12, 8), (4, 8, 8, 8), (4, 20, 20, 3))
RATINGS = ((30, 20, 10, 0.4, 0.3), (30, 20, 3, 0.4, 0.3), (60, 10, 10, 0.4, 0.3), (8, 6, 6, 0.4, 0.3))


def drawn(rng: np.random.Generator, raters: int, clips: int, each: int, by_rater: float, by_clip: float) -> PairVotes:
    """Votes of a study. Preferences of raters and of clips for a method are normal around its strength."""
    own = rng.normal(0, by_rater, (raters, len(TRUTH)))
    there = rng.normal(0, by_clip, (clips, len(TRUTH)))
    rows = []
    for rater in range(raters):
        for clip in rng.permutation(clips)[:each]:
            i, j = rng.choice(len(TRUTH), 2, replace=False)
            a, b = (TRUTH + own[rater] + there[clip])[[i, j]]
            chance = np.exp([a, b, TIE + (a + b) / 2])
            rows.append((i, j, rng.choice(3, p=chance / chance.sum()), str(rater), str(clip)))
    first, second, outcome, who, what = (list(column) for column in zip(*rows, strict=True))
    return PairVotes("abcd", np.array(first), np.array(second), np.eye(3)[outcome], what, who)


def strengths(rng: np.random.Generator, studies: int, size: tuple[int, int, int, float, float]) -> tuple[float, int]:
    """Share of intervals of strengths that cover the truth, and number of studies without intervals.

    Preferences of single raters and clips flatten the strengths of a whole population. The truth is therefore that of
    a study of 300 raters, each of whom votes on 300 clips.
    """
    truth = fit_strengths(drawn(rng, 300, 300, 300, size[3], size[4])).strengths
    covered, none = [], 0
    for _ in range(studies):
        fitted = fit_strengths(drawn(rng, *size))
        for name, value in truth.items():
            interval = fitted.ci95[name]
            if interval is None or value is None:
                none += 1
            else:
                covered.append(interval[0] <= value <= interval[1])
    return float(np.mean(covered)), none // len(truth)


def opinions(rng: np.random.Generator, studies: int, size: tuple[int, int, int, float, float]) -> float:
    """Share of intervals of mean opinions that cover the truth."""
    raters, clips, each, by_rater, by_clip = size
    covered = []
    for _ in range(studies):
        own, there = rng.normal(0, by_rater, raters), rng.normal(0, by_clip, clips)
        rows = [
            (r, c, own[r] + there[c] + rng.normal(0, 0.8)) for r in range(raters) for c in rng.permutation(clips)[:each]
        ]
        found = crossed_mean([v for _, _, v in rows], [str(r) for r, _, _ in rows], [str(c) for _, c, _ in rows])
        covered.append(found.ci95 is not None and found.ci95[0] <= 0 <= found.ci95[1])
    return float(np.mean(covered))


def differences(rng: np.random.Generator, studies: int, size: tuple[int, int, int, int]) -> float:
    """Share of intervals of the difference of two methods' ratings that cover the truth, with studies' assignment.

    `size`: methods, raters, clips, and ratings of one rater.
    """
    methods, raters, clips, each = size
    source, method = np.array(rating_trials(0, raters * each, clips, methods)).T
    rater, asked = np.arange(raters * each) // each, method < 2
    names = list(map(str, rater[asked])), list(map(str, source[asked]))
    covered = []
    for _ in range(studies):
        level = rng.normal(0, SPREAD.rater, raters)
        own = rng.normal(0, SPREAD.rater_method, (raters, methods))
        there = rng.normal(0, SPREAD.clip_method, (clips, methods))
        values = level[rater] + own[rater, method] + there[source, method] + rng.normal(0, SPREAD.rest, len(rater))
        found = clustered_difference(values[asked], method[asked] == 0, *names).ci95
        covered.append(found is not None and found[0] <= 0 <= found[1])
    return float(np.mean(covered))


def shares(rng: np.random.Generator, studies: int, size: tuple[int, int, int, int]) -> float:
    """Share of intervals of the share of votes for one of two methods that cover the truth; `size` as above."""
    methods, raters, clips, each = size
    plan = np.array(pair_trials(0, raters * each, clips, methods))
    asked = plan[:, 1:].max(axis=1) == 1
    rater, source = (np.arange(len(plan)) // each)[asked], plan[asked, 0]
    wide = rng.normal(0, np.hypot(SPREAD.rater_pair, SPREAD.clip_pair), 400_000)
    truth, covered = float(np.mean(1 / (1 + np.exp(-(0.5 + wide))))), []
    for _ in range(studies):
        own, there = rng.normal(0, SPREAD.rater_pair, raters), rng.normal(0, SPREAD.clip_pair, clips)
        votes = rng.random(len(rater)) < 1 / (1 + np.exp(-(0.5 + own[rater] + there[source])))
        found = clustered_mean(votes, np.ones(len(votes)), list(map(str, rater)), list(map(str, source))).ci95
        covered.append(found is not None and found[0] <= truth <= found[1])
    return float(np.mean(covered))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    rng = np.random.default_rng(1)
    print("| what | raters | clips | votes of a rater | spread of raters, clips | cover | without an interval |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for size in PAIRS:
        share, none = strengths(rng, studies, size)
        print(
            f"| strength | {size[0]} | {size[1]} | {size[2]} | {size[3]}, {size[4]} | {share:.1%} | {none} |",
            flush=True,
        )
    for size in RATINGS:
        share = opinions(rng, studies, size)
        print(f"| opinion | {size[0]} | {size[1]} | {size[2]} | {size[3]}, {size[4]} | {share:.1%} | 0 |", flush=True)
    for name, cover in (("difference", differences), ("share", shares)):
        for methods, raters, clips, each in DESIGNS:
            share = cover(rng, studies, (methods, raters, clips, each))
            print(
                f"| {name} of {methods} methods | {raters} | {clips} | {each} | as in Spread | {share:.1%} | 0 |",
                flush=True,
            )


if __name__ == "__main__":
    main()
