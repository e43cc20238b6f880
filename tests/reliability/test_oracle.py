"""What a measure sees: Kendall's tau by clip and pooled, the smallest damage that shows, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lse_bench.reliability.oracle import Step, clip_taus, mean_tau, pooled_tau, seen, smallest
from lse_bench.runs.statistics import Members

AMOUNTS = (0.1, 0.25, 0.5, 1.0)
ALL = (0.0, *AMOUNTS)
rng = np.random.default_rng(0)


def singles(n: int) -> Members:
    return Members.of(frozenset([str(place)]) for place in range(n))


def of_speakers(speakers: int, clips: int) -> tuple[Members, NDArray[np.int64]]:
    """Members and clusters of `speakers` speakers with `clips` clips each."""
    who = np.repeat(np.arange(speakers), clips)
    return Members.of((frozenset([str(one)]) for one in who), "speaker"), who


def test_taus_are_scipys_and_nan_where_there_is_none() -> None:
    worse = np.array(
        [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 2, 1, 3, 3], [5, 5, 5, 5, 5], [1, 2, np.nan, np.nan, np.nan]]
    )
    found = clip_taus(ALL, worse)
    assert found[:2].tolist() == [1, -1]
    assert found[2] == pytest.approx(stats.kendalltau(ALL, worse[2]).statistic)
    assert np.isnan(found[3:]).all()


def test_a_perfect_a_useless_and_an_inverted_measure() -> None:
    n, members = 60, singles(60)
    clusters = np.arange(n)
    level = rng.normal(0, 1, (n, 1))
    perfect = level + np.array(ALL) + rng.normal(0, 0.01, (n, 5))
    useless = rng.normal(0, 1, (n, 5))
    for values, higher, truth in ((perfect, False, 1.0), (useless, False, 0.0), (perfect, True, -1.0)):
        row = seen("m", "d", AMOUNTS, values, members, clusters, higher_is_better=higher, blind=None)
        assert row.blind is None and row.per_clip.tau is not None and row.per_clip.ci95 is not None
        assert row.per_clip.ci95[0] <= truth <= row.per_clip.ci95[1] and abs(row.per_clip.tau - truth) < 0.15
        assert row.pooled.ci95 is not None and row.pooled.n == n
        assert (row.smallest == 0.1) == (truth != 0)
        assert row.steps[-1].worse == pytest.approx(0.5 + truth / 2, abs=0.2)


def test_pooled_tau_is_lower_where_clips_differ_more_than_damage() -> None:
    values = rng.normal(0, 3, (40, 1)) + np.array(ALL)
    row = seen("m", "d", AMOUNTS, values, singles(40), np.arange(40), higher_is_better=False, blind=None)
    assert row.per_clip.tau == 1 and row.pooled.tau is not None and 0 < row.pooled.tau < 0.4


def test_no_tau_has_a_reason() -> None:
    still = np.ones((5, 5))
    row = seen("m", "d", AMOUNTS, still, singles(5), np.arange(5), higher_is_better=None, blind=None)
    assert row.per_clip.tau is None and row.blind == "its value does not change"
    absent = np.full((5, 5), np.nan)
    row = seen("m", "d", AMOUNTS, absent, singles(5), np.arange(5), higher_is_better=None, blind=None)
    assert row.per_clip.tau is None and row.blind is not None and row.blind.startswith("too few")
    row = seen("m", "d", AMOUNTS, still, singles(5), np.arange(5), higher_is_better=None, blind="it does not hear")
    assert row.blind == "it does not hear" and row.smallest is None and row.per_clip.n == 0


@pytest.mark.parametrize(
    ("intervals", "found"),
    [
        ([(-1, 1), (-1, 1), (0.1, 1)], 3.0),
        ([(0.2, 1), (-1, 1), (0.1, 1)], 3.0),  # a gap: the first one may be chance
        ([(0.2, 1), (0.3, 1), (0.1, 1)], 1.0),
        ([(-1, -0.2), (0.3, 1), (0.1, 1)], 2.0),  # the other way
        ([(0.2, 1), (0.3, 1), (-0.1, 1)], None),
        ([(0.2, 1), (0.3, 1), None], None),
    ],
)
def test_the_smallest_damage_that_shows(intervals: list[tuple[float, float] | None], found: float | None) -> None:
    steps = [Step(amount=1.0 + place, n=9, change=0.0, ci95=one, worse=0.5) for place, one in enumerate(intervals)]
    assert smallest(steps) == found


def cover(speakers: int, clips: int, sets: int, seed: int) -> tuple[float, float]:
    """The share of simulated sets whose interval holds the true tau, and the mean width of these intervals.

    Clips of one speaker share how well the measure works for them. The truth is the mean of 200,000 clips.
    """
    draw = np.random.default_rng(seed)

    def taus(slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        return clip_taus(ALL, slopes[:, None] * np.array(ALL) + draw.normal(0, 0.6, (len(slopes), 5)))

    many = taus(draw.normal(1, 0.8, 20_000) + draw.normal(0, 0.4, 20_000))
    truth, held, widths = float(np.nanmean(many)), 0, []
    members, _ = of_speakers(speakers, clips)
    for _ in range(sets):
        slopes = np.repeat(draw.normal(1, 0.8, speakers), clips) + draw.normal(0, 0.4, speakers * clips)
        found = mean_tau(taus(slopes), members)
        assert found.ci95 is not None
        held += found.ci95[0] <= truth <= found.ci95[1]
        widths.append(found.ci95[1] - found.ci95[0])
    return held / sets, float(np.mean(widths))


@pytest.mark.slow
def test_intervals_of_clustered_clips_hold_the_truth() -> None:
    """A thousand sets are simulated by `measurements/quality/reliability.py`; here are enough to see a gross fault."""
    share, width = cover(12, 3, 150, 5)
    assert 0.90 <= share <= 0.99 and 0.1 < width < 0.8


def test_the_pooled_interval_comes_from_clusters() -> None:
    members, clusters = of_speakers(10, 4)
    slopes = np.repeat(rng.normal(1, 0.8, 10), 4)
    worse = slopes[:, None] * np.array(ALL) + rng.normal(0, 0.3, (40, 5))
    by_speaker, by_clip = pooled_tau(ALL, worse, clusters), pooled_tau(ALL, worse, np.arange(40))
    assert by_speaker.tau == by_clip.tau == pytest.approx(stats.kendalltau(np.tile(ALL, 40), worse.ravel()).statistic)
    assert by_speaker.ci95 is not None and by_clip.ci95 is not None
    assert by_speaker.ci95[1] - by_speaker.ci95[0] > by_clip.ci95[1] - by_clip.ci95[0]
    assert pooled_tau(ALL, worse, np.zeros(40, np.int64)).ci95 is None
    assert mean_tau(np.full(40, np.nan), members).tau is None
