"""CenterFace finds the one face of MiniLRS frames where the sidecar says it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lse_bench.errors import UsageError
from lse_bench.faces import centerface
from lse_bench.faces.centerface import CenterFace
from lse_bench.faces.face import Face, overlap
from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.truth import truth_path


def test_one_face_where_it_is(corpus: Path) -> None:
    detector = CenterFace()
    right = total = 0
    for clip in read_corpus(corpus)[1]:
        with np.load(truth_path(clip.path, corpus)) as truth:
            boxes = truth["boxes"]
        for number, frame in enumerate(read_frames(probe(clip.path))):
            if number % 15 == 0:
                (faces,) = detector.detect([frame])
                total += 1
                right += len(faces) == 1 and overlap(faces[0].box, boxes[number]) >= 0.5
    assert total == 60
    assert right >= 0.95 * total


def test_two_faces_side_by_side_and_none_on_a_wall(corpus: Path) -> None:
    clips = [clip for clip in read_corpus(corpus)[1] if clip.path.stem == "00001"][:2]
    frames = [next(iter(read_frames(probe(clip.path)))) for clip in clips]
    detector = CenterFace()
    faces = sorted(detector.detect([np.hstack(frames)])[0], key=lambda face: face.box[0])
    assert len(faces) == 2
    assert faces[0].box[2] < 165
    assert faces[1].box[0] > 155
    assert detector.detect([np.full((160, 160, 3), 128, np.uint8)]) == [[]]


def test_boxes_scale_with_frames_of_any_size(corpus: Path) -> None:
    frame = next(iter(read_frames(probe(read_corpus(corpus)[1][0].path))))
    small = CenterFace().detect([frame])[0][0].box
    large = CenterFace().detect([cv2.resize(frame, (410, 410))])[0][0].box
    assert overlap(small, large * 160 / 410) > 0.8


def test_a_frame_depends_on_no_frame_before_it(corpus: Path) -> None:
    frame = next(iter(read_frames(probe(read_corpus(corpus)[1][0].path))))
    sizes = ((640, 360), (160, 160), (640, 360), (96, 224), (1280, 720), (333, 500), (160, 160), (900, 333), (640, 360))
    frames = [cv2.resize(frame, size) for size in sizes]
    alone = [CenterFace().detect([one])[0] for one in frames]
    assert sum(map(len, alone)) >= len(sizes) - 2
    used = CenterFace()
    for order in (range(len(frames)), reversed(range(len(frames)))):
        for number in order:
            assert same_faces(used.detect([frames[number]])[0], alone[number]), sizes[number]
    assert all(map(same_faces, used.detect(frames), alone))


def test_each_size_of_input_has_a_network_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV 5 needs it no more, so that its answers cannot show it."""
    shapes: list[set[tuple[int, ...]]] = []

    class Network:
        def __init__(self) -> None:
            self.seen: set[tuple[int, ...]] = set()
            shapes.append(self.seen)

        def setInput(self, blob: np.ndarray) -> None:
            self.seen.add(blob.shape)

        def forward(self, names: list[str]) -> list[np.ndarray]:
            return [np.zeros((1, n, 2, 2), np.float32) for n in (1, 2, 2, 10)]

    monkeypatch.setattr(centerface, "_read_network", lambda size: Network())
    detector = CenterFace()
    for width, height in (
        (640, 360),
        (160, 160),
        (640, 360),
        (96, 224),
        (150, 150),
        (1280, 720),
        (333, 500),
        (640, 360),
    ):
        assert detector.detect([np.zeros((height, width, 3), np.uint8)]) == [[]]
    assert all(len(seen) == 1 for seen in shapes)
    assert len(shapes) >= 4


def test_the_layout_of_a_frame_in_memory_is_nothing(corpus: Path) -> None:
    frame = next(iter(read_frames(probe(read_corpus(corpus)[1][0].path))))
    mirrored = np.ascontiguousarray(frame[:, ::-1])
    detector = CenterFace()
    (expected,) = detector.detect([mirrored])
    assert expected
    views = (frame[:, ::-1], np.asfortranarray(mirrored), np.repeat(mirrored, 2, axis=0)[::2])
    assert not any(view.flags.c_contiguous for view in views)
    for view in views:
        assert same_faces(detector.detect([view])[0], expected)
    assert same_faces(detector.detect([mirrored[..., ::-1][..., ::-1]])[0], expected)


@pytest.mark.parametrize(
    "wrong", [np.zeros((64, 64, 3), np.float32), np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8)]
)
def test_what_is_no_bgr_frame_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(H,W,3\)"):
        CenterFace().detect([wrong])


def same_faces(one: list[Face], other: list[Face]) -> bool:
    """Whether two answers are the same to the last bit."""
    return len(one) == len(other) and all(
        np.array_equal(a.box, b.box) and a.score == b.score and np.array_equal(a.landmarks, b.landmarks)
        for a, b in zip(one, other, strict=True)
    )


def test_overlap_by_hand() -> None:
    assert overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2])) == pytest.approx(1 / 3)
    assert overlap(np.array([0, 0, 1, 1]), np.array([2, 2, 3, 3])) == 0


def test_without_the_extra_its_name_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centerface, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"lse-bench\[faces\]"):
        CenterFace()
