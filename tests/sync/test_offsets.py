"""Offsets in milliseconds, their grades, and searches beyond the curve: closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from described import calibration_of

from lse_bench.errors import UsageError
from lse_bench.sync.distance import graded, summarise
from lse_bench.sync.offset_settings import OffsetSettings
from lse_bench.sync.offsets import (
    calibrate,
    calibration_for,
    calibrations,
    grade_of,
    margin_of,
    offset_ms,
    read_calibration,
    within_r37,
)
from lse_bench.sync.search import WideCurve
from lse_bench.weights.table import table

SHIFTS = np.arange(-15, 16)
CALIBRATION = calibration_of()


def bowl(middle: float) -> np.ndarray:
    """A parabola with its minimum at this shift, in frames."""
    return 5 + 0.1 * (SHIFTS - middle) ** 2


@pytest.mark.parametrize("middle", [0.0, 0.25, -0.5, 3.4, -13.9, 13.9])
def test_the_parabola_finds_a_minimum_between_two_frames(middle: float) -> None:
    assert offset_ms(bowl(middle), 15) == pytest.approx(-40 * middle, abs=1e-9)
    assert summarise(bowl(middle), bowl(middle), 40).offset_ms == pytest.approx(-40 * middle, abs=1e-9)


def test_ends_and_gaps_of_a_curve_have_no_offset() -> None:
    assert offset_ms(bowl(15), 15) is None and offset_ms(bowl(-15), 15) is None
    curve = bowl(3)
    curve[17] = math.nan
    assert offset_ms(curve, 15) is None
    assert offset_ms(np.full(31, 2.0) - (SHIFTS == 0), 15) == 0.0


def test_the_margin_counts_only_shifts_more_than_two_frames_away() -> None:
    curve = np.full(31, 9.0)
    curve[15], curve[17], curve[20] = 5.0, 5.1, 7.0
    assert margin_of(curve) == pytest.approx(2.0)
    assert margin_of([1.0, 2.0, 3.0]) is None


@pytest.mark.parametrize(
    ("offset", "margin", "grade", "r37"),
    [
        (45.0, 1.0, "not detectable", False),
        (40.0, 1.0, "not detectable", True),
        (45.1, 1.0, "detectable", False),
        (90.0, 1.0, "detectable", False),
        (90.1, 1.0, "not acceptable", False),
        (-60.0, 1.0, "not detectable", True),
        (-125.0, 1.0, "not detectable", False),
        (-125.1, 1.0, "detectable", False),
        (-185.0, 1.0, "detectable", False),
        (-185.1, 1.0, "not acceptable", False),
        (0.0, 0.999, "unknown", None),
        (None, 5.0, "unknown", None),
        (0.0, None, "unknown", None),
    ],
)
def test_grades_of_bt_1359_and_r37(offset: float | None, margin: float | None, grade: str, r37: bool | None) -> None:
    assert grade_of(offset, margin, CALIBRATION) == grade
    assert within_r37(offset, grade) is r37  # type: ignore[arg-type]
    assert grade_of(offset, margin, None) == "not calibrated"


def test_the_delay_of_a_conversion_is_taken_off() -> None:
    score = graded(summarise(bowl(-2), bowl(-2), 40), CALIBRATION.model_copy(update={"margin": 0.1}), 60.0)
    assert score.offset == 2 and score.offset_ms == pytest.approx(20) and score.offset_grade == "not detectable"
    assert graded(score, None, None).offset_ms == score.offset_ms


def test_a_score_is_graded_by_its_calibration() -> None:
    score = summarise(bowl(2), bowl(2), 40)
    assert graded(score, None).offset_grade == "not calibrated" and graded(score, None).offset_r37 is None
    loose = CALIBRATION.model_copy(update={"margin": 0.1})
    assert graded(score, loose).offset_grade == "not detectable" and graded(score, loose).offset_r37 is False


def test_the_packaged_calibrations_are_those_of_their_weights() -> None:
    mini = table()["syncnet-mini"].sha256
    assert {(one.weights_sha256, one.protocol) for one in calibrations()} == {
        (mini, "lrs@1"),
        (mini, "lrs-lossless@1"),
    }
    for one in calibrations():
        assert one.false_alarms <= 0.05 and one.missed <= 0.05 and min(one.real, one.unsynced) >= 200
        assert calibration_for(one.weights_sha256, f"{one.protocol}:centerface:all") == one
    assert calibration_for("f" * 64, "lrs@1") is None


def test_a_calibration_lies_between_the_two_kinds(tmp_path: Path) -> None:
    real, unsynced = np.linspace(2, 3, 101), np.linspace(0, 1, 101)
    made = calibrate(list(real), list(unsynced), "0" * 64, "lrs@1:x", "here")
    assert made.margin == pytest.approx((2.05 + 0.95) / 2) and (made.missed, made.false_alarms) == (0, 0)
    assert made.protocol == "lrs@1"
    path = tmp_path / "calibration.json"
    path.write_text(made.model_dump_json())
    assert read_calibration(path) == made
    with pytest.raises(UsageError, match="overlap"):
        calibrate(list(unsynced), list(real), "0" * 64, "lrs@1", "here")
    with pytest.raises(UsageError, match="needs 20 of each"):
        calibrate(list(real[:19]), list(unsynced), "0" * 64, "lrs@1", "here")
    with pytest.raises(UsageError, match="the calibration is of the weights 000000000000… under lrs@1"):
        calibration_for("1" * 64, "lrs@1", made)
    path.write_text('{"margin": "wide"}')
    with pytest.raises(UsageError, match="damaged"):
        read_calibration(path)


@pytest.mark.parametrize("delay", [-60, -20, 0, 7, 60])
@pytest.mark.parametrize("chunk", [1, 16, 400])
def test_a_wide_search_finds_a_delay_beyond_the_curve(delay: int, chunk: int) -> None:
    lip = np.random.default_rng(0).normal(size=(400, 8))
    sound = np.random.default_rng(1).normal(size=(400, 8))
    early = slice(max(0, delay), 400 + min(0, delay))  # sound at i + delay belongs to lip i
    late = slice(max(0, -delay), 400 + min(0, -delay))
    sound[early] = lip[late] + 0.1 * sound[early]
    wide = WideCurve(3)
    for start in range(0, 400, chunk):
        wide.push(lip[start : start + chunk], sound[start : start + chunk])
    found = wide.finish()
    assert found is not None and found.offset_ms == pytest.approx(-40 * delay, abs=4)
    assert found.margin is not None and found.margin > 1
    by_hand = np.mean([np.linalg.norm(lip[i] - sound[i + delay] + 1e-6) for i in range(400) if 0 <= i + delay < 400])
    assert found.distance == pytest.approx(by_hand, abs=1e-9)


def test_a_shift_with_less_than_a_second_in_common_is_not_considered() -> None:
    lip = np.random.default_rng(0).normal(size=(90, 8))
    wide = WideCurve(3)
    sound = np.random.default_rng(1).normal(size=(90, 8))
    sound[70:] = lip[:20]  # 20 windows in common at a shift of 70 frames
    wide.push(lip, sound)
    found = wide.finish()
    assert found is not None and found.distance > 1
    short = WideCurve(3)
    short.push(lip[:24], lip[:24])
    assert short.finish() is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"search": 0.6}, "more than 0.6"), ({"search": 61}, "at most 60"), ({"timeline": 1}, "piece must be 2 to 600"),
     ({"search": math.nan}, "more than 0.6")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        OffsetSettings(**settings)  # type: ignore[arg-type]
