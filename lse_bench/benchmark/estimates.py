"""How long the steps of a benchmark will take."""

from __future__ import annotations

from dataclasses import dataclass

from lse_bench.benchmark.endings import Ended
from lse_bench.benchmark.steps import Kind, Step

# A first guess: seconds for a clip of three seconds on two cores of 2024. Measured times replace it.
_ROUGH: dict[Kind, float] = {
    "corpus": 0.3,
    "manifest": 0.01,
    "generate": 4.0,
    "adopt": 0.0,
    "score": 0.8,
    "fid": 6.0,
    "fd-sync": 0.8,
}


_COPIES = ("real", "unsynced")  # made without a network


_ROUGH_COPIES = 0.1


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated seconds of a step. `measured`: whether the estimate uses earlier steps of this benchmark."""

    seconds: float
    measured: bool


def estimate(step: Step, ended: dict[str, Ended]) -> Estimate:
    """Estimate how long a step takes.

    The estimate is the measured time per clip of finished steps of the same kind and method. If there are none, it is
    that of the same kind, and otherwise a rough guess.
    """
    copies = step.kind == "generate" and step.method in _COPIES
    past = [one for one in ended.values() if one.kind == step.kind and one.status == 0 and one.items]
    same = [one for one in past if one.method == step.method]
    alike = [one for one in past if not copies and one.method not in _COPIES]
    for near in (same, alike):
        if near:
            return Estimate(step.items * sum(one.seconds for one in near) / sum(one.items for one in near), True)
    rough = _ROUGH_COPIES if copies else _ROUGH[step.kind]
    return Estimate(step.items * rough, False)


def in_words(seconds: float) -> str:
    """Return a duration as text, such as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
