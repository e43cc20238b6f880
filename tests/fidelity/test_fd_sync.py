"""fd-sync: zero for a set with itself, larger the more mouths are spoiled, and never called FID."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import lse_bench_here

from lse_bench.errors import UsageError
from lse_bench.fidelity.fd_sync import LipSet, compare_lips, measure_lips
from lse_bench.fidelity.frechet import Statistics
from lse_bench.fidelity.sources import Item
from lse_bench.manifests.layouts import CorpusClip, read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.sync.scorer import SyncScorer


def spoken(corpus: Path) -> list[CorpusClip]:
    return [clip for clip in read_corpus(corpus)[1] if clip.split == "test"]


def blurred(corpus: Path, out: Path, sigma: float) -> Path:
    out.mkdir()
    for number, clip in enumerate(spoken(corpus)):
        frames = (cv2.GaussianBlur(frame, (0, 0), sigma) for frame in read_frames(probe(clip.path)))
        sound = np.concatenate(list(read_sound(probe(clip.path))))
        write_clip(out / f"{number}.mp4", frames, sound)
    return out


@pytest.mark.slow
def test_fd_sync_grows_with_the_damage(corpus: Path, tmp_path: Path) -> None:
    scorer = SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1")

    def measured(paths: list[Path]) -> LipSet:
        return measure_lips(scorer, [Item(path.stem, path) for path in paths])

    real = measured([clip.path for clip in spoken(corpus)])
    values = [
        compare_lips(
            measured(sorted(blurred(corpus, tmp_path / str(sigma), sigma).iterdir())), real, scorer.key
        ).fd_sync
        for sigma in (1.5, 4)
    ]
    assert abs(compare_lips(real, real, scorer.key).fd_sync or 0) < 1e-6 * real.statistics.covariance.trace()
    assert values[0] and values[1] and 0 < values[0] < values[1]


@pytest.mark.slow
def test_the_command_counts_failures_and_names_the_weights(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    clip = next(corpus.glob("mvlrs_v1/main/*/*.mp4"))
    (folder / "good.mp4").write_bytes(clip.read_bytes())
    (folder / "bad.mp4").write_bytes(b"not a video")
    result = lse_bench_here("fd-sync", folder, corpus, "--weights", "syncnet-mini", "--json")
    assert result.returncode == 1
    assert "1 clips failed" in result.stderr
    content = json.loads(result.stdout)
    assert content["generated"]["failed"] == {"bad": content["generated"]["failed"]["bad"]}
    assert content["generated"]["windows"] == 70
    assert content["key"]["protocol"] == "lrs-lossless@1"
    assert content["key"]["weights"] == "syncnet-mini"
    assert "fid" not in content
    assert "singular" in content["warnings"][0]


def test_a_set_without_windows_is_refused() -> None:
    with pytest.raises(UsageError, match="0 windows of 0 clips"):
        compare_lips(LipSet(Statistics.empty(4)), LipSet(Statistics.empty(4)), {})
