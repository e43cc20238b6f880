"""Check that the scores of a record follow from its curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.runs.agreement import TOLERANCE, disagreement
from lse_bench.runs.outcomes import score_fields
from lse_bench.runs.schema import Record, RunDescription, Scores
from lse_bench.sync import distance
from lse_bench.sync.curve import SHIFTS, valid_curve
from lse_bench.sync.offsets import MS_PER_FRAME, NEAR, Calibration, grade_of, within_r37

_FROM_CURVE = ("lse_d", "lse_c", "offset", "lse_d_at_0")
_BATCH = 4096  # records
_NEWER = ("offset_ms", "offset_margin")  # follow from the curve, too, but records of older versions lack them


def refuse_edited_records(name: str, records: Iterable[Record], about: RunDescription) -> None:
    """Raise UsageError if the scores of a record do not follow from its curves.

    The message names the first such record. `name`: the run's name in the message. `about`: its description.
    """
    for record, told in faults_in(records, about):
        raise UsageError(
            f"{name}: {record.id}: {told}: it was edited or is damaged. lse-bench verify {name} lists all faults"
        )


def faults_in(records: Iterable[Record], about: RunDescription) -> Iterator[tuple[Record, str]]:
    """Yield the records whose scores do not follow from their curves, with a description of each fault.

    `about`: the description of their run. Whole batches are computed at once, because a run can have a million clips.
    """
    waiting = iter(records)
    while batch := list(islice(waiting, _BATCH)):
        for record in _doubtful(batch, about.calibration):
            for told in faults_of(record, about.track_rule, about.calibration):
                yield record, told


def _doubtful(records: Sequence[Record], calibration: Calibration | None) -> Iterator[Record]:
    """Yield the records that a look at all curves together does not find right, in their order."""
    plain = [one.status == "ok" and not one.tracks and one.curve is not None for one in records]
    chosen = [one for one, is_plain in zip(records, plain, strict=True) if is_plain]
    right = iter(_follow(chosen, calibration) if chosen else ())
    for record, is_plain in zip(records, plain, strict=True):
        if not (is_plain and next(right)):
            yield record


def _follow(records: Sequence[Record], calibration: Calibration | None) -> NDArray[np.bool_]:
    """Return for each record whether its scores follow from its curve. None has face tracks."""
    curves = np.array([record.curve for record in records], np.float64)
    rows, middle = np.arange(len(curves)), SHIFTS // 2
    place = curves.argmin(axis=1)
    least, inside = curves[rows, place], (place > 0) & (place < SHIFTS - 1)
    before, after = curves[rows, np.maximum(place - 1, 0)], curves[rows, np.minimum(place + 1, SHIFTS - 1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        bend = before - 2 * least + after
        moved = np.where(bend > 0, 0.5 * (before - after) / bend, 0.0)
    far = np.abs(np.arange(SHIFTS) - place[:, None]) > NEAR
    conversion = np.array([record.conversion_ms or 0.0 for record in records])
    wanted = {
        "lse_d": least,
        "lse_c": np.median(curves, axis=1) - least,
        "offset": (middle - place).astype(np.float64),
        "lse_d_at_0": curves[:, middle],
        "offset_ms": np.where(inside, (middle - place - moved) * MS_PER_FRAME - conversion, np.nan),
        "offset_margin": np.where(far, curves, np.inf).min(axis=1) - least,
    }
    right = np.isfinite(curves).all(axis=1)
    old = np.array([record.offset_grade is None for record in records])
    for name, values in wanted.items():
        held = np.array([getattr(record, name) for record in records], np.float64)  # None becomes NaN
        same = np.isclose(held, values, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        right &= same | old if name in _NEWER else same
    graded = [next(_grade_faults(record, calibration), None) is None for record in records]
    return np.asarray(right & np.array(graded))


def faults_of(record: Record, rule: str | None, calibration: Calibration | None = None) -> Iterator[str]:
    """Yield a description of each part of a record that does not follow from its curves.

    `rule`: the track rule; None under whole-frame protocols. `calibration`: the run's; None without one.
    """
    if record.status != "ok":
        if record.curve is not None or record.lse_d is not None or record.lse_c is not None:
            yield f"the status is {record.status}, but it has scores"
        return
    curve = record.curve
    if curve is None or len(curve) != SHIFTS or not np.isfinite(curve).all():
        yield f"a curve of {SHIFTS} finite distances is needed"
        return
    tracks = [track for track in record.tracks or [] if track.status == "ok"]
    for track in tracks:
        found = _from_curve(np.asarray(track.curve), record.conversion_ms)
        if (told := _differs(track, found)) is not None:
            yield f"track {track.track}: {told} (follows from its curve)"
        yield from _grade_faults(track, calibration, f"track {track.track}: ")
    if rule in ("all", "mean") and len(tracks) > 1:
        # A mean of scores over tracks cannot be computed from the mean curve.
        wanted: dict[str, Any] = {
            name: math.fsum(getattr(track, name) for track in tracks) / len(tracks)
            for name in ("lse_d", "lse_c", "lse_d_at_0")
        }
        best = max(tracks, key=lambda track: track.lse_c or 0.0)
        wanted |= {name: getattr(best, name) for name in ("offset", *_NEWER)}
        wanted["curve"] = np.mean([track.curve or [] for track in tracks], axis=0).tolist()
        where = "follows from its tracks"
    else:
        wanted, where = _from_curve(np.asarray(curve), record.conversion_ms), "follows from its curve"
    if (told := _differs(record, wanted)) is not None:
        yield f"{told} ({where})"
    yield from _grade_faults(record, calibration)


def _differs(scores: Scores, wanted: Mapping[str, Any]) -> str | None:
    """Describe the first difference from what follows. Fields that an older version did not store do not count."""
    names = [name for name in wanted if name not in _NEWER or scores.offset_grade is not None]
    return disagreement({name: getattr(scores, name) for name in names}, {name: wanted[name] for name in names})


def _grade_faults(scores: Scores, calibration: Calibration | None, where: str = "") -> Iterator[str]:
    if scores.offset_grade is None:
        return
    grade = grade_of(scores.offset_ms, scores.offset_margin, calibration)
    if scores.offset_grade != grade:
        yield f"{where}offset_grade is {scores.offset_grade}, but {grade} follows from its offset and margin"
    elif scores.offset_r37 != (allowed := within_r37(scores.offset_ms, grade)):
        yield f"{where}offset_r37 is {scores.offset_r37}, but {allowed} follows from its offset"


def valid_scores(rows: NDArray[np.float64]) -> dict[str, Any]:
    """Return `lse_d_valid`, `lse_c_valid` and `offset_valid` of the distances `rows`, (windows, 31).

    Pairs of a window with the padding do not count. A shift with fewer than `MIN_PAIRS` pairs is left out.
    """
    found = score_fields(distance.summarise(rows.mean(axis=0), valid_curve(rows, 0, len(rows)), len(rows)))
    return {name: found[name] for name in ("lse_d_valid", "lse_c_valid", "offset_valid")}


def _from_curve(curve: NDArray[np.float64], conversion_ms: float | None) -> dict[str, Any]:
    score = distance.summarise(curve, np.full(SHIFTS, np.nan), 0)
    found = score_fields(distance.graded(score, None, conversion_ms))
    return {name: found[name] for name in (*_FROM_CURVE, *_NEWER)}
