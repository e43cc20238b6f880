"""What counts as the same content: numbers of another library, and nothing else."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from lse_bench.runs.agreement import disagreement


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (4.097794558929593, 4.0977945589297065),  # SciPy 1.11 and 1.17
        (0.0, 3e-13),  # a bound of an interval around 0
        (1e12, 1e12 + 1),
        (3, 3.0),
        (None, None),
        ({"a": [1.0, {"b": "c"}]}, {"a": [1.0 + 1e-11, {"b": "c"}]}),
        ((1.0, 2.0), [1.0, 2.0]),  # what is a tuple here is a list once it was stored
    ],
)
def test_what_is_the_same(one: Any, other: Any) -> None:
    assert disagreement(one, other) is None
    assert disagreement(other, one) is None


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ({"lse_d": {"mean": 7.1}}, {"lse_d": {"mean": 7.1001}}, "lse_d.mean: 7.1 and 7.1001"),
        ({"ci95": [1.0, 2.0]}, {"ci95": [1.0, 2.00000001]}, r"ci95\[1\]"),
        ({"ci95": [1.0, 2.0]}, {"ci95": None}, "ci95"),
        ({"n": 3}, {"n": 4}, "n: 3 and 4"),
        ({"a": 1, "b": 1}, {"a": 1}, "'b'"),
        ([1, 2], [1], "2 and 1 values"),
        ("x", "y", "'x' and 'y'"),
        (True, 1, "True and 1"),
        (math.nan, 1.0, "nan"),
        (None, 0.0, "None and 0.0"),
    ],
)
def test_what_is_not_and_where(one: Any, other: Any, says: str) -> None:

    found = disagreement(one, other)
    assert found is not None and re.search(says, found)
    assert disagreement(other, one) is not None
