"""Compare two stored JSON contents. Everything must be equal, except for the last digits of numbers.

Libraries and processors differ in the last digits of a sum, a logarithm or a quantile. Two numbers count as equal if
they differ by at most `TOLERANCE`, either relative to the larger one or in units of the score.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

TOLERANCE = 1e-9


def disagreement(one: Any, other: Any, where: str = "") -> str | None:
    """Return the first place where two JSON contents differ, with both values; None if they agree.

    The text reads like `metrics.lse_d.mean: 7.1 and 7.2`. `where`: the path of the contents, put before each place. An
    integer and a float are equal if their values are.
    """
    at = where or "content"
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{at}: the names {sorted(map(str, one.keys() ^ other.keys()))} are on one side only"
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
