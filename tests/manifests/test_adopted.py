"""Finished videos of other people, found by a list of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lse_bench.errors import UsageError, no_such
from lse_bench.manifests.adopted import adopt
from lse_bench.manifests.manifest import Job, Manifest, checked


@pytest.fixture
def pairs() -> Manifest:
    jobs = tuple(checked(Job, id=name, video=f"{name}.mp4", sound=f"{name}.wav", groups={}) for name in "abc")
    return checked(Manifest, name="pairs", corpus="own", jobs=jobs)


def test_a_pair_that_the_list_lacks_has_no_video_though_a_file_bears_its_id(pairs: Manifest, tmp_path: Path) -> None:
    for name in ("1.mp4", "2.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "map.csv").write_text("id,video\na,./1.mp4\nb,2.mp4\n")
    found = adopt(tmp_path, pairs, str(tmp_path / "map.csv"))
    assert [clip.path.name for clip in found.clips[:2]] == ["1.mp4", "2.mp4"] and found.extra == ["c.mp4"]
    assert found.clips[2].absent is not None and "--names does not have it" in found.clips[2].absent.reason
    assert found.sentences()[0].startswith("2 of 3 pairs of pairs have a video")
    assert found.sentences()[1] == "missing, and counted as failed clips: c"


def test_one_video_of_two_pairs_is_refused_however_it_is_written(pairs: Manifest, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("id,video\na,1.mp4\nb,./1.mp4\n")
    with pytest.raises(UsageError, match="row 2: video: 1.mp4 is the video of two pairs, a and b"):
        adopt(tmp_path, pairs, str(tmp_path / "map.csv"))


def test_a_list_whose_videos_are_all_lost_names_one_of_them(pairs: Manifest, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("id,video\nb,2.mp4\n")
    with pytest.raises(UsageError, match=r"For the pair b the file 2\.mp4 is needed; it holds no videos"):
        adopt(tmp_path, pairs, str(tmp_path / "map.csv"))


def test_an_unknown_name_among_thousands_gives_the_nearest_and_a_short_list() -> None:
    told = no_such("pair", "clip_12345x", [f"clip_{number:05d}" for number in range(20_000)])
    assert "Did you mean clip_12345?" in told and told.endswith(", … (20000 in all)") and len(told) < 800
