"""Sizes that the published networks share: a face's side, and channels, which may be fewer, for laptops."""

from __future__ import annotations

SIZE = 96  # pixels of a face's side
_NARROWEST = 16  # channels of the thinnest hidden layer, so that a width is a whole number of sixteenths


class Widths:
    """Channels of a network at `width` times the published ones; inputs (up to 15 channels) stay.

    Raises ValueError for a width that is no whole number of sixteenths.
    """

    def __init__(self, width: float) -> None:
        if not (0 < width <= 1 and float(width * _NARROWEST).is_integer()):
            raise ValueError(f"width {width}: a whole number of sixteenths up to 1 is needed")
        self._width = width

    def __call__(self, published: int) -> int:
        return published if published < _NARROWEST else int(published * self._width)
