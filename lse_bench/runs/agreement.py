"""Whether two stored contents say the same: exactly, but for numbers that a library or a processor computed.

Libraries and processors differ in the last digits of a sum, a logarithm or a quantile. Numbers that agree to
`TOLERANCE`, as a part of the larger one or in units of the score, are therefore the same number.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

TOLERANCE = 1e-9


def disagreement(one: Any, other: Any, where: str = "") -> str | None:
    """The first place where two contents of JSON differ, with both values, as in `metrics.lse_d.mean: 7.1 and 7.2`;
    None when there is none. An integer and a float are equal when their values are.
    """
    at = where or "content"
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{at}: the names {sorted(map(str, one.keys() ^ other.keys()))} stand on one side only"
        parts = [(one[name], other[name], f"{where}.{name}" if where else str(name)) for name in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return f"{at}: {len(one)} and {len(other)} values"
        parts = [(a, b, f"{where}[{number}]") for number, (a, b) in enumerate(zip(one, other, strict=True))]
    elif _is_number(one) and _is_number(other):
        same = one == other or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return None if same else f"{at}: {one!r} and {other!r}"
    else:
        return None if type(one) is type(other) and one == other else f"{at}: {one!r} and {other!r}"
    return next((found for a, b, place in parts if (found := disagreement(a, b, place)) is not None), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
