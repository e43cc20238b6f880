"""How far confidence rises without a moving mouth, and which measure still calls the mouth frozen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from lse_bench.reliability.asked import Asked
from lse_bench.reliability.attack import Attack
from lse_bench.reliability.oracle import Interval, Seen
from lse_bench.reliability.plan import ATTACKED, FROZEN, NONE, condition
from lse_bench.reliability.values import Table
from lse_bench.runs.statistics import mean_with_interval

EXPOSES_FROM = 0.5  # a measure's own tau for frozen mouths from which its verdict counts
_STILL = 0.25  # share of the way from a frozen to a real face that an exposing measure is moved at most
_FROZEN = condition(FROZEN, 1.0)
_UNSYNCED = condition("other-sound", 1.0)


class Fooled(BaseModel):
    """What an attack does to one measure."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    measure: str
    """The measure."""
    n: int
    """Number of clips with all four values."""
    real: float | None
    """Mean of the clips as they are; null without clips."""
    unsynced: float | None
    """Mean with the sound of another clip."""
    frozen: float | None
    """Mean with a mouth that stands still."""
    attacked: float | None
    """Mean with that mouth, after the attack on the other pixels."""
    rise: float | None
    """How far the attack moves the mean towards better, as a share of the way from `unsynced` to `real`."""
    rise_ci95: Interval | None
    """95 % interval of it; the way is taken as known."""
    back: float | None
    """How far the attack moves the mean, as a share of the way from `frozen` to `real`; null if these are equal."""
    tau: float | None
    """The measure's own tau for frozen mouths."""
    exposes: bool
    """Whether it still calls the mouth frozen: its tau is at least 0.5, and it goes back by less than a quarter."""


class Gaming(BaseModel):
    """The attack and what each measure makes of it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    bound: float
    """The most that a pixel outside the mouth changes before encoding, in grey levels of 255."""
    passes: int
    """How often the gradient of the scoring network was followed."""
    measures: list[Fooled]
    """The measures."""


def gaming(table: Table, asked: Sequence[Asked], seen: Sequence[Seen], attack: Attack) -> Gaming:
    """Return what an attack does to each measure."""
    taus = {row.measure: row.per_clip.tau for row in seen if row.damage == FROZEN}
    rows = [_fooled(table, one, taus.get(one.name)) for one in asked]
    return Gaming(bound=attack.bound, passes=attack.passes, measures=rows)


def _fooled(table: Table, measure: Asked, tau: float | None) -> Fooled:
    sets = [table.of(measure.name, name) for name in (NONE, _UNSYNCED, _FROZEN, ATTACKED)]
    there = np.isfinite(sets[2]) & np.isfinite(sets[3]) & np.isfinite(sets[0])
    real, unsynced, frozen, attacked = (
        float(np.nanmean(values[there])) if np.isfinite(values[there]).any() else None for values in sets
    )
    rise: float | None = None
    interval: Interval | None = None
    if real is not None and unsynced is not None and real != unsynced:
        way = real - unsynced
        estimate = mean_with_interval((sets[3] - sets[2])[there] / way, table.members[there])
        rise, interval = estimate.mean, estimate.ci95
    back = None
    if real is not None and frozen is not None and attacked is not None and real != frozen:
        back = (attacked - frozen) / (real - frozen)
    return Fooled(
        measure=measure.name,
        n=int(there.sum()),
        real=real,
        unsynced=unsynced,
        frozen=frozen,
        attacked=attacked,
        rise=rise,
        rise_ci95=interval,
        back=back,
        tau=tau,
        exposes=tau is not None and tau >= EXPOSES_FROM and back is not None and back < _STILL,
    )
