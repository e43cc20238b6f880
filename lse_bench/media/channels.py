"""Handle sound with a custom channel order, because PyAV 18.1 kills the process that reads it.

PyAV copies the bytes of FFmpeg's channel description, and then frees a part of it that FFmpeg frees too. MOV, MP4 and
CAF files can store a custom order. If a file stores one, a separate process reads it first. If that process dies, the
default order for the number of channels must be set before any other access to the stream. The ffmpeg program up to
version 5 uses the default order too.
"""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from lse_bench.errors import ClipError

# FFmpeg's default order for a number of channels (av_channel_layout_default).
_PLAIN = {
    1: "mono",
    2: "stereo",
    3: "2.1",
    4: "4.0",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
    16: "hexadecagonal",
    24: "22.2",
}
_ORDERS = (b"chan", b"chnl")  # names of the boxes that store a channel order
_HEAD = 1 << 16  # bytes of a CAF file that are searched for an order
_MOST = 1 << 26  # bytes of an index that are searched, at most
_LOOK = """
import sys, av
with av.open(sys.argv[1]) as container:
    stream = container.streams[int(sys.argv[2])]
    for _ in range(3):
        print(stream.codec_context.channels, flush=True)
"""
_SECONDS = 60  # time limit of the separate process


def plain_layout(path: Path, container: str, index: int) -> str | None:
    """Return the layout to set before any other access to sound stream `index`, None for nearly every file.

    `container`: FFmpeg's name of the format. Raises ClipError `unreadable` if the stored order has no default to
    replace it.
    """
    if not _stores_an_order(path, container):
        return None
    channels, alive = _look(str(path.absolute()), index, path.stat().st_mtime_ns)
    if alive:
        return None
    if channels not in _PLAIN:
        told = f"sound of {channels or 'many'} channels in a custom order"
        raise ClipError(path, "unreadable", f"{told}, which PyAV cannot read. Mix it down with ffmpeg -ac 1")
    return _PLAIN[channels]


@lru_cache(maxsize=256)
def _look(path: str, index: int, _changed: int) -> tuple[int, bool]:
    """Return the number of channels, 0 if unknown, and whether a process that reads their order survives.

    `_changed`: the file's modification time, so that the cache forgets a changed file.
    """
    look = [sys.executable, "-c", _LOOK, path, str(index)]
    done = subprocess.run(look, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - a list
    told = done.stdout.split()
    return int(told[0]) if told else 0, done.returncode == 0


def _stores_an_order(path: Path, container: str) -> bool:
    names = container.split(",")
    if "caf" in names:
        with path.open("rb") as file:
            return any(order in file.read(_HEAD) for order in _ORDERS)
    return "mov" in names and any(order in _index_of(path) for order in _ORDERS)


def _index_of(path: Path) -> bytes:
    """Return the index (moov box) of an MP4 or MOV file, 64 MiB at most, empty if there is none."""
    with path.open("rb") as file:
        place, size = 0, path.stat().st_size
        while place + 8 <= size:
            file.seek(place)
            length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            if kind == b"moov":
                return file.read(min(length or size, _MOST))
            if length < 8:  # the box extends to the end of the file, or the file is damaged
                break
            place += length
    return b""
