"""Robustness: what the changes do, and what the measure says of real talking faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import lse_bench_here

from lse_bench.doctor import selfcheck, selfcheck_published
from lse_bench.errors import UsageError
from lse_bench.manifests.layouts import read_corpus
from lse_bench.manifests.listed import ListedClip
from lse_bench.runs.robustness import CHANGES, later, louder, moved, robustness, through_8_khz, tighter
from lse_bench.sync.scorer import SyncScorer


def test_changes_are_small_and_known() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 3000, 16000).astype(np.int16)
    assert np.abs(louder(sound, -6) - sound / 10 ** (6 / 20)).max() <= 0.5 + 1e-9
    assert louder(np.array([30000], np.int16), 6)[0] == 32767
    late = later(sound, 3)
    assert len(late) == len(sound) and not late[:1920].any() and (late[1920:] == sound[:-1920]).all()
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.int16)
    shrill = (8000 * np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000)).astype(np.int16)
    assert np.abs(through_8_khz(tone)[500:-500].astype(int) - tone[500:-500]).max() < 100
    assert np.abs(through_8_khz(shrill)[500:-500]).max() < 100
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[50, 50] = 255
    assert np.argwhere(moved(frame)[:, :, 0])[0].tolist() == [53, 53]
    assert tighter(frame).shape == frame.shape and tighter(frame)[48:53, 48:53].any()


@pytest.mark.slow
def test_a_delay_moves_the_offset_and_little_else(corpus: Path, tmp_path: Path) -> None:
    _, listed = read_corpus(corpus)
    for clip in listed[:2]:
        (tmp_path / "clips").mkdir(exist_ok=True)
        (tmp_path / "clips" / f"{clip.id.replace('/', '_')}.mp4").symlink_to(clip.path)
    options = ("--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--robustness", 2, "--out", tmp_path / "run")
    ended = lse_bench_here("score", tmp_path / "clips", *options, "--json")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert json.loads((tmp_path / "run" / "robustness.json").read_text()) == result
    rows = result["changes"]
    assert set(rows) == {change.name for change in CHANGES}
    assert rows["sound 3 frames late"]["offset"]["mean"] == -3
    assert rows["written again"]["offset"]["largest"] == 0
    assert abs(rows["written again"]["lse_d"]["mean"]) < 0.3
    assert abs(rows["re-encoded, crf 35"]["lse_c"]["mean"]) > abs(rows["written again"]["lse_c"]["mean"])


def test_robustness_of_nothing_is_refused(narrow: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"")
    scorer = SyncScorer.load(narrow, protocol="lrs-lossless@1")
    with pytest.raises(UsageError, match="none of 1 clips can be scored.*bad.mp4"):
        robustness(scorer, [ListedClip("bad", "bad.mp4", tmp_path / "bad.mp4")])


def test_the_selfcheck_tells_right_from_wrong(corpus: Path, narrow: Path) -> None:
    clip = read_corpus(corpus)[1][0].path
    score = SyncScorer.load(narrow, protocol="lrs@1").score(clip)
    right = {"offset": score.offset, "lse_d": score.lse_d, "lse_c": score.lse_c}
    assert [finding.state for finding in selfcheck(clip, narrow, right)] == ["ok"] * 3
    assert [finding.state for finding in selfcheck(clip, narrow, right | {"lse_d": score.lse_d + 1})].count(
        "missing"
    ) == 1
    (absent,) = selfcheck_published()
    assert absent.fix == "lse-bench weights fetch syncnet_example syncnet_v2"
