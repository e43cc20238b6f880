"""The time stamps of a stream's packets, mended as the ffmpeg program mends them before it uses them.

Formats that are cut together anywhere (MPEG-TS, MPEG-PS, FLV, Ogg) may jump in time: FFmpeg marks them, and its program
lets time go on where it was. In the others it forgets a time stamp that lies more than 30 hours from where it was
expected. The rules are those of ffmpeg 5 to 9 (`ts_discontinuity_detect` in fftools).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import av
from av.container import InputContainer
from av.format import Flags

if TYPE_CHECKING:
    Packet: TypeAlias = av.Packet[Any]  # at run time av's classes take no brackets

_MICRO = 1_000_000
_JUMP = 10 * _MICRO  # in formats that jump: `dts_delta_threshold`
_BACK = _MICRO // 10
_ABSURD = 3600 * 30 * _MICRO  # in the others: `dts_error_threshold`


class Clock:
    """Follows one stream; packets are given to `mend` in the order of the file, each once."""

    def __init__(self, container: InputContainer, stream: av.stream.Stream) -> None:
        self._jumps = bool(Flags(container.format.flags) & Flags.ts_discont)
        self._step = _step_of(stream)
        self._now: int | None = None  # the last decoding time, µs
        self._next: int | None = None  # the one expected
        self._moved = 0  # µs that time stamps are moved by

    def mend(self, packet: Packet) -> None:
        """Change the packet's time stamps, or take them away."""
        if not packet.size or packet.time_base is None:
            return
        tick = packet.time_base * _MICRO
        _move(packet, round(self._moved / tick))
        if packet.dts is None:
            self._pass(packet, tick)
            return
        if self._next is not None:
            ahead = round(packet.dts * tick) - self._next
            if not self._jumps:
                self._forget(packet, tick, self._next)
            elif abs(ahead) > _JUMP or (self._now is not None and round(packet.dts * tick) + _BACK < self._now):
                self._moved -= ahead
                _move(packet, -round(ahead / tick))
        self._pass(packet, tick)

    def _forget(self, packet: Packet, tick: Fraction, expected: int) -> None:
        if packet.pts is not None and abs(round(packet.pts * tick) - expected) > _ABSURD:
            packet.pts = None
        if packet.dts is not None and abs(round(packet.dts * tick) - expected) > _ABSURD:
            packet.dts = None

    def _pass(self, packet: Packet, tick: Fraction) -> None:
        if packet.dts is not None:
            self._now = round(packet.dts * tick)
        elif self._next is not None:
            self._now = self._next
        elif packet.pts is not None:  # the first one
            self._now = round(packet.pts * tick)
        if self._now is not None:
            self._next = self._now + (self._step or round((packet.duration or 0) * tick))


def _step_of(stream: av.stream.Stream) -> int:
    """Microseconds of a packet, 0 where only the packet itself tells."""
    if isinstance(stream, av.AudioStream):
        context = stream.codec_context
        return round(Fraction(context.frame_size * _MICRO, context.sample_rate)) if context.sample_rate else 0
    return 0


def _move(packet: Packet, ticks: int) -> None:
    if ticks:
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
