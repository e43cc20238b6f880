"""Boxes along a source, and pasting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from checkpoints import GOLDEN

from lse_bench.errors import ClipError
from lse_bench.faces.detectors import FaceDetector
from lse_bench.faces.face import Face, padded_box
from lse_bench.generators.boxes import Located, Locating, _smoothed, smooth_in_place
from lse_bench.generators.interface import FaceCrop
from lse_bench.generators.paste import cut, paste

CLIP = Path("clip.mp4")


def frames(count: int, size: tuple[int, int] = (40, 60)) -> Iterator[np.ndarray]:
    return (np.full((*size, 3), number, np.uint8) for number in range(count))


def detector(answer: dict[int, list[Face]]) -> FaceDetector:
    """Finds what `answer` says for the frame whose pixels have that value."""

    def detect(seen: Sequence[np.ndarray]) -> list[list[Face]]:
        return [answer.get(int(frame[0, 0, 0]), []) for frame in seen]

    return FaceDetector("fixed", "fixed", "0" * 64, detect)


def face(left: float, top: float, right: float, bottom: float, score: float = 0.9) -> Face:
    return Face(np.array([left, top, right, bottom]), score)


def test_smoothing_as_the_original_and_while_frames_go_by() -> None:
    with np.load(GOLDEN / "generators" / "alignment.npz") as held:
        assert np.array_equal(smooth_in_place(held["boxes_in"]), held["boxes_smoothed_int_inplace"])
        assert np.array_equal(smooth_in_place(held["boxes_short3_in"]), held["boxes_short3_smoothed"])
    random = np.random.default_rng(0)
    for count in range(1, 20):
        boxes = random.integers(0, 90, (count, 4))
        boxes[:, 2:] += boxes[:, :2] + 5
        rows = [Located(np.zeros((4, 4, 3), np.uint8), tuple(map(int, box)), None, True) for box in boxes]  # type: ignore[arg-type]
        streamed = [one.box for one in _smoothed(iter(rows), "original")]
        assert np.array_equal(np.array(streamed), smooth_in_place(boxes)), count


def test_exponential_smoothing_and_none() -> None:
    answer = {n: [face(10 * n, 0, 10 * n + 20, 20)] for n in range(3)}
    boxes = {
        smoothing: [one.box for one in Locating(detector(answer), smoothing=smoothing).locate(CLIP, frames(3))]  # type: ignore[arg-type]
        for smoothing in ("exponential", "none")
    }
    assert boxes["none"] == [(0, 0, 20, 20), (10, 0, 30, 20), (20, 0, 40, 20)]
    assert boxes["exponential"] == [(0, 0, 20, 20), (5, 0, 25, 20), (12, 0, 32, 20)]


def test_boxes_are_clipped_cut_and_padded() -> None:
    assert padded_box(np.array([-3.7, 2.9, 20.9, 30.2]), (0, 0, 0, 0), 60, 40) == (0, 2, 20, 30)
    assert padded_box(np.array([5.0, 5.0, 20.0, 35.0]), (10, 10, 3, 2), 60, 40) == (2, 0, 22, 40)
    assert padded_box(np.array([70.0, 5.0, 90.0, 35.0]), (0, 0, 0, 0), 60, 40) is None
    # Every pad on its own side: top, bottom, left, right.
    assert padded_box(np.array([15.0, 14.0, 20.0, 25.0]), (4, 9, 3, 2), 60, 40) == (12, 10, 22, 34)


def test_surest_or_largest() -> None:
    answer = {0: [face(0, 0, 10, 10, 0.99), face(10, 0, 40, 40, 0.6)]}
    first, largest = (
        next(Locating(detector(answer), choice=choice).locate(CLIP, frames(1))).box  # type: ignore[arg-type]
        for choice in ("surest", "largest")
    )
    assert first == (0, 0, 10, 10) and largest == (10, 0, 40, 40)


def test_frames_without_a_face() -> None:
    answer = {n: [face(5, 5, 25, 25)] for n in range(30) if n not in (0, 17)}
    with pytest.raises(ClipError, match=r"no face in frame 0 .*keep-frame"):
        list(Locating(detector(answer)).locate(CLIP, frames(30)))
    kept = list(Locating(detector(answer), smoothing="none", faceless="keep-frame").locate(CLIP, frames(30)))
    assert [n for n, one in enumerate(kept) if not one.seen] == [0, 17]
    assert kept[0].box == (0, 0, 60, 40) and kept[17].box == (5, 5, 25, 25)
    assert all(int(one.frame[0, 0, 0]) == n for n, one in enumerate(kept))


def test_a_face_that_comes_late_is_not_smoothed_with_the_whole_frame() -> None:
    answer = {n: [face(5, 5, 25, 25)] for n in range(2, 6)}
    locating = Locating(detector(answer), smoothing="exponential", faceless="keep-frame")
    assert [one.box for one in locating.locate(CLIP, frames(6))][2:] == [(5, 5, 25, 25)] * 4


def test_few_frames_are_held() -> None:
    """A frame is asked for only when those before it are nearly all handed on."""
    read = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal read
        for frame in frames(200):
            read += 1
            yield frame

    answer = {n: [face(5, 5, 25, 25)] for n in range(200)}
    for number, _ in enumerate(Locating(detector(answer)).locate(CLIP, counted())):
        assert read - number <= 16


def test_cut_with_margin_and_landmarks() -> None:
    frame = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
    one = Located(frame, (10, 20, 30, 36), np.array([[12.0, 22.0]] * 5), True)
    plain, wide = cut(one), cut(one, 0.5)
    assert plain.box == one.box and np.array_equal(plain.pixels, frame[20:36, 10:30])
    assert wide.box == (0, 12, 40, 40) and np.array_equal(wide.pixels, frame[12:40, 0:40])
    assert wide.landmarks is not None and wide.landmarks[0].tolist() == [12, 10]


def test_feather_fades_and_masks_count() -> None:
    frame = np.full((60, 80, 3), 100, np.uint8)
    answer = FaceCrop(np.full((8, 8, 3), 200, np.uint8), (20, 10, 60, 50))
    hard, soft = paste(frame, answer), paste(frame, answer, "feather")
    assert (hard[10:50, 20:60] == 200).all() and (hard[:10] == 100).all()
    assert (soft[30, 40] == 200).all() and 100 < soft[10, 40, 0] < 130 and (soft[9] == 100).all()
    half = FaceCrop(answer.pixels, answer.box, mask=np.full((8, 8), 0.5, np.float32))
    assert (paste(frame, half)[10:50, 20:60] == 150).all()
    assert (frame == 100).all()
