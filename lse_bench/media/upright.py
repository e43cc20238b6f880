"""Rotate pictures by the display matrix that phones and cameras store, as players and the ffmpeg program do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from av.filter import Graph

_UNIT = 1 << 16  # the matrix holds fixed-point numbers with 16 fractional bits


class Upright:
    """A filter that rotates and mirrors pictures by their display matrix. Most clips have none."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._built_for: tuple[object, ...] = ()

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        matrix = matrix_of(picture)
        chain = () if matrix is None else chain_of(matrix)
        if not chain:
            return picture
        asked = (chain, picture.width, picture.height, picture.format.name)
        if self._graph is None or self._built_for != asked:
            self._graph, self._built_for = self._build(picture, chain), asked
        self._graph.push(picture)
        turned = self._graph.pull()
        assert isinstance(turned, av.VideoFrame)
        return turned

    @staticmethod
    def _build(picture: av.VideoFrame, chain: tuple[str, ...]) -> Graph:
        graph = Graph()
        last = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        )
        for step in (*chain, "buffersink"):
            name, _, arguments = step.partition("=")
            node = graph.add(name, arguments or None)
            last.link_to(node)
            last = node
        graph.configure()
        return graph


def matrix_of(picture: av.VideoFrame) -> list[int] | None:
    """Return the display matrix of a picture, 9 numbers of a 3x3 matrix by rows, 16.16 fixed point, or None."""
    stored: Any = picture.side_data.get("DISPLAYMATRIX")
    return None if stored is None else np.frombuffer(bytes(stored), np.int32).tolist()


def chain_of(matrix: Sequence[int]) -> tuple[str, ...]:
    """Return the filters that the ffmpeg program puts before all others for a display matrix.

    The source of the rule is `configure_input_video_filter` in fftools.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    wide, high = math.hypot(a, c) / _UNIT, math.hypot(b, d) / _UNIT
    if not wide or not high:
        return ()  # the matrix would leave no picture
    degrees = round(math.degrees(math.atan2(b / high, a / wide))) % 360  # clockwise
    if degrees == 90:
        return ("transpose=cclock_flip" if c > 0 else "transpose=clock",)
    if degrees == 180:
        return (*(("hflip",) if a < 0 else ()), *(("vflip",) if d < 0 else ()))
    if degrees == 270:
        return ("transpose=clock_flip" if c < 0 else "transpose=cclock",)
    if degrees:
        return (f"rotate={degrees:f}*PI/180",)
    return ("vflip",) if d < 0 else ()
