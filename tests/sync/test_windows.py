from __future__ import annotations

from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import torch

from lse_bench.errors import ClipError, UsageError
from lse_bench.features.syncnet_mfcc import mfcc
from lse_bench.media.audio import read_sound
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.probe import probe
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.protocol import PROTOCOLS, comparison_key, get_protocol
from lse_bench.sync.windows import CHUNK, Chunk, fill_lips, read_windows, sound_windows

LOSSLESS = PROTOCOLS["lrs-lossless@1"]


def test_windows_are_frames_and_columns_in_step(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mp4", clips.even(60), clips.speech(2.4), size=(96, 128))
    facts = ClipFacts()
    chunks = list(read_windows(ClipFiles(path), LOSSLESS, "require-25", facts))
    assert sum(map(len, chunks)) == facts.windows == 55
    assert all(len(chunk) <= CHUNK for chunk in chunks)
    capture = cv2.VideoCapture(str(path))
    frames = [cv2.resize(capture.read()[1], (224, 224)).transpose(2, 0, 1) for _ in range(60)]
    columns = mfcc(np.concatenate(list(read_sound(probe(path)))))
    first = 0
    for chunk in chunks:
        assert np.array_equal(chunk.frames, np.stack(frames[first : first + len(chunk) + 4]))
        last = 4 * (first + len(chunk) - 1) + 20
        assert np.array_equal(chunk.mfcc, columns[:, 4 * first : last].astype(np.float32))
        first += len(chunk)


@pytest.mark.parametrize("start", [0, 3])
def test_windows_are_laid_out_as_the_network_takes_them(start: int) -> None:
    """Window n of a chunk: frames n to n+4, each with its three colours, the channels of a pixel side by side."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (11, 3, 224, 224), dtype=np.uint8)
    chunk = Chunk(frames, random.normal(size=(13, 4 * 6 + 20)).astype(np.float32))
    rows = torch.zeros(4, 15, 224, 224, dtype=torch.uint8).to(memory_format=torch.channels_last)
    fill_lips(rows, chunk, start)
    for number, row in enumerate(rows):
        window = frames[start + number : start + number + 5].reshape(15, 224, 224)
        assert np.array_equal(row.numpy(), window)
    sounds = sound_windows(chunk)
    assert sounds.shape == (7, 1, 13, 20)
    assert all(np.array_equal(sounds[n, 0], chunk.mfcc[:, 4 * n : 4 * n + 20]) for n in range(7))


@pytest.mark.parametrize(("frames", "seconds", "windows"), [(6, 1.0, 1), (30, 0.3, 3), (21, 0.84, 16), (22, 2.0, 17)])
def test_the_count_is_one_short_like_the_original(tmp_path: Path, frames: int, seconds: float, windows: int) -> None:
    facts = ClipFacts()
    path = clips.write(tmp_path / "clip.mp4", clips.even(frames), clips.speech(seconds))
    found = sum(map(len, read_windows(ClipFiles(path), LOSSLESS, "require-25", facts)))
    assert found == windows == min(facts.frames, facts.samples // 640) - 5
    assert facts.frames == frames


def test_policies_for_thirty_frames_a_second(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "thirty.mp4", clips.even(60, 30), clips.speech(2), fps=30)
    with pytest.raises(ClipError, match="30.00 fps, but LSE is defined at 25 fps") as caught:
        list(read_windows(ClipFiles(path), LOSSLESS, "require-25", ClipFacts()))
    assert caught.value.status == "wrong_fps"
    counted = {}
    for policy in ("resample", "as-is"):
        facts = ClipFacts()
        list(read_windows(ClipFiles(path), LOSSLESS, policy, facts))
        counted[policy] = facts.frames
        assert facts.fps == 30 and len(facts.warnings) >= 1
    assert counted["as-is"] == 60 and 50 <= counted["resample"] <= 52


def test_protocols_are_named_and_versioned() -> None:
    assert get_protocol("lrs").id == "lrs@1"
    with pytest.raises(UsageError, match="Did you mean lrs-lossless@1"):
        get_protocol("lrs-losless@1")
    with_jpeg = comparison_key(PROTOCOLS["lrs@1"], "ab", "require-25", "fp32")
    without = comparison_key(LOSSLESS, "ab", "require-25", "fp32")
    assert "ffmpeg" in with_jpeg and "ffmpeg" not in without
