"""Measures of a scorer: closed forms, and slices of embeddings against clips that were really cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.sync.embed import embed_clip
from lse_bench.sync.quality import auc, lse, shifted_offset, window_wins
from lse_bench.sync.scorer import SyncScorer

RANDOM = np.random.default_rng(0).normal(size=(60, 8))


@pytest.mark.parametrize("shift", [-10, -1, 0, 3, 10])
def test_a_shift_is_found_with_its_sign(shift: int) -> None:
    assert shifted_offset(RANDOM, RANDOM, shift, 40, 10) == shift


def test_a_cut_beyond_the_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="60 windows: a cut of 50 from window 10 with sound 5 frames later"):
        shifted_offset(RANDOM, RANDOM, 5, 50, 10)


def test_windows_win_where_the_sound_is_theirs_and_half_where_it_is_anyones() -> None:
    won, pairs = window_wins(RANDOM, RANDOM)
    assert won == pairs
    assert pairs == sum(1 for i in range(60) for j in range(60) if 5 <= abs(i - j) <= 15)
    won, pairs = window_wins(RANDOM, np.random.default_rng(1).normal(size=(60, 8)))
    assert 0.3 < won / pairs < 0.7


def test_auc_counts_ties_half() -> None:
    assert auc([3, 4], [1, 2]) == 1
    assert auc([1], [1]) == 0.5
    assert auc([1, 3], [2]) == 0.5
    with pytest.raises(ValueError, match="at least one"):
        auc([], [1])


def test_a_slice_of_embeddings_scores_as_the_clip_that_was_cut(corpus: Path, tmp_path: Path) -> None:
    """Frames 10-59 with the sound 4 frames later: as a slice, and as a file of its own (lossless picture)."""
    clip = next(c for c in read_corpus(corpus)[1] if c.split == "test")
    scorer = SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1")
    lip, sound = embed_clip(scorer, clip.path)
    sliced = lse(lip[10:55], sound[14:59])
    frames = list(read_frames(probe(clip.path)))[10:60]
    samples = np.concatenate(list(read_sound(probe(clip.path))))[14 * 640 : 64 * 640]
    write_clip(tmp_path / "picture.mp4", frames, None, quality=0)
    replace_sound(tmp_path / "picture.mp4", samples, tmp_path / "cut.mp4")
    cut = scorer.score(tmp_path / "cut.mp4")
    assert cut.windows == sliced.windows == 45
    assert cut.offset == sliced.offset
    assert cut.lse_d == pytest.approx(sliced.lse_d, rel=0.03)  # AAC and x264 once more
    assert cut.lse_c == pytest.approx(sliced.lse_c, rel=0.08)
