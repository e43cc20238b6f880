"""syncnet-mini: what the package ships is what the table and the card say, and it hears what it should."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.sync.scorer import SyncScorer
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import path_of, state_of
from lse_bench.weights.table import entry


@pytest.fixture(scope="module")
def scorer() -> SyncScorer:
    return SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1")


def test_the_shipped_file_is_the_one_in_the_table_and_on_the_card() -> None:
    item = entry("syncnet-mini")
    assert state_of(item) == "ok"
    assert path_of(item).stat().st_size < 8e6
    card = path_of(item).with_name("syncnet-mini.md").read_text(encoding="utf-8")
    assert file_digest(path_of(item)) in card


def test_real_clips_are_in_step_and_foreign_sound_scores_worse(
    scorer: SyncScorer, corpus: Path, tmp_path: Path
) -> None:
    clips = [clip for clip in read_corpus(corpus)[1] if clip.split != "train"]
    own, foreign = [], []
    for clip, other in zip(clips, clips[2:] + clips[:2], strict=True):
        assert clip.video != other.video
        own.append(scorer.score(clip.path))
        replace_sound(clip.path, np.concatenate(list(read_sound(probe(other.path)))), tmp_path / "foreign.mp4")
        foreign.append(scorer.score(tmp_path / "foreign.mp4"))
    assert sum(abs(score.offset) <= 1 for score in own) >= len(own) - 1
    assert np.mean([s.lse_c for s in own]) > np.mean([s.lse_c for s in foreign]) + 1
    assert np.mean([s.lse_d for s in own]) < np.mean([s.lse_d for s in foreign])


def test_a_delay_shows_in_the_offset_and_not_in_the_scores(scorer: SyncScorer, corpus: Path, tmp_path: Path) -> None:
    clip = next(clip for clip in read_corpus(corpus)[1] if clip.split == "test")
    sound = np.concatenate(list(read_sound(probe(clip.path))))
    replace_sound(clip.path, np.concatenate([np.zeros(5 * 640, np.int16), sound[: -5 * 640]]), tmp_path / "late.mp4")
    before, after = scorer.score(clip.path), scorer.score(tmp_path / "late.mp4")
    assert abs(after.offset - before.offset + 5) <= 1
    assert after.lse_c == pytest.approx(before.lse_c, rel=0.25)


def test_it_reads_the_mouth(scorer: SyncScorer, corpus: Path, tmp_path: Path) -> None:
    """Covering the eyes changes little; covering the mouth, or freezing the picture, ends all confidence."""
    clip = next(clip for clip in read_corpus(corpus)[1] if clip.split == "test")
    frames = list(read_frames(probe(clip.path)))
    sound = np.concatenate(list(read_sound(probe(clip.path))))

    def confidence(changed: list[np.ndarray]) -> float:
        write_clip(tmp_path / "changed.mp4", changed, sound)
        return scorer.score(tmp_path / "changed.mp4").lse_c

    def covered(top: int, bottom: int) -> list[np.ndarray]:
        return [cv2.rectangle(frame.copy(), (0, top), (160, bottom), (90, 90, 90), -1) for frame in frames]

    whole = confidence(frames)
    assert confidence(covered(0, 75)) > 0.5 * whole
    assert confidence(covered(85, 160)) < 0.5 * whole
    assert confidence([frames[0]] * len(frames)) < 0.5 * whole
