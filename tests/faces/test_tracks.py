"""Tracks, smoothing and crops against the original's, shots on made-up pictures, the corrected tracker."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import GOLDEN, golden_file, shared_file

from lse_bench.choices import Tracker
from lse_bench.errors import UsageError
from lse_bench.faces.crops import GREY, crop_face, crop_path
from lse_bench.faces.detectors import FaceDetector
from lse_bench.faces.face import Face, overlap, suppress
from lse_bench.faces.shots import ShotDetector
from lse_bench.faces.tracking import Tracking, scene_of
from lse_bench.faces.tracks import Track, track_shot
from lse_bench.media.pictures import read_picture
from lse_bench.media.probe import probe
from lse_bench.media.program import Sources, convert, find_ffmpeg
from lse_bench.media.video import read_frames

CASES = json.loads((GOLDEN / "scenefaces.json").read_text())


def faces_of(case: str) -> list[list[Face]]:
    return [[Face(np.array(found["bbox"]), found["conf"]) for found in frame] for frame in CASES[case]]


def moving(x: float, frames: int, step: float = 0.0, size: float = 120.0) -> list[Face]:
    return [Face(np.array([x + step * n, 50, x + step * n + size, 50 + size]), 0.9) for n in range(frames)]


def test_there_are_nine_cases() -> None:
    assert len(CASES) == 9


@pytest.mark.original
@pytest.mark.parametrize("case", CASES)
def test_tracks_are_the_originals(case: str) -> None:
    found = track_shot(faces_of(case)).kept
    with np.load(GOLDEN / "tracks.npz") as want:
        assert len(found) == want[f"{case}/count"]
        for number, track in enumerate(found):
            np.testing.assert_array_equal(np.arange(track.first, track.stop), want[f"{case}/{number}/frame"])
            np.testing.assert_array_equal(track.boxes, want[f"{case}/{number}/bbox"])


def test_whatever_is_dropped_has_a_reason() -> None:
    reasons = {case: [reason for _, reason in track_shot(faces_of(case)).dropped] for case in CASES}
    assert reasons["exactly_100_detections"] == ["100 detections, more than 100 are needed"]
    assert reasons["size_exactly_100"] == ["a face of 100 px, more than 100 are needed"]


@pytest.mark.original
def test_smoothing_is_the_originals() -> None:
    path = crop_path(track_shot(faces_of("main")).kept[0])
    with np.load(GOLDEN / "crop_path.npz") as want:
        for ours, theirs in ((path.x, "x"), (path.y, "y"), (path.half, "s")):
            np.testing.assert_allclose(ours, want[theirs], rtol=0, atol=1e-9)


@pytest.mark.original
def test_crops_from_the_source_are_within_20_levels() -> None:
    """JPEG 0 is the first frame, JPEG 1 the second, which is shown twice; from then on JPEG i is frame i-1."""
    path = crop_path(track_shot(faces_of("main")).kept[0])
    frames = list(read_frames(probe(shared_file("clips", "latentsync_demo1.mp4"))))
    with np.load(golden_file("crop_demo1.npz")) as want:
        for number, theirs in zip(want["crop_index"], want["crops_bgr"], strict=True):
            source = frames[number if number < 2 else number - 1]
            ours = crop_face(source, path.x[number], path.y[number], path.half[number])
            np.testing.assert_allclose(ours.astype(int), theirs, rtol=0, atol=20)


@pytest.mark.original
@pytest.mark.slow
def test_crops_from_the_originals_jpegs_are_exact(tmp_path: Path) -> None:
    try:
        ffmpeg = find_ffmpeg()
    except UsageError:
        pytest.skip("no ffmpeg program here")
    if not ffmpeg.version.startswith("5.1"):
        pytest.skip(f"the golden crops were cut from JPEGs of ffmpeg 5.1, here is {ffmpeg.version}")
    files = convert(ffmpeg, Sources(shared_file("clips", "latentsync_demo1.mp4")), tmp_path)
    assert len(files.pictures) == 251
    path = crop_path(track_shot(faces_of("main")).kept[0])
    with np.load(golden_file("crop_demo1.npz")) as want:
        for number, theirs in zip(want["crop_index"], want["crops_bgr"], strict=True):
            picture = read_picture(files.pictures[number])
            np.testing.assert_array_equal(crop_face(picture, path.x[number], path.y[number], path.half[number]), theirs)


@pytest.mark.parametrize(("x", "y"), [(60, 60), (5, 5), (115, 70), (60, 78), (-300, 60), (60, 400)])
def test_a_crop_equals_a_slice_of_the_bordered_frame(x: float, y: float) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    half = 20.3
    border = int(half * 1.8)
    bordered = np.pad(frame, ((border, border), (border, border), (0, 0)), constant_values=GREY)
    rows = slice(max(0, int(y + border - half)), max(0, int(y + border + half * 1.8)))
    columns = slice(max(0, int(x + border - half * 1.4)), max(0, int(x + border + half * 1.4)))
    piece = bordered[rows, columns]
    wanted = cv2.resize(piece, (224, 224)) if piece.size else np.full((224, 224, 3), GREY, np.uint8)
    np.testing.assert_array_equal(crop_face(frame, x, y, half), wanted)


def test_the_matched_tracker_keeps_neighbours_apart() -> None:
    """Two faces brush past each other; the order of the detections changes from frame to frame."""
    a, b = moving(100, 150, step=0.8), moving(180, 150)
    frames = [[a[n], b[n]] if n % 2 else [b[n], a[n]] for n in range(150)]
    tracks = track_shot(frames, tracker="matched").kept
    assert len(tracks) == 2
    starts = sorted(tracks, key=lambda track: track.boxes[0, 0])
    assert starts[0].boxes[-1, 0] == pytest.approx(a[-1].box[0])
    assert starts[1].boxes[-1, 0] == pytest.approx(b[-1].box[0])
    # The original takes whatever overlaps first, so a track of it ends on the other face.
    original = track_shot(frames).kept
    ends = {(round(t.boxes[0, 0]), round(t.boxes[-1, 0])) for t in original}
    assert ends != {(100, round(a[-1].box[0])), (180, 180)}


@pytest.mark.parametrize("tracker", ["original", "matched"])
def test_detections_between_are_interpolated(tracker: Tracker) -> None:
    face = moving(10, 300, step=1.0)
    frames = [[face[n]] if n % 5 == 0 else [] for n in range(300)]
    (track,) = track_shot(frames, first=40, tracker=tracker, min_track=20).kept
    assert (track.first, len(track), track.detections) == (40, 296, 60)
    np.testing.assert_allclose(track.boxes[:, 0], 10 + np.arange(296))


def detector_of_nothing() -> FaceDetector:
    return FaceDetector("none", "none", "0" * 64, detect=lambda frames: [[] for _ in frames])


def test_tracks_never_cross_a_cut_and_short_shots_say_so() -> None:
    found = [[face] for face in moving(50, 250)]
    tracking = Tracking(detector_of_nothing())
    scene = scene_of(found, [(0, 90), (90, 250)], tracking)
    assert [(t.first, t.stop) for t in scene.tracks.kept] == [(90, 250)]
    assert "90 detections" in scene.tracks.dropped[0][1]
    scene = scene_of(found, [(0, 90), (90, 250)], Tracking(detector_of_nothing(), min_track=50))
    assert [(t.first, t.stop) for t in scene.tracks.kept] == [(0, 90), (90, 250)]


def test_what_is_not_as_published_is_in_the_id() -> None:
    assert Tracking(detector_of_nothing()).marks == ["none"]
    changed = Tracking(detector_of_nothing(), "matched", 25, 5)
    assert changed.marks == ["none", "matched", "min25", "stride5"]
    assert changed.enough == 5
    for wrong in ({"stride": 0}, {"stride": 26}, {"min_track": -1}, {"tracker": "other"}):
        with pytest.raises(UsageError):
            Tracking(detector_of_nothing(), **wrong)  # type: ignore[arg-type]


def test_shots_of_made_up_pictures() -> None:
    shots = ShotDetector()
    grey, red = np.full((90, 160, 3), 100, np.uint8), np.zeros((90, 160, 3), np.uint8)
    red[..., 2] = 220
    for picture, count in ((grey, 20), (red, 5), (grey, 30), (red, 20)):
        for _ in range(count):
            shots.push(picture)
    # The second change comes 5 frames after the first and is passed over; so is nothing else.
    assert shots.cuts == [20, 55]
    assert shots.shots() == [(0, 20), (20, 55), (55, 75)]
    assert ShotDetector().shots() == []


def test_shots_of_the_stage_clip() -> None:
    """At 25 fps the cuts lie where PySceneDetect 0.5.1 puts them in the pipeline's AVI, 21 repeated frames on."""
    clip = shared_file("clips", "face_recognition_short_hamilton.mp4")
    shots = ShotDetector()
    for frame in read_frames(probe(clip), Fraction(25)):
        shots.push(frame)
    assert [cut - 21 for cut in shots.cuts] == pytest.approx([18, 70, 177], abs=1)


def test_shots_of_the_pipelines_own_avi(tmp_path: Path) -> None:
    clip = shared_file("clips", "face_recognition_short_hamilton.mp4")
    try:
        files = convert(find_ffmpeg(), Sources(clip), tmp_path)
    except UsageError:
        pytest.skip("no ffmpeg program here")
    shots = ShotDetector()
    for frame in read_frames(probe(files.video)):
        shots.push(frame)
    assert shots.cuts == [18, 70, 177]


def test_suppression_and_overlap_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 0, 0]], float)
    assert suppress(boxes, np.array([0.5, 0.9, 0.7, 0.1]), 0.3).tolist() == [1, 2, 3]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.3).tolist() == []
    assert overlap(boxes[3], boxes[3]) == 0
    track = Track(3, np.array([[0.0, 0, 10, 20], [0, 0, 30, 20]]), 2)
    assert (track.stop, track.size) == (5, 20.0)
