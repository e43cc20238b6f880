"""Sizes that the published networks share: the side of a face in pixels, and the rule for narrower networks.

A narrower network has fewer channels in its hidden layers, so that a laptop can train it.
"""

from __future__ import annotations

SIZE = 96  # pixels of a face's side
_NARROWEST = 16  # channels of the narrowest hidden layer; a width must be a multiple of 1/16 to keep channels whole


class Widths:
    """The channel counts of a network at `width` times the published ones. Counts below 16 (inputs, outputs) stay.

    Raises ValueError if `width` is not a multiple of 1/16 above 0 and up to 1.
    """

    def __init__(self, width: float) -> None:
        if not (0 < width <= 1 and float(width * _NARROWEST).is_integer()):
            raise ValueError(f"width {width}: it must be a multiple of 1/16 above 0 and up to 1")
        self._width = width

    def __call__(self, published: int) -> int:
        return published if published < _NARROWEST else int(published * self._width)
