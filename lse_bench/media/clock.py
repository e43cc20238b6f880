"""Correct the time stamps of a stream's packets as the ffmpeg program does before it uses them.

Time may jump in formats that can be joined anywhere (MPEG-TS, MPEG-PS, FLV, Ogg). FFmpeg marks these formats, and the
ffmpeg program removes the jump. In other formats it drops a time stamp that is more than 30 hours from the expected
time. The rules are those of ffmpeg 5 to 9 (`ts_discontinuity_detect` in fftools).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import av
from av.container import InputContainer
from av.format import Flags

if TYPE_CHECKING:
    Packet: TypeAlias = av.Packet[Any]  # at run time av's classes accept no type parameters

_MICRO = 1_000_000
_JUMP = 10 * _MICRO  # µs, in formats that may jump: `dts_delta_threshold`
_BACK = _MICRO // 10  # µs that a decoding time may go back there
_ABSURD = 3600 * 30 * _MICRO  # µs, in other formats: `dts_error_threshold`


class Clock:
    """A corrector of one stream's time stamps. Pass every packet to `mend` once, in the order of the file."""

    def __init__(self, container: InputContainer, stream: av.stream.Stream) -> None:
        self._jumps = bool(Flags(container.format.flags) & Flags.ts_discont)
        self._step = _step_of(stream)
        tick = stream.time_base  # of the packets too: asking each of them costs as much as all the rest
        self._micros = None if tick is None else (tick.numerator * _MICRO, tick.denominator)
        self._now: int | None = None  # the last decoding time, µs
        self._next: int | None = None  # the expected next decoding time, µs
        self._moved = 0  # µs to add to time stamps

    def mend(self, packet: Packet) -> None:
        """Correct the packet's time stamps in place, or set them to None."""
        if self._micros is None or not packet.size:
            return
        if self._moved:
            _move(packet, self._ticks(self._moved))
        dts = packet.dts
        if dts is None:
            self._pass(packet, None)
            return
        if self._next is not None:
            now = self._time(dts)
            if not self._jumps:
                dts = self._forget(packet, self._next, dts, now)
            elif abs(now - self._next) > _JUMP or (self._now is not None and now + _BACK < self._now):
                self._moved -= now - self._next
                _move(packet, -self._ticks(now - self._next))
                dts = packet.dts
        self._pass(packet, dts)

    def _time(self, ticks: int) -> int:
        """Return a time stamp in µs."""
        assert self._micros is not None
        return rounded(ticks * self._micros[0], self._micros[1])

    def _ticks(self, micros: int) -> int:
        assert self._micros is not None
        return rounded(micros * self._micros[1], self._micros[0])

    def _forget(self, packet: Packet, expected: int, dts: int, now: int) -> int | None:
        """Drop time stamps that are absurd. Return the decoding time stamp that is left."""
        pts = packet.pts
        if pts is not None and pts != dts and abs(self._time(pts) - expected) > _ABSURD:
            packet.pts = None
        if abs(now - expected) <= _ABSURD:
            return dts
        if pts == dts:
            packet.pts = None
        packet.dts = None
        return None

    def _pass(self, packet: Packet, dts: int | None) -> None:
        if dts is not None:
            self._now = self._time(dts)
        elif self._next is not None:
            self._now = self._next
        elif (pts := packet.pts) is not None:  # the first packet
            self._now = self._time(pts)
        if self._now is not None:
            self._next = self._now + (self._step or self._time(packet.duration or 0))


def rounded(top: int, bottom: int) -> int:
    """Return top / bottom as the nearest whole number, and the even one if two are as near."""
    whole, rest = divmod(top, bottom)
    return whole + (2 * rest > bottom or (2 * rest == bottom and whole % 2 == 1))


def _step_of(stream: av.stream.Stream) -> int:
    """Return the duration of a packet in µs, 0 if only the packet itself gives it."""
    if isinstance(stream, av.AudioStream):
        context = stream.codec_context
        return round(Fraction(context.frame_size * _MICRO, context.sample_rate)) if context.sample_rate else 0
    return 0


def _move(packet: Packet, ticks: int) -> None:
    if ticks:
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
