"""`score --protocol tracked` and its kin, `fid --region face`: the real command."""

from __future__ import annotations

import json
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from commands import lse_bench_here
from conftest import shared_file
from test_cli import records_of

from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames


@pytest.fixture(scope="module")
def faces(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two MiniLRS clips, enlarged so that their faces are large enough for a track, and one without a face."""
    from lse_bench.minilrs.stage import write_stage

    folder = tmp_path_factory.mktemp("faces")
    for number, clip in enumerate(read_corpus(corpus)[1][:2]):
        write_stage([clip.path], folder / f"{number}.mp4", size=(400, 300), face=280)
    clips.good(folder / "wall.mp4")
    return folder


def test_tracked_with_overlay(faces: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "run", tmp_path / "seen"
    options = ("--weights", "syncnet-mini", "--protocol", "tracked", "--min-track", 50, "--stride", 5, "--json")
    result = lse_bench_here("score", faces, *options, "--out", out, "--overlay", seen, "--max-failed", 1)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["scored"] == 2 and summary["failed"] == {"no_face": 1} and summary["tracks"] == 2
    assert summary["key"]["protocol"] == "tracked@1:centerface:min50:stride5:all"
    assert json.loads((out / "run.json").read_text())["protocol"] == summary["key"]["protocol"]
    records = records_of(out)
    assert records["wall.mp4"]["tracks"] == []
    for name in ("0.mp4", "1.mp4"):
        assert records[name]["tracks"][0]["status"] == "ok"
    ids = {record["id"] for record in records.values() if record["status"] == "ok"}
    assert {path.stem for path in seen.iterdir()} == ids
    drawn = list(read_frames(probe(seen / "0.mp4")))
    plain = list(read_frames(probe(faces / "0.mp4")))
    assert len(drawn) == len(plain) == 75
    left, top, _, bottom = (int(value) for value in records["0.mp4"]["tracks"][0]["box"])
    changed = np.abs(drawn[40].astype(int) - plain[40]).max(axis=2) > 60
    assert changed[:, max(0, left - 12) : left + 12].any() and changed[top : bottom + 60].any()
    assert not changed[:10].any()
    other = lse_bench_here("score", faces, *options, "--out", out, "--track-rule", "best")
    assert other.returncode == 2 and "protocol differs" in other.stderr


def test_tracks_only(faces: Path, tmp_path: Path) -> None:
    options = ("--protocol", "tracked", "--tracks-only", "--min-track", 50, "--stride", 5, "--out", tmp_path)
    result = lse_bench_here("score", faces, *options)
    assert result.returncode == 1 and "wall.mp4: no_face" in result.stderr
    told = json.loads((tmp_path / "0.json").read_text())
    assert (
        told["frames"] == 75 and told["tracks"][0]["kept"] and told["shots"] == [{"first": 0, "last": 74, "frames": 75}]
    )
    assert told["tracking"]["stride"] == "5"
    picture = cv2.imread(str(tmp_path / "0.png"))
    assert picture is not None and picture.shape[1] == 1200 and len(np.unique(picture)) > 20


def test_without_s3fd_the_way_out_is_named(faces: Path) -> None:
    result = lse_bench_here("score", faces, "--weights", "syncnet-mini", "--protocol", "tracked-legacy")
    assert result.returncode == 2
    assert "lse-bench weights fetch sfd_face" in result.stderr and "--detector centerface" in result.stderr


def test_options_that_need_tracks_are_refused_elsewhere(faces: Path, narrow: Path) -> None:
    for option in (("--overlay", "x"), ("--tracks-only",), ("--detector", "centerface")):
        result = lse_bench_here("score", faces, "--weights", narrow, *option)
        assert result.returncode == 2 and "--protocol tracked" in result.stderr
    both = ("--detector", "centerface", "--boxes", faces)
    result = lse_bench_here("score", faces, "--weights", narrow, "--protocol", "tracked", *both)
    assert result.returncode == 2 and "--boxes is for --detector boxes" in result.stderr
    for options, words in {
        ("tracked", "--fps-policy", "bogus"): "Invalid value for '--fps-policy'",
        ("tracked", "--track-rule", "bogus"): "Invalid value for '--track-rule'",
        ("tracked-legacy",): "--tracks-only looks at frames as tracked@1 has them",
    }.items():
        result = lse_bench_here("score", faces, "--tracks-only", "--protocol", *options)
        assert result.returncode == 2 and words in result.stderr, result.stderr


@pytest.mark.slow
def test_fid_of_faces(faces: Path) -> None:
    options = ("--weights", "inception-mini", "--device", "cpu", "--json", "--groups", 0, "--frame-step", 15)
    result = lse_bench_here("fid", faces, faces, *options, "--region", "face")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["fid_id"].startswith("fid@1:face-centerface@2:640:0.2-")
    assert told["generated"]["frames"] == 10 and told["generated"]["without_face"] == 2
    assert all(int(size.split("x")[0]) < 280 for size in told["generated"]["sizes"])
    wrong = lse_bench_here("fid", faces, faces, *options, "--detector", "centerface")
    assert wrong.returncode == 2 and "for --region face" in wrong.stderr


@pytest.mark.slow
def test_real_portrait_and_stage_clips(narrow: Path, tmp_path: Path) -> None:
    """One track over nearly all of a portrait clip; the stage clip breaks at its cuts; times are said."""
    real = tmp_path / "real"
    real.mkdir()
    for name in ("latentsync_demo1", "face_recognition_short_hamilton", "musetalk_sun"):
        (real / f"{name}.mp4").symlink_to(shared_file("clips", f"{name}.mp4"))
    options = ("--weights", narrow, "--protocol", "tracked", "--max-failed", 1)
    result = lse_bench_here("score", real, *options, "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    records = records_of(tmp_path / "run")
    assert records["musetalk_sun.mp4"]["status"] == "no_audio"
    (track,) = [t for t in records["latentsync_demo1.mp4"]["tracks"] if t["status"] == "ok"]
    assert track["frames"] >= 0.98 * records["latentsync_demo1.mp4"]["frames"]
    stage = records["face_recognition_short_hamilton.mp4"]
    (track,) = [t for t in stage["tracks"] if t["status"] == "ok"]
    assert (track["first"], track["last"]) == (91, 198)
    assert any("a shot of" in t["reason"] or "detections" in t["reason"] for t in stage["tracks"] if t is not track)
    assert any("late picture" in w for w in stage["warnings"]) and any("resampled" in w for w in stage["warnings"])
