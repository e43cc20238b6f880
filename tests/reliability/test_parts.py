"""The smaller parts of a card: nuisances, what a measure cannot see, the plan of copies, repeats, people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lse_bench.damage.clips import NUISANCES, ORACLE
from lse_bench.errors import UsageError
from lse_bench.manifests.listed import Absent, ListedClip
from lse_bench.measures.registry import load
from lse_bench.reliability.asked import asked_of, further_of, names_asked
from lse_bench.reliability.nuisance import best_seen, equivalent, moved, steadiness
from lse_bench.reliability.oracle import Seen, seen
from lse_bench.reliability.plan import condition, refuse_unusable, spread
from lse_bench.reliability.values import clusters_of
from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import Members
from lse_bench.study.agreement import people_ceiling
from lse_bench.study.votes import Comparison, Rating, Votes

AMOUNTS = (0.25, 0.5, 1.0)


def singles(n: int) -> Members:
    return Members.of(frozenset([str(place)]) for place in range(n))


def row(slope: float) -> Seen:
    values = np.arange(8)[:, None] * 0.1 + slope * np.array([0, *AMOUNTS])
    return seen("m", f"d{slope:g}", AMOUNTS, values, singles(8), np.arange(8), higher_is_better=False, blind=None)


def test_a_nuisance_is_set_beside_the_damage_that_moves_as_much() -> None:
    best = best_seen([row(-1.0), row(2.0)])
    assert best is not None and best.damage == "d2"
    assert best_seen([row(-1.0)]) is None
    for change, amount, steps in (
        (0.0, 0.0, 0.0),
        (0.25, 0.125, 0.5),
        (0.5, 0.25, 1.0),
        (1.5, 0.75, 2.5),
        (2.0, 1.0, 3.0),
    ):
        found = equivalent(change, best)
        assert found.amount == pytest.approx(amount) and found.steps == pytest.approx(steps)
    assert equivalent(2.1, best).amount is None
    before, after = np.array([1.0, 2.0, 3.0, np.nan]), np.array([1.5, 2.5, 3.5, 9.0])
    found_moved = moved("m", "crop", before, after, singles(4), best)
    assert found_moved.n == 3 and found_moved.change == 0.5 and found_moved.cv == pytest.approx(0.25)
    assert found_moved.equivalent is not None and found_moved.equivalent.amount == pytest.approx(0.25)
    assert moved("m", "crop", before * np.nan, after, singles(4), best).change is None


def test_the_coefficient_of_variation_is_that_of_a_clip() -> None:
    found = steadiness("m", {"a": np.array([9.0, 100.0, np.nan]), "b": np.array([11.0, 100.0, 3.0])})
    assert found.n == 2 and found.cv == pytest.approx(np.sqrt(2) / 10 / 2)
    assert steadiness("m", {"a": np.array([-1.0]), "b": np.array([1.0])}).cv is None
    assert steadiness("m", {}).cv is None


def test_measures_are_named_turned_and_blind() -> None:
    assert names_asked(" lse_d, psnr ,lse_d,") == ["lse_d", "psnr"]
    assert further_of(["lse_d", "abs(offset_ms)", "psnr", "abs(loudness)"], ["psnr", "loudness"]) == [
        "psnr",
        "loudness",
    ]
    made = {name: plugin() for name in ("psnr", "silence", "loudness") if (plugin := load(name).make) is not None}
    asked = {one.name: one for one in asked_of(["lse_c", "lse_d_at_0", "abs(offset_ms)", *made], made)}
    assert asked["lse_c"].higher_is_better and asked["abs(offset_ms)"].higher_is_better is False
    blind = {name: {d.name for d in ORACLE.values() if one.blind_to(d)} for name, one in asked.items()}
    sound = {d.name for d in ORACLE.values() if d.touches == {"sound"}}
    assert blind["lse_c"] == {"late", "early"} and blind["abs(offset_ms)"] == {"late-far", "early-far"}
    assert blind["lse_d_at_0"] == blind["silence"] == set()
    assert blind["psnr"] == sound and blind["loudness"] == set(ORACLE) - sound
    record = Record(clip="a", id="a", status="no_face", offset_ms=-40.0, groups={})
    assert asked["abs(offset_ms)"].value(record) is None
    with pytest.raises(UsageError, match="Did you mean lse_d"):
        asked_of(["lse_dd"], {})
    with pytest.raises(UsageError, match="names no measure"):
        asked_of([], {})


def test_conditions_clips_and_clusters() -> None:
    assert (
        condition("late", 0.2) == "late-0.2" and condition("none", 0.0) == "none" and condition("crop", 0.0) == "crop"
    )
    assert not set(NUISANCES) & {condition(d.name, a) for d in ORACLE.values() for a in d.steps}
    clips = [ListedClip(str(n), str(n), Path(str(n))) for n in range(10)]
    assert [one.id for one in spread(clips, 4)] == ["0", "2", "5", "7"] and spread(clips, 20) == clips
    gone = ListedClip("x", "x", Path("x"), absent=Absent("unreadable", "gone"))
    assert refuse_unusable([*clips, gone]) == clips
    with pytest.raises(UsageError, match="1 of 2 clips can be read; a card needs 2"):
        refuse_unusable([clips[0], gone])
    joined = Members.of([frozenset("ab"), frozenset("bc"), frozenset("d"), frozenset("ce")])
    assert len(set(clusters_of(joined)[[0, 1, 3]])) == 1 and len(set(clusters_of(joined))) == 2


def test_people_agree_with_the_majority_of_the_others() -> None:
    votes = Votes("", [Comparison("a", "m", "n", 3, 1, 0, None), Comparison("b", "m", "n", 1, 1, 2, None)])
    found = people_ceiling(votes)
    # a: three votes see 2:1 and agree, one sees 3:0 and does not; b: each of the two sees 0:1 and does not
    assert found is not None and found.n == 6 and found.share == pytest.approx(0.5) and found.without_majority == 0
    assert people_ceiling(Votes("", [Comparison("a", "m", "n", 1, 0, 0, None)])) is None
    rated = [
        Rating("a", method, rater, "q", value)
        for rater, m, n in (("x", 5, 1), ("y", 4, 2), ("z", 1, 2))
        for method, value in (("m", m), ("n", n))
    ]
    found = people_ceiling(Votes("", (), rated))
    assert found is not None and found.n == 3 and found.share == pytest.approx(2 / 3)
