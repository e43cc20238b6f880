"""Offsets of whole clips through the real network and command: planted delays, drifts and splices."""

from __future__ import annotations

import json
from pathlib import Path

import clips
import numpy as np
import pytest
from commands import lse_bench_here

from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.runs.records import read_records
from lse_bench.sync.scorer import SyncScorer

OPTIONS = ("--weights", "syncnet-mini", "--protocol", "lrs-lossless")


def moved(sound: np.ndarray, delay: int) -> np.ndarray:
    """The sound, later by `delay` milliseconds, with silence in the gap, of the same length."""
    samples = delay * 16
    gap = np.zeros(abs(samples), np.int16)
    return np.concatenate([gap, sound[: len(sound) - samples]] if samples >= 0 else [sound[-samples:], gap])


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clips of 20 s."""
    folder = tmp_path_factory.mktemp("talks")
    make_corpus(Spec(speakers=1, clips=2, seed=3, split="test", frames=500, style="plain"), folder, 1)
    return [clip.path for clip in read_corpus(folder)[1]]


@pytest.fixture(scope="module")
def speeches(talks: list[Path]) -> list[np.ndarray]:
    return [np.concatenate(list(read_sound(probe(path)))) for path in talks]


@pytest.mark.slow
def test_delays_below_a_frame_are_found_in_files_and_arrays(corpus: Path, tmp_path: Path) -> None:
    scorer = SyncScorer.load("syncnet-mini", protocol="lrs-lossless", device="cpu", search=1)
    found = sorted((corpus / "mvlrs_v1" / "main").rglob("*.mp4"))
    wrong = []
    for number, path in enumerate(found):
        delay = (-392, -152, -48, 8, 56, 104, 248, 368)[number % 8]
        sound = moved(np.concatenate(list(read_sound(probe(path)))), delay)
        score = scorer.score(path, clips.sound_file(tmp_path / f"{number}.wav", sound))
        assert score.offset_ms is not None and score.search is not None and score.search.offset_ms is not None
        assert score.offset_grade in ("not detectable", "detectable", "not acceptable")
        wrong.append(abs(score.offset_ms + delay))
        assert abs(score.search.offset_ms + delay) <= 40
    assert np.median(wrong) <= 8 and max(wrong) <= 40
    info = probe(found[0])
    frames = np.stack([frame[..., ::-1] for frame in read_frames(info)])
    again = scorer.score_arrays(frames, np.concatenate(list(read_sound(info))))
    whole = scorer.score(found[0])
    assert (again.offset_ms, again.offset_grade, again.search) == (whole.offset_ms, whole.offset_grade, whole.search)


@pytest.mark.slow
def test_a_splice_and_a_drift_are_told_drawn_and_stored(
    talks: list[Path], speeches: list[np.ndarray], tmp_path: Path
) -> None:
    late = moved(speeches[0], 200)
    spliced = np.concatenate([speeches[0][: 10 * 16000], late[10 * 16000 :]])
    places = np.arange(len(speeches[1])) * (1 + 240 / 60_000)  # 240 ms a minute: 80 ms over the clip
    drifting = np.interp(places, np.arange(len(speeches[1])), speeches[1], right=0).astype(np.int16)
    rows = ["id,clip,sound"]
    for name, path, sound in (
        ("plain", talks[0], speeches[0]),
        ("splice", talks[0], spliced),
        ("drift", talks[1], drifting),
    ):
        clips.sound_file(tmp_path / f"{name}.wav", sound)
        rows.append(f"{name},{path},{name}.wav")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    run, seen = tmp_path / "run", tmp_path / "seen"
    ended = lse_bench_here(
        "score", tmp_path / "list.csv", *OPTIONS, "--timeline", 4, "--overlay", seen, "--keep-windows", "--out", run
    )
    assert ended.returncode == 0, ended.stderr
    found = {record.id: record.timeline for record in read_records(run)}
    assert found["plain"] is not None and found["plain"].trend == "constant"
    assert found["splice"] is not None and found["splice"].trend == "jumps" and len(found["splice"].jumps) == 1
    assert found["splice"].jumps[0].at == pytest.approx(10, abs=0.5)
    assert found["splice"].jumps[0].after_ms - found["splice"].jumps[0].before_ms == pytest.approx(-200, abs=25)
    assert found["drift"] is not None and found["drift"].trend == "drift"
    assert found["drift"].ms_per_minute == pytest.approx(240, abs=60)
    assert "splice.wav" not in ended.stderr and "the offset jumps at" in ended.stderr
    assert "the offset drifts by +2" in ended.stderr
    line = json.loads((run / "timelines" / "splice.json").read_text())["clip"]
    assert line["seconds"] == 4 and len(line["pieces"]) == 9 and line["pieces"][1]["start"] == 2
    assert lse_bench_here("verify", run).returncode == 0
    drawn = [list(read_frames(probe(path))) for path in (seen / "splice.mp4", talks[0])]
    assert len(drawn[0]) == 500 and any((a != b).any() for a, b in zip(drawn[0][:3], drawn[1][:3], strict=True))
    own = lse_bench_here("score", talks[0], *OPTIONS, "--timeline", 4, "--out", tmp_path / "own")
    assert own.returncode == 0, own.stderr
    page = lse_bench_here("leaderboard", "build", f"mine={tmp_path / 'own'}", "--out", tmp_path / "page")
    assert page.returncode == 0, page.stderr
    shown = (tmp_path / "page" / "data.js").read_text()
    assert '"told":"constant"' in shown.replace(": ", ":") and '"offset_ms"' in shown
    other = lse_bench_here("score", tmp_path / "list.csv", *OPTIONS, "--timeline", 5, "--out", run)
    assert other.returncode == 2 and "timeline differs (4.0 and 5.0)" in other.stderr
    bare = lse_bench_here("score", talks[0], *OPTIONS, "--overlay", seen, "--out", tmp_path / "bare")
    assert bare.returncode == 2 and "--timeline SECONDS to draw the offset over time" in bare.stderr


@pytest.mark.slow
@pytest.mark.parametrize("rate", [30, 50])
def test_a_conversion_adds_nothing_to_the_offset(
    rate: int, talks: list[Path], speeches: list[np.ndarray], tmp_path: Path
) -> None:
    frames = list(read_frames(probe(talks[0])))[:150]
    shown = [frames[min(149, round(number * 25 / rate))] for number in range(6 * rate)]
    write_clip(tmp_path / "fast.mp4", shown, speeches[0][: 6 * 16000], rate)
    scorer = SyncScorer.load("syncnet-mini", protocol="lrs-lossless", fps_policy="resample", device="cpu")
    score = scorer.score(tmp_path / "fast.mp4")
    assert score.offset in (1, 2), "the rule of ffmpeg delays the picture by one and a half frames"
    assert score.offset_ms == pytest.approx(0, abs=15) and score.offset_grade == "not detectable"
    run = tmp_path / "run"
    options = (*OPTIONS, "--fps-policy", "resample", "--out", run)
    assert lse_bench_here("score", tmp_path / "fast.mp4", *options).returncode == 0
    (record,) = read_records(run)
    assert record.offset_ms == pytest.approx(score.offset_ms) and record.conversion_ms == pytest.approx(60, abs=0.01)
    assert lse_bench_here("verify", run).returncode == 0


@pytest.mark.slow
def test_a_search_changes_no_score(talks: list[Path], speeches: list[np.ndarray], tmp_path: Path) -> None:
    clips.sound_file(tmp_path / "late.wav", moved(speeches[0], 2400))
    for name, more in (("plain", ()), ("wide", ("--search", 3))):
        score = ("score", talks[0], "--sound", tmp_path / "late.wav", *OPTIONS, *more, "--out", tmp_path / name)
        assert lse_bench_here(*score).returncode == 0
    (plain,), (wide,) = (read_records(tmp_path / name) for name in ("plain", "wide"))
    assert wide.search is not None and wide.search.offset_ms == pytest.approx(-2400, abs=40)
    assert plain.search is None and wide.model_copy(update={"search": None}) == plain
    assert (wide.offset_grade == "unknown" and "best shift" not in "".join(wide.warnings)) or wide.warnings
