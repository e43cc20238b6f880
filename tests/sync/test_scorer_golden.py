"""Scores of the original system on the golden clips, with the calibrated checkpoint."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import GOLDEN, WITHOUT_JPEG, golden_file

from lse_bench.errors import ClipError, UsageError
from lse_bench.features.syncnet_mfcc import mfcc
from lse_bench.media.clip_files import ClipFiles
from lse_bench.sync.distance import CurveSum
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.syncnet import FastSyncNet, SyncNet
from lse_bench.sync.windows import read_windows


@pytest.mark.slow
@pytest.mark.original
@pytest.mark.parametrize("clip", ["a", "b", "d"])
def test_from_stored_jpegs_and_sound(clip: str, calibrated_state: dict[str, torch.Tensor]) -> None:
    """The original's own JPEG files and sound: features to 3e-5, curve and scores to 1e-5, offset exactly."""
    with np.load(golden_file(f"jpg_clip_{clip}.npz")) as stored:
        data, offsets = stored["data"], stored["offsets"]
    frames = [cv2.imdecode(data[a:b], cv2.IMREAD_COLOR) for a, b in pairwise(offsets)]
    planes = np.stack([cv2.resize(frame, (224, 224)).transpose(2, 0, 1) for frame in frames])
    with np.load(golden_file(f"lrs_clip_{clip}.npz")) as golden:
        samples = golden["audio"]
        assert len(frames) == int(golden["n_frames"])
    columns = torch.from_numpy(mfcc(samples).astype(np.float32))
    count = min(len(frames), len(samples) // 640) - 5
    network = FastSyncNet(SyncNet.from_state(calibrated_state))
    lips = torch.from_numpy(np.stack([planes[i : i + 5].reshape(15, 224, 224) for i in range(count)])).float()
    sounds = torch.stack([columns[None, :, 4 * i : 4 * i + 20] for i in range(count)])
    lip, sound = network.lip(lips).numpy(), network.sound(sounds).numpy()
    total = CurveSum()
    total.push(lip, sound)
    score = total.finish()
    with np.load(golden_file(f"lrs_cal_clip_{clip}.npz")) as golden:
        np.testing.assert_allclose(lip, golden["lip"], rtol=0, atol=6e-5)
        np.testing.assert_allclose(sound, golden["aud"], rtol=0, atol=6e-5)
        np.testing.assert_allclose(score.curve, golden["mdist"], rtol=0, atol=1.2e-5)
        assert score.lse_d == pytest.approx(float(golden["lse_d"]), abs=1e-5)
        assert score.lse_c == pytest.approx(float(golden["lse_c"]), abs=1e-5)
        assert score.offset == int(golden["offset"])


@pytest.mark.original
@pytest.mark.parametrize("clip", list(WITHOUT_JPEG))
def test_lossless(clip: str, calibrated: Path) -> None:
    scorer = SyncScorer.load(calibrated, protocol="lrs-lossless@1", fps_policy="as-is", device="cpu")
    (outcome,) = scorer.score_all([(0, golden_file(f"clip_{clip}.mp4"))])
    assert outcome.score is not None
    distance, confidence, offset, windows, frames, samples = WITHOUT_JPEG[clip]
    assert outcome.score.lse_d == pytest.approx(distance, abs=1e-4)
    assert outcome.score.lse_c == pytest.approx(confidence, abs=1e-4)
    found = (outcome.score.offset, outcome.score.windows, outcome.facts.frames, outcome.facts.samples)
    assert found == (offset, windows, frames, samples)


@pytest.mark.original
@pytest.mark.parametrize("clip", ["a", "b", "c", "d"])
def test_with_the_jpeg_step(clip: str, calibrated: Path) -> None:
    """Against ffmpeg 9.0.2. Clip a differs in one frame, where a byte of the encoder's name tips rate control."""
    expected = json.loads((GOLDEN / "scores.json").read_text())["ffmpeg_9_same_clips"][f"cal/{clip}"]
    score = SyncScorer.load(calibrated, fps_policy="as-is", device="cpu").score(golden_file(f"clip_{clip}.mp4"))
    to_distance, to_confidence = (0.01, 0.005) if clip == "a" else (1e-4, 1e-4)
    assert score.lse_d == pytest.approx(expected["lse_d"], abs=to_distance)
    assert score.lse_c == pytest.approx(expected["lse_c"], abs=to_confidence)
    assert (score.offset, score.windows) == (expected["offset"], expected["windows"])


@pytest.mark.original
def test_another_frame_rate_is_refused_by_default(calibrated: Path) -> None:
    scorer = SyncScorer.load(calibrated, protocol="lrs-lossless@1", device="cpu")
    with pytest.raises(ClipError, match=r"clip_c.mp4: 29.97 fps, but LSE is defined at 25 fps") as caught:
        scorer.score(golden_file("clip_c.mp4"))
    assert caught.value.status == "wrong_fps"


def test_batch_and_workers_never_change_a_number(narrow: Path, tmp_path: Path) -> None:
    import clips

    paths = [clips.good(tmp_path / f"{n}.mp4", 0.6 + 0.3 * n, seed=n) for n in range(5)]
    scores = {}
    for options in ({}, {"batch_size": 1}, {"batch_size": 7}, {"batch_size": 64}, {"workers": 3}):
        scorer = SyncScorer.load(narrow, protocol="lrs-lossless@1", device="cpu", **options)
        outcomes = {o.clip: o.score for o in scorer.score_all(enumerate(paths))}
        scores[str(options)] = np.stack([outcomes[n].curve for n in range(5)])
        alone = scorer.score(paths[3])
        assert np.allclose(alone.curve, outcomes[3].curve, rtol=1e-12, atol=0)
    plain = scores.pop("{}")
    for options, curves in scores.items():
        assert np.allclose(curves, plain, rtol=1e-12, atol=0), options


def test_reading_ahead_is_given_up_cleanly(narrow: Path, tmp_path: Path) -> None:
    import threading

    import clips

    paths = [clips.good(tmp_path / f"{n}.mp4", 2.0, seed=n) for n in range(4)]
    outcomes = SyncScorer.load(narrow, device="cpu", workers=2, protocol="lrs-lossless").score_all(enumerate(paths))
    next(outcomes)
    outcomes.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader-")]


def test_memory_holds_a_few_chunks_whatever_the_length(tmp_path: Path) -> None:
    import clips

    from lse_bench.sync.feed import feed
    from lse_bench.sync.protocol import PROTOCOLS
    from lse_bench.sync.times import Times

    path = clips.good(tmp_path / "long.mp4", 20)
    read = partial(_read, protocol=PROTOCOLS["lrs-lossless@1"])
    events = feed([(0, path)], read, 1, Times())
    assert len(list(islice(events, 3))) == 3
    events.close()
    assert _read.chunks < 12, "the reader waits for the network"  # type: ignore[attr-defined]


def _read(path, facts, *, protocol):  # type: ignore[no-untyped-def]
    _read.chunks = 0  # type: ignore[attr-defined]
    for chunk in read_windows(ClipFiles(path), protocol, "require-25", facts):
        _read.chunks += 1  # type: ignore[attr-defined]
        yield chunk


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "tpu"}, "no device called tpu"),
        ({"precision": "fp8"}, "no precision called fp8"),
        ({"fps_policy": "any"}, "no frame rate policy called any"),
        ({"batch_size": 0}, "batch size 0"),
        ({"workers": -1}, "-1 workers"),
    ],
)
def test_wrong_options_are_named(narrow: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SyncScorer.load(narrow, **options)  # type: ignore[arg-type]
