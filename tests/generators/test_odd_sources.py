"""Sources that cannot be redrawn: a picture that changes its size, and one without any face."""

from __future__ import annotations

import struct
from pathlib import Path

import clips
import cv2
import numpy as np
from painter import Painter, call, manifest, rows_of

from lse_bench.faces.detectors import FaceDetector
from lse_bench.generators.builtin import Unsynced
from lse_bench.generators.interface import Options
from lse_bench.generators.run import generate_run
from lse_bench.media.pictures import read_picture
from lse_bench.media.probe import probe
from lse_bench.media.video import of_one_size, read_frames


def of_two_sizes(path: Path) -> Path:
    """A second of 112x112 and one of 64x64, in one stream."""
    parts = [
        clips.write(path.with_name(f"{side}.ts"), clips.even(25), clips.speech(1.0), size=(side, side)).read_bytes()
        for side in (112, 64)
    ]
    path.write_bytes(b"".join(parts))
    return path


def test_a_size_that_changes_is_named_where_a_face_is_followed(tmp_path: Path) -> None:
    of_two_sizes(tmp_path / "two.mp4")
    clips.good(tmp_path / "other.mp4", 1.6)
    done = generate_run(call(Painter(), manifest(("two", "other")), tmp_path, tmp_path / "painted"))
    assert done.failed == {"generator_failed": 1}
    reason = rows_of(tmp_path / "painted")["two+other"].reason
    assert reason is not None and "its picture changes from 112x112 to 64x64 in frame 2" in reason
    assert "ValueError" not in reason


def test_a_size_that_changes_is_kept_or_made_one_elsewhere(tmp_path: Path) -> None:
    source = of_two_sizes(tmp_path / "two.mp4")
    clips.good(tmp_path / "other.mp4", 1.6)
    done = generate_run(call(Unsynced(Options()), manifest(("two", "other")), tmp_path, tmp_path / "unsynced"))
    assert done.made == 1
    shapes = {frame.shape for frame in of_one_size(read_frames(probe(source), 25))}  # type: ignore[arg-type]
    assert shapes == {(112, 112, 3)}


def test_a_video_without_any_face_is_none(tmp_path: Path) -> None:
    clips.good(tmp_path / "long.mp4")
    clips.good(tmp_path / "other.mp4", 1.2)
    blind = FaceDetector("blind", "blind", "0" * 64, lambda seen: [[] for _ in seen])
    pairs = manifest(("long", "other"))
    done = generate_run(call(Painter(), pairs, tmp_path, tmp_path / "out", blind, faceless="keep-frame"))
    assert done.made == 0 and done.failed == {"no_face": 1}
    reason = rows_of(tmp_path / "out")["long+other"].reason
    assert reason is not None and "no face in any of its 30 frames" in reason
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_a_turn_noted_beside_a_picture_is_left_out(tmp_path: Path) -> None:
    """As pytorch-fid reads pictures; a JPEG of 8x16 whose EXIF data asks for a quarter turn."""
    picture = np.zeros((16, 8, 3), np.uint8)
    _, encoded = cv2.imencode(".jpg", picture)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    content = bytes(encoded)
    turned = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]
    (tmp_path / "turned.jpg").write_bytes(turned)
    as_usual = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert as_usual is not None and as_usual.shape == (8, 16, 3), "OpenCV sees the note"
    assert read_picture(tmp_path / "turned.jpg").shape == (16, 8, 3)
