"""Whole numbers of time: rounded as fractions are."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from lse_bench.media.clock import rounded


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**6))
def test_rounding_is_that_of_fractions(top: int, bottom: int) -> None:
    assert rounded(top, bottom) == round(Fraction(top, bottom))


def test_halves_go_to_the_even_number() -> None:
    assert [rounded(n, 2) for n in (-3, -1, 1, 3, 5)] == [-2, 0, 0, 2, 2]
