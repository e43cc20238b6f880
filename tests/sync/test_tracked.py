"""Whole videos: the published scores of a real video, both protocols, and MiniLRS faces on a stage."""

from __future__ import annotations

import contextlib
import json
from itertools import pairwise
from pathlib import Path

import clips
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from conftest import GOLDEN, golden_file, shared_file

from lse_bench.errors import ClipError, UsageError, WeightsError
from lse_bench.faces.detectors import FaceDetector, load_detector
from lse_bench.faces.face import Face
from lse_bench.faces.tracking import Scene, Tracking
from lse_bench.faces.tracks import Track, Tracks
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.probe import probe
from lse_bench.media.program import find_ffmpeg
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.stage import write_stage
from lse_bench.runs.outcomes import track_rows
from lse_bench.runs.records import read_records
from lse_bench.runs.run import score_run
from lse_bench.sync.batch import ClipOutcome
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.distance import combine
from lse_bench.sync.embed import embed_chunk
from lse_bench.sync.protocol import get_protocol
from lse_bench.sync.quality import lse
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.tracked import windows_of_pictures

# Of the golden track 0: LSE-D and LSE-C of the original through every codec step (ffmpeg 5.1.9), and of its functions
# with clean frames and sound (the reference measured both).
PUBLISHED = (12.326457023620605, 0.07740211486816406)
CLEAN = (12.3176, 0.0675)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """The detections that the golden track 0 was made of, as files beside the clip."""
    folder = tmp_path_factory.mktemp("boxes")
    main = json.loads((GOLDEN / "scenefaces.json").read_text())["main"]
    (folder / "latentsync_demo1.json").write_text(json.dumps(main))
    return Tracking(load_detector("boxes", boxes=folder))


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two MiniLRS faces in a larger frame, 110 frames, the left one talking."""
    root = tmp_path_factory.mktemp("stage")
    make_corpus(Spec(speakers=2, clips=1, seed=7, split="test", style="plain", frames=110), root / "corpus", workers=2)
    write_stage([clip.path for clip in read_corpus(root / "corpus")[1]], root / "stage.mp4", size=(640, 320), face=280)
    return root / "stage.mp4"


@pytest.fixture(scope="module")
def found(staged: Path) -> ClipOutcome:
    scorer = SyncScorer.load("syncnet-mini", protocol="tracked", tracking=centerface(stride=5))
    (outcome,) = scorer.score_all([(0, staged)])
    return outcome


def centerface(**options: int) -> Tracking:
    return Tracking(load_detector("centerface"), **options)  # type: ignore[arg-type]


@pytest.mark.original
@pytest.mark.slow
def test_the_stored_jpegs_and_sound_give_the_published_scores(calibrated: Path) -> None:
    network = SyncScorer.load(calibrated, protocol="lrs-lossless").network
    lips, sounds = [], []
    with np.load(golden_file("jpg_real_video_crop.npz")) as held:
        edges = held["offsets"]
        pieces = (held["data"][a:b] for a, b in pairwise(edges))
        pictures = [np.asarray(cv2.imdecode(piece, cv2.IMREAD_COLOR), np.uint8) for piece in pieces]
        for chunk in windows_of_pictures(pictures, held["audio"]):
            lip, sound = embed_chunk(network, chunk)
            lips.append(lip)
            sounds.append(sound)
    score = lse(np.concatenate(lips), np.concatenate(sounds))
    with np.load(golden_file("real_video_scores_cal.npz")) as want:
        np.testing.assert_allclose(score.curve, want["mdist"], rtol=0, atol=1e-5)
        assert score.lse_d == pytest.approx(want["lse_d"], abs=1e-5)
        assert score.lse_c == pytest.approx(want["lse_c"], abs=1e-5)
        assert (score.offset, score.windows) == (want["offset"], len(want["lip"]))


@pytest.mark.slow
def test_tracked_legacy_from_the_source_clip(calibrated: Path, stored: Tracking) -> None:
    clip = shared_file("clips", "latentsync_demo1.mp4")
    programs = [imageio_ffmpeg.get_ffmpeg_exe()]
    with contextlib.suppress(UsageError):
        programs.append(find_ffmpeg().path)
    for program in programs:
        scorer = SyncScorer.load(calibrated, protocol="tracked-legacy", tracking=stored, ffmpeg=program)
        (outcome,) = scorer.score_all([(0, clip)])
        assert outcome.failure is None
        score = outcome.tracks[0]
        # As published by ffmpeg 5.1 and, since OpenCV writes the XVID file, by OpenCV 5.0.
        same = scorer.ffmpeg is not None and scorer.ffmpeg.version.startswith("5.1") and cv2.__version__ >= "5"
        limit = 1e-3 if same else 0.05
        assert score.lse_d == pytest.approx(PUBLISHED[0], abs=limit), program
        assert score.lse_c == pytest.approx(PUBLISHED[1], abs=limit), program
        assert (score.offset, score.windows) == (0, 155)
        assert scorer.ffmpeg is not None and scorer.ffmpeg.version in scorer.key["ffmpeg"]


@pytest.mark.slow
def test_tracked_is_the_original_without_codecs_and_shifts(calibrated: Path, stored: Tracking) -> None:
    scorer = SyncScorer.load(calibrated, protocol="tracked", tracking=stored)
    (outcome,) = scorer.score_all([(0, shared_file("clips", "latentsync_demo1.mp4"))])
    assert outcome.tracks[0].lse_d == pytest.approx(CLEAN[0], abs=1e-4)
    assert outcome.tracks[0].lse_c == pytest.approx(CLEAN[1], abs=1e-4)
    assert len(outcome.tracks) == 2 and outcome.failure is None


@pytest.mark.slow
def test_the_talking_face_is_the_more_confident(found: ClipOutcome) -> None:
    assert found.failure is None and len(found.tracks) == 2
    assert found.facts.scene is not None
    left, right = sorted(range(2), key=lambda n: found.facts.scene.tracks.kept[n].boxes[0, 0])  # type: ignore[union-attr]
    assert found.tracks[left].lse_c > found.tracks[right].lse_c
    assert abs(found.tracks[left].offset) <= 1


@pytest.mark.slow
def test_a_track_depends_on_nothing_around_it(staged: Path, found: ClipOutcome, tmp_path: Path) -> None:
    """Another batch size, other clips in the batch, reading ahead: the same numbers."""
    clips.good(tmp_path / "none.mp4")
    scorer = SyncScorer.load(
        "syncnet-mini", protocol="tracked", tracking=centerface(stride=5), batch_size=24, workers=2
    )
    outcomes = {o.clip: o for o in scorer.score_all([(0, tmp_path / "none.mp4"), (1, staged), (2, staged)])}
    assert outcomes[0].failure is not None and outcomes[0].failure.status == "no_face"
    for clip in (1, 2):
        for number, score in found.tracks.items():
            np.testing.assert_allclose(outcomes[clip].tracks[number].curve, score.curve, atol=1e-6)


@pytest.mark.slow
def test_rules_records_and_summaries(staged: Path, found: ClipOutcome, tmp_path: Path) -> None:
    scores = list(found.tracks.values())
    best = combine(scores, "best")
    assert best is max(scores, key=lambda score: score.lse_c)
    mean = combine(scores, "mean")
    assert mean.lse_d == pytest.approx(np.mean([score.lse_d for score in scores]))
    assert mean.windows == sum(score.windows for score in scores) and mean.offset == best.offset
    seen = {}
    for rule in ("all", "mean", "best"):
        scorer = SyncScorer.load(
            "syncnet-mini", protocol="tracked", tracking=centerface(stride=5, min_track=50), track_rule=rule
        )
        assert scorer.key["protocol"] == f"tracked@1:centerface:min50:stride5:{rule}"
        summary = score_run(scorer, find_clips([staged]), tmp_path / rule, overlay=tmp_path / "seen", keep_windows=True)
        seen[rule] = (summary.lse_c.n, summary.lse_c.mean)
    assert [n for n, _ in seen.values()] == [2, 1, 1]
    assert seen["all"][1] == pytest.approx(seen["mean"][1])
    assert seen["best"][1] == pytest.approx(best.lse_c)
    (record,) = read_records(tmp_path / "all")
    assert record.tracks is not None
    kept = [track for track in record.tracks if track.status == "ok"]
    assert len(kept) == 2 and all(track.windows == track.frames - 5 for track in kept)
    assert (tmp_path / "seen" / f"{record.id}.mp4").stat().st_size > 10_000
    with np.load(tmp_path / "all" / "windows" / f"{record.id}.npz") as held:
        assert sorted(held.files) == ["track_0", "track_1"]
        assert held["track_0"].shape == (kept[0].windows, 31)


def test_late_and_variable_files_are_put_on_25_fps_and_say_so(narrow: Path, tmp_path: Path) -> None:
    """A detector that sees one face everywhere; the record tells what was done to the times."""
    tracking = Tracking(face_everywhere(), min_track=20)
    scorer = SyncScorer.load(narrow, protocol="tracked", tracking=tracking)
    still = {"size": (200, 200), "still": True}
    uneven = [t for n, t in enumerate(clips.even(80)) if n % 7]
    made = {
        "late picture": clips.write(tmp_path / "late.mp4", clips.even(60, start=1.0), clips.speech(3.4), **still),
        "resampled from 30.00": clips.write(
            tmp_path / "thirty.mp4", clips.even(90, 30), clips.speech(3), fps=30, **still
        ),
        "variable frame rate": clips.write(tmp_path / "gaps.mp4", uneven, clips.speech(3.2), **still),
    }
    for word, path in made.items():
        (outcome,) = scorer.score_all([(0, path)])
        assert outcome.failure is None
        assert any(word in warning for warning in outcome.facts.warnings), outcome.facts.warnings
        (track,) = outcome.facts.scene.tracks.kept  # type: ignore[union-attr]
        assert len(track) == outcome.facts.frames
    with pytest.raises(ClipError, match="30.00 fps, but LSE is defined at 25"):
        SyncScorer.load(narrow, protocol="tracked", tracking=tracking, fps_policy="require-25").score(
            made["resampled from 30.00"]
        )


def face_everywhere() -> FaceDetector:
    """A detector that sees the same face in every frame."""
    return FaceDetector(
        "one", "one", "0" * 64, detect=lambda frames: [[Face(np.array([30.0, 30, 160, 160]), 1.0)] for _ in frames]
    )


def test_what_is_not_scored_has_a_status(narrow: Path, tmp_path: Path) -> None:
    short = clips.write(tmp_path / "short.mp4", clips.even(60), clips.speech(2.4), (200, 200), still=True)
    soundless = clips.write(tmp_path / "soundless.mp4", clips.even(60), None, (200, 200), still=True)
    brief = clips.write(tmp_path / "brief.mp4", clips.even(60), clips.speech(0.1), (200, 200), still=True)
    scorer = SyncScorer.load(narrow, protocol="tracked", tracking=Tracking(face_everywhere()))
    lower = SyncScorer.load(narrow, protocol="tracked", tracking=Tracking(face_everywhere(), min_track=30))
    for path, one, status, word in (
        (short, scorer, "no_track", "--min-track lowers the limit"),
        (soundless, scorer, "no_audio", "no sound stream"),
        (brief, lower, "too_short", "0.24 s"),
    ):
        (outcome,) = one.score_all([(0, path)])
        assert outcome.failure is not None and outcome.failure.status == status
        assert word in outcome.failure.reason
    (outcome,) = lower.score_all([(0, short)])
    assert outcome.failure is None and len(outcome.tracks) == 1


def test_stored_boxes_come_from_the_right_file(tmp_path: Path, narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.write(tmp_path / "clips" / "a.mp4", clips.even(60), clips.speech(2.4), (200, 200), still=True)
    boxes = tmp_path / "boxes"
    (boxes / "clips").mkdir(parents=True)
    np.savez(boxes / "clips" / "a.npz", boxes=np.tile([20.0, 20, 170, 170], (60, 1)))
    tracking = Tracking(load_detector("boxes", boxes=boxes), min_track=30)
    scorer = SyncScorer.load(narrow, protocol="tracked", tracking=tracking)
    assert scorer.score(clip).windows == 55
    digest = scorer.key["detector_sha256"]
    np.savez(boxes / "clips" / "a.npz", boxes=np.tile([25.0, 20, 170, 170], (60, 1)))
    assert load_detector("boxes", boxes=boxes).weights_sha256 != digest
    (boxes / "clips" / "a.npz").unlink()
    with pytest.raises(ClipError, match="no boxes for it"):
        scorer.score(clip)
    monkeypatch.chdir(clip.parent)
    np.savez(boxes / "clips" / "a.npz", boxes=np.tile([20.0, 20, 170, 170], (60, 1)))
    assert scorer.score("a.mp4").windows == 55  # where the clip lies decides, not how its path is written
    np.savez(boxes / "clips" / "a.npz", boxes=np.ones((60, 3)))
    with pytest.raises(ClipError, match=r"a\.npz holds no valid boxes.*\(60, 3\)"):
        scorer.score(clip)
    (boxes / "clips" / "a.npz").write_bytes(b"PK cut")
    with pytest.raises(ClipError, match=r"a\.npz holds no valid boxes"):
        scorer.score(clip)
    (boxes / "clips" / "a.npz").unlink()
    for content in ("[[{}]]", "not json", '[[{"bbox": [3, 3, 1, 1]}]]'):
        (boxes / "a.json").write_text(content)
        with pytest.raises(ClipError, match=r"a\.json holds no valid boxes"):
            scorer.score(clip)


def test_legacy_warns_too(tmp_path: Path, narrow: Path) -> None:
    sound = np.zeros(int(16000 * 2.4), np.int16)
    clip = clips.write(tmp_path / "mute.mp4", clips.even(72, 30), sound, (200, 200), fps=30, still=True)
    (tmp_path / "mute.json").write_text(json.dumps([[{"bbox": [30, 30, 160, 160]}]] * 70))
    tracking = Tracking(load_detector("boxes", boxes=tmp_path), min_track=20)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    scorer = SyncScorer.load(narrow, protocol="tracked-legacy", tracking=tracking, ffmpeg=program)
    (outcome,) = scorer.score_all([(0, clip)])
    assert outcome.failure is None
    told = [warning.split(":")[0] for warning in outcome.facts.warnings]
    assert told == ["silent sound", "resampled from 30.00 to 25 fps", "still picture"]


def test_overlays_follow_the_scored_rate_and_cost_no_score(tmp_path: Path, narrow: Path) -> None:
    clips.write(tmp_path / "clips" / "fifty.mp4", clips.even(80, 50), clips.speech(1.6), (200, 200), fps=50, still=True)
    tracking = Tracking(face_everywhere(), min_track=20)
    scorer = SyncScorer.load(narrow, protocol="tracked", tracking=tracking, fps_policy="as-is")
    problems: list[str] = []
    (tmp_path / "file").touch()
    for out, overlay in (("run", "seen"), ("blocked", "file/below"), ("run", "new")):
        listed = find_clips([tmp_path / "clips"])
        score_run(scorer, listed, tmp_path / out, overlay=tmp_path / overlay, on_problem=problems.append)
        assert [record.status for record in read_records(tmp_path / out)] == ["ok"]
    video = probe(tmp_path / "seen" / "fifty.mp4").video
    assert video is not None and (video.frames, video.rate) == (80, 50)
    assert ["fifty.mp4: no overlay" in text for text in problems] == [True, True]
    assert "it was scored before" in problems[1]


def test_many_dropped_tracks_are_counted() -> None:
    box = np.array([[1.0, 2, 30, 40]])
    dropped = [
        (Track(number, np.repeat(box, 1 + number % 7, axis=0), 1 + number % 7), "too few") for number in range(80)
    ]
    facts = ClipFacts(scene=Scene(100, [(0, 100)], 200, Tracks([], dropped)))
    rows = track_rows(ClipOutcome(0, facts, None, None, {}))
    assert rows is not None and len(rows) == 51
    assert rows[0].detections == 7 and rows[-1].reason == "30 more tracks, each of 3 detections at most"
    assert sum(row.detections or 0 for row in rows) == sum(track.detections for track, _ in dropped)


def test_refusals_name_the_way_out(narrow: Path, tmp_path: Path, stored: Tracking) -> None:
    with pytest.raises(UsageError, match="lse-bench weights fetch sfd_face"):
        SyncScorer.load(narrow, protocol="tracked-legacy")
    with pytest.raises(UsageError, match="use tracked@1 for anything else"):
        SyncScorer.load(narrow, protocol="tracked-legacy", tracking=centerface())
    with pytest.raises(UsageError, match="does not use a face detector"):
        SyncScorer.load(narrow, tracking=stored)
    with pytest.raises(UsageError, match="apt-get install ffmpeg"):
        SyncScorer.load(narrow, protocol="tracked-legacy", tracking=stored, ffmpeg=tmp_path / "nothing")
    with pytest.raises(UsageError, match="no track rule called some"):
        SyncScorer.load(narrow, protocol="tracked", tracking=stored, track_rule="some")
    with pytest.raises(UsageError, match="Did you mean centerface"):
        load_detector("centreface")
    with pytest.raises(UsageError, match="with a file for each clip"):
        load_detector("boxes", boxes=tmp_path / "nothing")
    with pytest.raises(WeightsError, match="SyncNet"):
        load_detector("s3fd", weights=narrow)
    assert get_protocol("tracked").fps_policy == "resample"
    assert torch.cuda.is_available() or SyncScorer.load(narrow, protocol="tracked").device == "cpu"
