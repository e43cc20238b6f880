"""Known damage of the pictures of a clip, in order: repeated, moved and frozen ones. Few of them are in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.damage.pictures import Box, Picture, lower_face
from lse_bench.damage.sounds import piece
from lse_bench.media.video import ToBgr
from lse_bench.media.writer import ACCURATE

_SOFT = 0.04  # width of a pasted mouth's soft edge, as a share of its box
_FILM = 24 / 25


def dropped(frames: Iterable[Picture], count: int, share: float, rng: np.random.Generator) -> Iterator[Picture]:
    """Yield the frames with a share of them lost: the frame before stays in the place of a lost one.

    `count`: number of frames. With equal `rng`, larger shares lose what smaller ones lose.
    """
    lost = np.zeros(count, bool)
    if count > 1:
        lost[1 + rng.permutation(count - 1)[: round(share * (count - 1))]] = True
    yield from in_order(frames, np.maximum.accumulate(np.where(lost, 0, np.arange(count))))


def hastened(frames: Iterable[Picture], count: int, share: float) -> Iterator[Picture]:
    """Yield the frames faster by `share`, as many as before. The middle stays in its place; the ends stand still."""
    middle = (count - 1) / 2
    places = middle + (np.arange(count) - middle) * (1 + share)
    yield from in_order(frames, np.clip(np.rint(places), 0, count - 1).astype(np.int64))


def through_film_rate(frames: Iterable[Picture], count: int) -> Iterator[Picture]:
    """Yield 25 frames a second that went through 24: about one frame a second is lost and another one repeated."""
    film = np.rint(np.arange(count) * _FILM)
    yield from in_order(frames, np.clip(np.rint(film / _FILM), 0, count - 1).astype(np.int64))


def frozen_mouth(
    frames: Iterable[Picture], count: int, box: Box, share: float, rng: np.random.Generator
) -> Iterator[Picture]:
    """Yield the frames with a mouth that stands still for a share of them, in one piece.

    The lower face of the piece's first frame is pasted with soft edges. `box`: the face's.
    """
    still = piece(count, share, rng)
    held: Picture | None = None
    for number, frame in enumerate(frames):
        if not still.start <= number < still.stop:
            yield frame
            continue
        held = frame.copy() if held is None else held
        yield pasted(frame, held, box)


def pasted(frame: Picture, mouth: Picture, box: Box) -> Picture:
    """Return a frame with the lower face of the frame `mouth`, which fades out at its edges."""
    part = lower_face(frame, box)
    weight = np.zeros(frame.shape[:2], np.float32)
    weight[part] = 1
    soft = max(0.5, _SOFT * (box[2] - box[0]))
    alpha = cv2.GaussianBlur(cv2.erode(weight, np.ones((3, 3)), iterations=round(soft)), (0, 0), soft)[..., None]
    mixed: Picture = np.rint(frame * (1 - alpha) + mouth * alpha).astype(np.uint8)
    return mixed


def in_order(frames: Iterable[Picture], order: NDArray[np.int64]) -> Iterator[Picture]:
    """Yield frames by their numbers, which never fall."""
    waiting = iter(frames)
    held, number = next(waiting, None), 0
    for wanted in order:
        while number < wanted:
            following = next(waiting, None)
            if following is None:
                break
            held, number = following, number + 1
        if held is None:
            return
        yield held


def through_codec(frames: Iterable[Picture], codec: str, bits: int) -> Iterator[Picture]:
    """Yield the frames after another codec, which keeps `bits` a second. The encoded clip is in memory, not they."""
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        return
    height, width = (side - side % 2 for side in first.shape[:2])
    held = io.BytesIO()
    with av.open(held, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25, options={"threads": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", bits
        for frame in chain([first], waiting):
            drawn = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), "bgr24")
            container.mux(stream.encode(drawn.reformat(format="yuv420p", interpolation=ACCURATE)))
        container.mux(stream.encode(None))
    held.seek(0)
    to_bgr = ToBgr()
    with av.open(held, "r") as written:
        for decoded in written.decode(video=0):
            edges = (0, first.shape[0] - height, 0, first.shape[1] - width)
            whole = cv2.copyMakeBorder(to_bgr(decoded), *edges, cv2.BORDER_REPLICATE)
            yield np.asarray(whole, np.uint8)
