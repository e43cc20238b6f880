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
        self._now: int | None = None  # the last decoding time, µs
        self._next: int | None = None  # the expected next decoding time, µs
        self._moved = 0  # µs to add to time stamps

    def mend(self, packet: Packet) -> None:
        """Correct the packet's time stamps in place, or set them to None."""
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
        elif packet.pts is not None:  # the first packet
            self._now = round(packet.pts * tick)
        if self._now is not None:
            self._next = self._now + (self._step or round((packet.duration or 0) * tick))


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
