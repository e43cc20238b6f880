"""Open media files: only regular files, and no format that reads other files or addresses."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import av
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lse_bench.errors import ClipError
from lse_bench.media.under_way import noted
from lse_bench.remote.cache import local_copy

AnyStream = TypeVar("AnyStream", bound=Stream)

# FFmpeg's messages name no file, so they are hidden and our errors replace them. The level stays at ERROR, because
# some decoders report damage only in the log.
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").setLevel(logging.CRITICAL)

# Tags that are not UTF-8 must not stop the reading of a file. PyAV 18 needs this option; PyAV 19 no longer has it.
_OPEN: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# Formats that hold no media themselves, but name other files or addresses, or are scripts.
_LEADING_ELSEWHERE = frozenset(
    [
        "avisynth",
        "concat",
        "dash",
        "hls",
        "image2",
        "imf",
        "lavfi",
        "rtsp",
        "sap",
        "sdp",
        "vapoursynth",
        "webm_dash_manifest",
    ]
)
_HEADS = {
    b"ffconcat": "a concat script",
    b"#EXTM3U": "a playlist (M3U8)",
    b"<MPD": "a DASH manifest",
    b"v=0": "a session description (SDP)",
}
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def open_media(path: Path | str) -> Iterator[InputContainer]:
    """Open a media file for reading. Raises ClipError `unreadable`, with a probable cause, if FFmpeg cannot open it."""
    path = local_copy(Path(path))
    refuse_irregular(path)
    with noted(path):
        yield from _opened(path)


def _opened(path: Path) -> Iterator[InputContainer]:
    options = {"format_whitelist": _media_formats(), "protocol_whitelist": "file"}
    try:
        # The path is absolute, because FFmpeg takes the text before a colon for a protocol.
        container = av.open(str(path.absolute()), options=options, **_OPEN)
    except (av.FFmpegError, OSError) as error:
        raise ClipError(path, "unreadable", _why_unreadable(path, error)) from None
    with container:
        yield container


def packets(container: InputContainer, *streams: AnyStream) -> Iterator[Packet[AnyStream]]:
    """Yield the packets of `streams`, or of all streams if none is given, in the order of the file.

    An empty packet of each stream follows at the end. Packets of a stream that first appears inside the file are left
    out, as the ffmpeg program does.
    """
    with suppress(IndexError):  # PyAV raises it for a late stream, after all other packets
        yield from cast(Iterator["Packet[AnyStream]"], container.demux(*streams))


class HiddenDamageError(Exception):
    """An error for damaged data that a decoder concealed: it logged an error in FFmpeg's log and raised none."""


def decoded_openly(packet: Packet[VideoStream]) -> list[VideoFrame]:
    """Return the pictures in a packet. Raises HiddenDamageError if the decoder logs an error.

    Only messages from the caller's thread are checked, so the codec context must have no threads of its own.
    """
    with av.logging.Capture(local=True) as told:
        frames = packet.decode()
    if any(level <= av.logging.ERROR for level, _, _ in told):
        raise HiddenDamageError
    return frames


def refuse_irregular(path: Path) -> None:
    """Raise ClipError `unreadable` if `path` is not a regular file. Reading a pipe or a device may never end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        told = f"a link to {path.readlink()}, which does not exist" if path.is_symlink() else "no such file"
        raise ClipError(path, "unreadable", told) from None
    except OSError as error:
        raise ClipError(path, "unreadable", f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "a special file")
        raise ClipError(path, "unreadable", f"this is {kind}, not a media file")


@cache
def _media_formats() -> str:
    """Return FFmpeg's names of all formats that it reads, without those that name other files or addresses."""
    return ",".join(sorted(av.formats_available - _LEADING_ELSEWHERE))


def _why_unreadable(path: Path, error: Exception) -> str:
    """Return a probable cause, from the first bytes of a file that FFmpeg refused."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    said = f"FFmpeg reports: {getattr(error, 'strerror', None) or error}"
    if size == 0:
        return "the file is empty (0 bytes); the program that wrote it did not finish"
    if head[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return f"this is an HTML page of {size:,} bytes, not a video; the server sent a web page instead of the file"
    if head.startswith(b"version https://git-lfs"):
        return f"this is a Git LFS pointer of {size:,} bytes, not the file itself; run `git lfs pull`"
    for start, kind in _HEADS.items():
        if start in head[:512]:
            return f"this is {kind}, which names other files; pass the media file itself"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide"):
        return (
            f"an MP4 or MOV of {size:,} bytes without a readable index (moov box): the file is cut off "
            f"or its writer was killed. {said}"
        )
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return f"this is a text file of {size:,} bytes, not a media file"
    return f"FFmpeg does not recognise the container ({size:,} bytes). {said}"
