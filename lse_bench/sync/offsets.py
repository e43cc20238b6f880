"""The AV offset in milliseconds, below one frame, and what standards say about it.

The offset is the minimum of a parabola through the curve's minimum and its two neighbours. It is positive if the sound
comes early. A curve has a *clear* minimum if the minimum lies at least a threshold below every shift that is more than
two frames away. This distance is the *margin*. The threshold separates clips with their own sound from clips with
foreign sound. It depends on the scorer's weights and on the protocol, so it is calibrated for each.

Grades follow ITU-R BT.1359-1: a sound error of -125 ms (late) to +45 ms (early) is not detectable, one beyond -185 ms
or +90 ms is not acceptable. EBU R37 allows -60 ms to +40 ms.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from lse_bench.errors import UsageError
from lse_bench.rates import FRAME_RATE
from lse_bench.stored import read_stored

TrendKind = Literal["constant", "drift", "jumps", "unknown"]
Grade = Literal["not detectable", "detectable", "not acceptable", "unknown", "not calibrated"]
MS_PER_FRAME = float(1000 / FRAME_RATE)
NEAR = 2  # frames around the minimum that belong to it
_DETECTABLE = (-125.0, 45.0)  # ms, ITU-R BT.1359-1
_ACCEPTABLE = (-185.0, 90.0)  # ms, ITU-R BT.1359-1
_R37 = (-60.0, 40.0)  # ms, EBU R37
_SHARE = 0.05  # of the clips: how many with foreign sound may pass, and how many with their own may not
_FEWEST = 20  # clips of each kind that a calibration needs


class Calibration(BaseModel):
    """The margin from which a minimum is clear, for one scorer under one protocol.

    `weights_sha256`: digest of the scorer's checkpoint. `protocol`: its id. `margin`: the threshold, in units of LSE-D.
    `real`, `unsynced`: numbers of clips with their own and with foreign sound. `missed`, `false_alarms`: shares of
    these clips (0-1) on the wrong side of the threshold. `origin`: where the clips come from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights_sha256: str
    protocol: str
    margin: float = Field(gt=0, allow_inf_nan=False)
    real: int = Field(ge=1)
    unsynced: int = Field(ge=1)
    missed: float = Field(ge=0, le=1)
    false_alarms: float = Field(ge=0, le=1)
    origin: str


def offset_ms(curve: ArrayLike, middle: int) -> float | None:
    """Return the AV offset in milliseconds, None if the minimum lies at an end of the curve or is no number.

    `curve`: mean distances at consecutive shifts of one frame; NaN marks a shift that was not measured. `middle`: the
    place of shift 0.
    """
    values = np.asarray(curve, dtype=np.float64)
    if np.isnan(values).all():
        return None
    place = int(np.nanargmin(values))
    if place in (0, len(values) - 1):
        return None
    before, least, after = values[place - 1 : place + 2]
    if np.isnan(before) or np.isnan(after):
        return None
    bend = before - 2 * least + after
    moved = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return float((middle - place - moved) * MS_PER_FRAME) + 0.0


def without_conversion(offset: float | None, conversion_ms: float | None) -> float | None:
    """Return an offset in milliseconds without the delay that a conversion added to the picture.

    A late picture looks like early sound. `conversion_ms`: None if the delay is not known. Then nothing is taken off.
    """
    return None if offset is None else offset - (conversion_ms or 0.0)


def margin_of(curve: ArrayLike) -> float | None:
    """Return how far the minimum lies below every shift more than two frames away, in units of LSE-D.

    It is None if no such shift was measured. `curve`: see `offset_ms`.
    """
    values = np.asarray(curve, dtype=np.float64)
    if np.isnan(values).all():
        return None
    place = int(np.nanargmin(values))
    far = np.abs(np.arange(len(values)) - place) > NEAR
    rest = values[far & ~np.isnan(values)]
    return float(rest.min() - values[place]) if len(rest) else None


def grade_of(offset: float | None, margin: float | None, calibration: Calibration | None) -> Grade:
    """Return the grade of an offset in milliseconds. Without a clear minimum it is `unknown`."""
    if calibration is None:
        return "not calibrated"
    if not is_clear(margin, calibration) or offset is None:
        return "unknown"
    if _DETECTABLE[0] <= offset <= _DETECTABLE[1]:
        return "not detectable"
    return "detectable" if _ACCEPTABLE[0] <= offset <= _ACCEPTABLE[1] else "not acceptable"


def is_clear(margin: float | None, calibration: Calibration) -> bool:
    """Return whether a curve with this margin has a clear minimum."""
    return margin is not None and margin >= calibration.margin


def within_r37(offset: float | None, grade: Grade) -> bool | None:
    """Return whether EBU R37 allows an offset in milliseconds, None if its grade is not known."""
    if offset is None or grade in ("unknown", "not calibrated"):
        return None
    return _R37[0] <= offset <= _R37[1]


@cache
def calibrations() -> tuple[Calibration, ...]:
    """Return the calibrations that are part of the package."""
    text = files("lse_bench.sync").joinpath("calibrations.toml").read_text(encoding="utf-8")
    return tuple(Calibration(**entry) for entry in tomllib.loads(text)["calibration"])


def calibration_for(weights_sha256: str, protocol: str, own: Calibration | None = None) -> Calibration | None:
    """Return the calibration of a scorer under a protocol, None if there is none.

    `protocol`: its id, which may be followed by settings. `own`: the user's calibration, which comes first. Raises
    UsageError if it is of another scorer or protocol.
    """
    plain = protocol.split(":")[0]
    if own is not None and (own.weights_sha256, own.protocol) != (weights_sha256, plain):
        raise UsageError(
            f"the calibration is of the weights {own.weights_sha256[:12]}… under {own.protocol}, but these are "
            f"{weights_sha256[:12]}… under {plain}. Make one with lse-bench gate --calibrate"
        )
    known = (own,) if own is not None else calibrations()
    return next((one for one in known if (one.weights_sha256, one.protocol) == (weights_sha256, plain)), None)


def calibrate(
    real: Sequence[float], unsynced: Sequence[float], weights_sha256: str, protocol: str, origin: str
) -> Calibration:
    """Return the calibration that follows from the margins of clips with their own and with foreign sound.

    The threshold lies in the middle between the 95 % quantile of the foreign ones and the 5 % quantile of the others.
    Raises UsageError if there are fewer than 20 of either, or if these two quantiles do not lie apart.
    """
    if min(len(real), len(unsynced)) < _FEWEST:
        raise UsageError(
            f"{len(real)} clips with their own sound and {len(unsynced)} with foreign sound have a margin; a "
            f"calibration needs {_FEWEST} of each"
        )
    low, high = float(np.quantile(unsynced, 1 - _SHARE)), float(np.quantile(real, _SHARE))
    if low >= high:
        raise UsageError(
            f"the margins of the two kinds overlap: 95 % of the clips with foreign sound lie below {low:.3f}, and 95 % "
            f"of those with their own above {high:.3f}. This scorer cannot tell them apart under {protocol}"
        )
    margin = round((low + high) / 2, 3)
    return Calibration(
        weights_sha256=weights_sha256,
        protocol=protocol.split(":")[0],
        margin=margin,
        real=len(real),
        unsynced=len(unsynced),
        missed=float(np.mean(np.asarray(real) < margin)),
        false_alarms=float(np.mean(np.asarray(unsynced) >= margin)),
        origin=origin,
    )


def read_calibration(path: Path) -> Calibration:
    """Read a calibration that `lse-bench gate --calibrate` wrote. Raises UsageError if it is none."""
    return read_stored(path, Calibration, "Make one with lse-bench gate --calibrate")
