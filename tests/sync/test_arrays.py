"""Clips in memory: equal to the file, refused with a guess at the cause, whatever the caller's process is set to."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import lse_bench
from lse_bench.errors import ClipError, UsageError
from lse_bench.fidelity.inception import FidInception
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.sync.distance import LseScore
from lse_bench.sync.scorer import SyncScorer


@pytest.fixture(scope="module")
def clip(corpus: Path) -> Path:
    return sorted(corpus.rglob("*.mp4"))[0]


@pytest.fixture(scope="module")
def arrays(clip: Path) -> tuple[np.ndarray, np.ndarray]:
    info = probe(clip)
    frames = np.stack(list(read_frames(info)))[..., ::-1]
    return frames, np.concatenate(list(read_sound(info)))


@pytest.fixture(scope="module")
def scorer() -> SyncScorer:
    return SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1", device="cpu")


def near(one: LseScore, other: LseScore) -> bool:
    same = np.allclose(one.curve, other.curve, rtol=0, atol=1e-6)
    return same and abs(one.lse_d - other.lse_d) < 1e-6 and abs(one.lse_c - other.lse_c) < 1e-6


def test_arrays_score_as_their_file(scorer: SyncScorer, clip: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    frames, sound = arrays
    file = scorer.score(clip)
    assert file.signature == scorer.score_arrays(frames, sound).signature
    assert file.signature.startswith("lrs-lossless@1|syncnet-mini:") and "|fps:25|fp32|lse-bench:" in file.signature
    for ours in (
        scorer.score_arrays(frames, sound),
        scorer.score_arrays(list(frames), sound.astype(np.float32) / 32768, fps=25.0),
        scorer.score_arrays(torch.from_numpy(frames.copy()).permute(0, 3, 1, 2), torch.from_numpy(sound)[None]),
    ):
        assert near(ours, file) and ours.offset == file.offset and ours.windows == file.windows


def test_other_rates_are_converted_and_said(arrays: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    frames, sound = arrays
    with pytest.raises(ClipError, match="fps_policy='resample'"):
        SyncScorer.load("syncnet-mini", protocol="lrs-lossless").score_arrays(frames, sound, fps=30)
    scorer = SyncScorer.load("syncnet-mini", protocol="lrs-lossless", fps_policy="resample")
    write_clip(tmp_path / "30.mp4", frames[..., ::-1], sound, 30)
    info = probe(tmp_path / "30.mp4")
    shown = np.stack(list(read_frames(info)))[..., ::-1]
    score, file = scorer.score_arrays(shown, np.concatenate(list(read_sound(info))), 30), scorer.score(info.path)
    assert near(score, file) and score.signature == file.signature and "|fps:resample|" in score.signature
    assert score.warnings[0] == file.warnings[0] and "resampled from 30.00 to 25 fps" in file.warnings[0]
    slow = np.interp(np.arange(0, len(sound), 0.5), np.arange(len(sound)), sound).astype(np.int16)
    faster = scorer.score_arrays(frames, slow, sample_rate=32_000)
    assert faster.lse_d == pytest.approx(scorer.score_arrays(frames, sound).lse_d, abs=0.2)


def test_what_is_wrong_with_an_array_is_guessed(scorer: SyncScorer, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    frames, sound = arrays
    for wrong, told in (
        ((frames / 255, sound), "Were they normalised"),
        ((frames.transpose(0, 3, 1, 2), sound), r"Did you pass \(T, 3, H, W\)"),
        ((torch.from_numpy(frames.copy()), sound), r"Did you pass \(T, H, W, 3\)"),
        ((frames, sound.astype(np.float32)), "Were these int16 samples"),
        ((frames, np.stack([sound, sound])), "average the channels"),
        ((frames, sound.astype(np.int32)), "int32"),
        (([frames[0], frames[1][:50]], sound), "one size; resize them first"),
        ((frames, sound, 25, 22_050.5), "whole number of samples"),
        ((frames, sound, 25, 10), "sound of 10 Hz"),
        ((frames, sound, float("nan")), "fps=nan"),
    ):
        with pytest.raises(UsageError, match=told):
            scorer.score_arrays(*wrong)  # type: ignore[arg-type]
    half = torch.from_numpy(sound).to(torch.bfloat16) / 32768
    assert scorer.score_arrays(frames, half, sample_rate=16_000.0).windows == scorer.score_arrays(frames, sound).windows  # type: ignore[arg-type]
    with pytest.raises(ClipError, match="5 frames, but 6 are needed"):
        scorer.score_arrays(frames[:5], sound)
    with pytest.raises(UsageError, match="lrs-lossless@1 or tracked@1"):
        SyncScorer.load("syncnet-mini").score_arrays(frames, sound)
    silent = scorer.score_arrays(np.repeat(frames[:1], 30, axis=0), np.zeros(20_000, np.int16))
    assert {text.split(":")[0] for text in silent.warnings} >= {"silent sound", "still picture"}


def test_embeddings_alone_give_the_score() -> None:
    lip = np.random.default_rng(0).normal(size=(60, 8))
    score = lse_bench.lse(lip, np.roll(lip, 4, axis=0))
    assert score.offset == -4 and score.windows == 60
    with pytest.raises(ValueError, match=r"Did you pass \(D, N\)"):
        lse_bench.lse(lip.T, lip.T[:, :50])


@contextlib.contextmanager
def _set(read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def _attribute(owner: Any, name: str, value: Any) -> AbstractContextManager[None]:
    return _set(lambda: getattr(owner, name), lambda new: setattr(owner, name, new), value)


STATES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast bf16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default dtype bf16": lambda: _set(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16),
    "default dtype float64": lambda: _set(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "default device meta": lambda: torch.device("meta"),
    "TF32": lambda: _attribute(torch.backends.cuda.matmul, "allow_tf32", True),
    "cuDNN benchmark": lambda: _attribute(torch.backends.cudnn, "benchmark", True),
    "matmul precision": lambda: _set(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"),
    "one thread": lambda: _set(torch.get_num_threads, torch.set_num_threads, 1),
    "deterministic": lambda: _set(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "NumPy raises": lambda: np.errstate(all="raise"),
    "OpenCV one thread": lambda: _set(cv2.getNumThreads, cv2.setNumThreads, 1),
    "OpenCV plain": lambda: _set(cv2.useOptimized, cv2.setUseOptimized, False),
    "warnings are errors": warnings.catch_warnings,
}


def process_state() -> dict[str, Any]:
    """What of this process others own."""
    return {
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": (torch.get_num_threads(), cv2.getNumThreads()),
        "optimised": cv2.useOptimized(),
        "gradients": torch.is_grad_enabled(),
        "random": (torch.get_rng_state().sum().item(), random.getstate()[1][:3], np.random.get_state()[1][:3].tolist()),  # type: ignore[index]
        "errors": np.geterr(),
        "warnings": len(warnings.filters),
        "signals": (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)),
        "folder": Path.cwd(),
        "environment": dict(os.environ),
    }


@pytest.mark.parametrize("state", STATES)
def test_the_callers_state_moves_no_score_and_is_left_alone(
    state: str, clip: Path, arrays: tuple[np.ndarray, np.ndarray], scorer: SyncScorer
) -> None:
    wanted = scorer.score(clip)
    with STATES[state]():
        before = process_state()
        loaded = SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1", device="cpu")
        found = [loaded.score_arrays(*arrays), scorer.score_arrays(*arrays), loaded.score(clip)]
        after = process_state()
    assert after == before
    assert all(near(score, wanted) for score in found)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["autocast bf16", "default dtype bf16", "default device meta", "cuDNN benchmark"])
def test_the_callers_state_moves_no_inception_feature(state: str, inception_state: dict[str, torch.Tensor]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    wanted = FidInception(inception_state).features(frames)
    with STATES[state]():
        before = process_state()
        found = FidInception(inception_state).features(frames)
        assert process_state() == before
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
