"""The sound of another file, a part of a long file, and one of several sounds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import clips
import imageio_ffmpeg
import numpy as np
import pytest
from commands import lse_bench_here

from lse_bench.errors import ClipError, UsageError
from lse_bench.faces.detectors import load_detector
from lse_bench.faces.tracking import Tracking
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.listed import list_digest
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.runs.records import read_records
from lse_bench.sync.scorer import SyncScorer


@pytest.fixture(scope="module")
def scorer() -> SyncScorer:
    return SyncScorer.load("syncnet-mini", protocol="lrs-lossless", device="cpu")


@pytest.fixture(scope="module")
def talker(corpus: Path) -> Path:
    return min(corpus.rglob("*.mp4"))


@pytest.fixture(scope="module")
def speech(talker: Path) -> np.ndarray:
    return np.concatenate(list(read_sound(probe(talker))))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("suffix", "rate"), [(".wav", 16000), (".wav", 48000), (".mp3", 48000), (".flac", 48000),
                                              (".opus", 48000), (".m4a", 48000)])  # fmt: skip
def test_another_files_sound_scores_like_the_muxed_clip(
    suffix: str, rate: int, channels: int, talker: Path, speech: np.ndarray, scorer: SyncScorer, tmp_path: Path
) -> None:
    sound = clips.sound_file(tmp_path / f"speech{suffix}", speech, rate, channels)
    together = scorer.score(clips.muxed(talker, [sound], tmp_path / "together.mkv"))
    apart = scorer.score(talker, sound)
    assert apart.windows == together.windows
    np.testing.assert_allclose(apart.curve, together.curve, rtol=0, atol=1e-6)


@pytest.mark.parametrize("protocol", ["lrs", "lrs-lossless"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_part_scores_like_the_cut_clip(
    protocol: str, elsewhere: bool, talker: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    scorer = SyncScorer.load("syncnet-mini", protocol=protocol, device="cpu")
    sound = clips.sound_file(tmp_path / "speech.wav", speech) if elsewhere else None
    whole = scorer.score(clips.cut(talker, 10, 60, tmp_path / "cut.mkv"))
    part = scorer.score(talker, sound, start=0.4, end=2.4)
    assert part.windows == whole.windows == 45
    np.testing.assert_allclose(part.curve, whole.curve, rtol=0, atol=1e-6)
    rounded = scorer.score(talker, sound, start=0.41, end=2.39)
    np.testing.assert_array_equal(rounded.curve, part.curve)


def test_arrays_take_the_same_part(talker: Path, speech: np.ndarray, scorer: SyncScorer) -> None:
    info = probe(talker)
    frames = np.stack([frame[..., ::-1] for frame in read_frames(info, info.video.rate if info.video else None)])
    wanted = scorer.score(talker, start=0.4, end=2.4)
    found = scorer.score_arrays(frames, speech, start=0.4, end=2.4)
    np.testing.assert_array_equal(found.curve, wanted.curve)
    with pytest.raises(ClipError, match="the part starts at 9 s, but the picture ends at 3.00 s"):
        scorer.score_arrays(frames, speech, start=9)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [(-1, None, "start = -1: a part starts at 0 s or later"), (2, 2, "end = 2: a part ends after its start, 2 s"),
     (float("nan"), None, "start = nan"), (None, float("inf"), "end = inf")],
)  # fmt: skip
def test_what_is_no_part_is_refused(
    start: float | None, end: float | None, words: str, talker: Path, scorer: SyncScorer
) -> None:
    with pytest.raises(UsageError, match=words):
        scorer.score(talker, start=start, end=end)


def test_one_of_several_sounds(talker: Path, speech: np.ndarray, scorer: SyncScorer, tmp_path: Path) -> None:
    own = clips.sound_file(tmp_path / "own.wav", speech)
    foreign = clips.sound_file(tmp_path / "foreign.wav", np.roll(speech, 9000))
    both = clips.muxed(talker, [foreign, own], tmp_path / "both.mkv", ["spa", "eng"])
    chosen = scorer.score(both)
    assert any("2 sounds: stream 1" in text and "as the ffmpeg program chooses it" in text for text in chosen.warnings)
    for wanted in ("2", "eng", "ENG"):
        asked = SyncScorer.load("syncnet-mini", protocol="lrs-lossless", device="cpu", sound_stream=wanted)
        score = asked.score(both)
        np.testing.assert_array_equal(score.curve, scorer.score(talker, own).curve)
        assert f"sound_stream:{wanted}" in score.signature
        assert any("2 sounds: stream 2" in text and "as it was asked for" in text for text in score.warnings)
    for wanted, words in (("3", "no sound stream number 3; the file has 2 sounds: 1 "), ("kor", "in the language kor")):
        asked = SyncScorer.load("syncnet-mini", protocol="lrs-lossless", device="cpu", sound_stream=wanted)
        with pytest.raises(ClipError, match=words):
            asked.score(both)
    twice = clips.muxed(talker, [foreign, own], tmp_path / "twice.mkv", ["eng", "eng"])
    with pytest.raises(ClipError, match="2 sound streams in the language eng; .* Give the number"):
        SyncScorer.load("syncnet-mini", device="cpu", sound_stream="eng").score(twice)


def test_a_folder_of_sounds(talker: Path, speech: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        clips.write(tmp_path / "videos" / f"{name}.mp4", clips.even(60))  # silent video, as a model writes it
        clips.sound_file(tmp_path / "sounds" / f"{name}.wav", speech)
    score = ("score", tmp_path / "videos", "--weights", "syncnet-mini", "--protocol", "lrs-lossless")
    options = ("--sounds", tmp_path / "sounds", "--out", tmp_path / "run")
    ended = lse_bench_here(*score, *options)
    assert ended.returncode == 0, ended.stderr
    first = json.loads((tmp_path / "run" / "records.jsonl").read_text().splitlines()[0])
    assert (first["sound"], first["sound_seconds"], first["sound_stream"]) == ("a.wav", 3.008, 0)
    assert len(first["sound_sha256"]) == 64 and first["sound_sha256"] != first["sha256"]
    assert any("sound longer than picture: 3.01 s against 2.40 s" in text for text in first["warnings"])
    checked = lse_bench_here("verify", tmp_path / "run", "--json")
    assert checked.returncode == 0 and '"sounds": 2' in checked.stdout
    clips.sound_file(tmp_path / "sounds" / "a.wav", speech[::-1].copy())
    changed = lse_bench_here(*score, *options)
    assert changed.returncode == 2 and "a.wav has changed since this run recorded it" in changed.stderr
    told = lse_bench_here("verify", tmp_path / "run")
    assert "a.wav: the file is not the one that was scored" in told.stdout + told.stderr
    clips.sound_file(tmp_path / "sounds" / "b.flac", speech)
    two = lse_bench_here(*score, "--sounds", tmp_path / "sounds", "--out", tmp_path / "two")
    assert two.returncode == 2 and "1 clips have several sounds: b has b.flac, b.wav" in two.stderr
    for name in ("b.wav", "b.flac"):
        (tmp_path / "sounds" / name).unlink()
    none = lse_bench_here(*score, "--sounds", tmp_path / "sounds", "--out", tmp_path / "none")
    assert none.returncode == 2 and "no sound for 1 of 2 clips: b." in none.stderr


def test_one_file_is_verified_where_it_lies(
    talker: Path, speech: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(talker, "talk.mp4")
    clips.sound_file(Path("speech.wav"), speech)
    command = ("score", "talk.mp4", "--sound", "speech.wav", "--weights", "syncnet-mini", "--protocol", "lrs-lossless")
    assert lse_bench_here(*command, "--out", "run").returncode == 0
    checked = lse_bench_here("verify", "run")
    assert checked.returncode == 0, checked.stdout
    whole = [tmp_path / word if str(word).endswith((".mp4", ".wav")) else word for word in command]
    again = lse_bench_here(*whole, "--out", "run")
    assert again.returncode == 0, again.stderr
    page = lse_bench_here("leaderboard", "build", "mine=run", "--out", "page")
    assert page.returncode == 0 and not list(Path("page").rglob("*.mp4")), "it would play a sound that was not scored"


def test_fix_moves_the_sound_that_was_heard(talker: Path, speech: np.ndarray, tmp_path: Path) -> None:
    late = clips.sound_file(tmp_path / "late.wav", np.concatenate([np.zeros(3200, np.int16), speech])[: len(speech)])
    hum = clips.sound_file(tmp_path / "hum.wav", clips.speech(3))
    clips.muxed(talker, [hum, late], tmp_path / "clips" / "two.mkv", ["spa", "eng"])
    score = ("--weights", "syncnet-mini", "--protocol", "lrs-lossless")
    first = lse_bench_here("score", tmp_path / "clips", *score, "--sound-stream", "eng", "--out", tmp_path / "run")
    assert first.returncode == 0, first.stderr
    assert lse_bench_here("gate", tmp_path / "run", "--fix", "--out", tmp_path / "gated").returncode == 0
    assert lse_bench_here("score", tmp_path / "gated" / "fixed", *score, "--out", tmp_path / "again").returncode == 0
    (before,), (after,) = (read_records(tmp_path / name) for name in ("run", "again"))
    assert before.offset_ms == pytest.approx(-200, abs=20) and after.offset_ms == pytest.approx(0, abs=20)


def test_a_list_names_sounds_and_parts(talker: Path, speech: np.ndarray, scorer: SyncScorer, tmp_path: Path) -> None:
    clips.sound_file(tmp_path / "speech.wav", speech)
    (tmp_path / "talk.mp4").symlink_to(talker)
    head, rows = "clip,sound,start,end", ["talk.mp4,speech.wav,,", "talk.mp4,,0.4,2.4", "talk.mp4,lost.wav,0,1"]
    (tmp_path / "list.csv").write_text("\n".join([head, *rows]))
    clips_listed = find_clips([tmp_path / "list.csv"])
    assert [one.id for one in clips_listed] == ["talk", "talk@0.4-2.4", "talk@0-1"]
    arguments = ("score", tmp_path / "list.csv", "--weights", "syncnet-mini", "--protocol", "lrs-lossless")
    ended = lse_bench_here(*arguments, "--out", tmp_path / "run", "--max-failed", 1)
    assert ended.returncode == 0, ended.stderr
    found = {record.id: record for record in read_records(tmp_path / "run")}
    assert found["talk@0-1"].status == "unreadable" and "lost.wav" in (found["talk@0-1"].reason or "")
    part = found["talk@0.4-2.4"]
    assert (part.start, part.end, part.seconds, part.frames) == (0.4, 2.4, 2.0, 50)
    np.testing.assert_allclose(part.curve or [], scorer.score(talker, start=0.4, end=2.4).curve, rtol=0, atol=1e-9)
    refused = lse_bench_here("fid", tmp_path / "run", tmp_path / "run")
    assert refused.returncode == 2 and "talk.mp4: is a part of a file (start, end)" in refused.stderr
    (tmp_path / "list.csv").write_text("\n".join([head, rows[0], "talk.mp4,,0.4,2.0", rows[2]]))
    assert list_digest(find_clips([tmp_path / "list.csv"])) != list_digest(clips_listed), "parts are in the digest"


def test_tracked_protocols_hear_other_files_too(talker: Path, speech: np.ndarray, tmp_path: Path) -> None:
    scorer = SyncScorer.load(
        "syncnet-mini", protocol="tracked", device="cpu", tracking=Tracking(load_detector("centerface"), min_track=20)
    )
    sound = clips.sound_file(tmp_path / "speech.wav", speech)
    own, apart = scorer.score(talker), scorer.score(talker, sound)
    np.testing.assert_allclose(apart.curve, own.curve, rtol=0, atol=1e-6)
    whole = scorer.score(clips.cut(talker, 10, 60, tmp_path / "cut.mkv"))
    np.testing.assert_allclose(scorer.score(talker, start=0.4, end=2.4).curve, whole.curve, rtol=0, atol=1e-6)


def test_the_published_pipeline_hears_other_files_too(talker: Path, speech: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / f"{talker.stem}.npz", boxes=np.tile([20.0, 20, 140, 140], (80, 1)))
    tracking = Tracking(load_detector("boxes", boxes=tmp_path), min_track=20)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    options = {"protocol": "tracked-legacy", "tracking": tracking, "ffmpeg": program, "device": "cpu"}
    scorer = SyncScorer.load("syncnet-mini", **options)
    sound = clips.sound_file(tmp_path / "speech.wav", speech)
    muxed = clips.muxed(talker, [sound], tmp_path / f"{talker.stem}.mkv")
    own, apart = scorer.score(muxed), scorer.score(talker, sound)
    np.testing.assert_allclose(apart.curve, own.curve, rtol=0, atol=1e-6)
    both = clips.muxed(talker, [clips.sound_file(tmp_path / "x.wav", np.roll(speech, 9000)), sound],
                       tmp_path / "two" / f"{talker.stem}.mkv")  # fmt: skip
    asked = SyncScorer.load("syncnet-mini", **options, sound_stream="2")
    np.testing.assert_allclose(asked.score(both).curve, own.curve, rtol=0, atol=1e-6)
    cover = clips.covered(talker, tmp_path / f"{talker.stem}.mp4")
    np.testing.assert_allclose(scorer.score(cover, sound).curve, own.curve, rtol=0, atol=1e-6)
    part, whole = scorer.score(talker, sound, start=0.4, end=2.4), scorer.score(talker, sound)
    assert whole.windows - part.windows == pytest.approx(25, abs=2)
