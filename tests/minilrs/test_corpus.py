"""Corpora: the layouts of the real ones, the same pixels whatever the workers, resumed after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import killed, lse_bench_here

from lse_bench.choices import Flavour
from lse_bench.errors import UsageError
from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec, plan_clips, speaker_of
from lse_bench.minilrs.summary import CorpusSummary
from lse_bench.minilrs.truth import truth_path

SMALL = Spec(speakers=3, clips=2, seed=6, frames=30)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CorpusSummary]:
    out = tmp_path_factory.mktemp("small") / "corpus"
    return out, make_corpus(SMALL, out, workers=1)


@pytest.mark.slow
def test_two_workers_make_the_same_corpus(small: tuple[Path, CorpusSummary], tmp_path: Path) -> None:
    other = make_corpus(SMALL, tmp_path / "two", workers=2)
    assert (other.digest, other.files_digest) == (small[1].digest, small[1].files_digest)
    assert make_corpus(Spec(speakers=3, clips=2, seed=7, frames=30), tmp_path / "seed", 1).digest != other.digest


@pytest.mark.command
def test_a_killed_corpus_goes_on_and_ends_the_same(small: tuple[Path, CorpusSummary], tmp_path: Path) -> None:
    out = tmp_path / "killed"
    options = ["--speakers", "3", "--clips", "2", "--seed", "6", "--frames", "30", "--out", str(out), "--workers", "1"]
    record = out / "minilrs" / "clips.jsonl"
    killed("lse_bench.minilrs.corpus:make_clip", 3, "minilrs", *options)
    done = [json.loads(line) for line in record.read_text().splitlines()]
    assert len(done) == 2
    with record.open("a") as file:
        file.write('{"id": "half a li')
    kept, damaged = (out / item["path"] for item in done[:2])
    before = kept.stat().st_mtime_ns
    damaged.write_bytes(b"damaged")
    result = lse_bench_here("minilrs", *options, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["digest"] == small[1].digest
    assert kept.stat().st_mtime_ns == before
    assert damaged.stat().st_size > 1000


def test_another_corpus_is_not_mixed_in(small: tuple[Path, CorpusSummary], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds a corpus with another seed .6, now 8."):
        make_corpus(Spec(speakers=3, clips=2, seed=8, frames=30), small[0])
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="already holds something else"):
        make_corpus(SMALL, tmp_path)


@pytest.mark.parametrize(("flavour", "size", "frames"), [("lrs2", 160, 50), ("lrs3", 224, 50), ("lrw", 256, 29)])
def test_each_flavour_is_read_as_the_real_corpus(flavour: Flavour, size: int, frames: int, tmp_path: Path) -> None:
    spec = Spec(flavour=flavour, speakers=3, clips=1, seed=2, frames=None if flavour == "lrw" else frames)
    make_corpus(spec, tmp_path / "c", workers=1)
    found, clips = read_corpus(tmp_path / "c")
    assert found == flavour
    assert len(clips) == 3
    assert {clip.split for clip in clips} == ({"trainval", "test"} if flavour == "lrs3" else {"train", "val", "test"})
    for clip in clips:
        info = probe(clip.path)
        assert info.video is not None
        assert info.sound is not None
        assert (info.video.width, info.video.height, info.video.rate) == (size, size, 25)
        assert len(list(read_frames(info))) == frames
        assert info.sound.rate == 16_000
        samples = sum(len(block) for block in read_sound(info))
        assert 0 <= samples - frames * 640 < 2048  # AAC fills its last block
        assert clip.text
        with np.load(truth_path(clip.path, tmp_path / "c"), allow_pickle=False) as truth:
            assert truth["boxes"].shape == (frames, 4)
            assert truth["landmarks"].shape == (frames, 68, 2)
            assert truth["lips"].shape == (frames, 7)
            assert len(truth["phonemes"]) == len(truth["phoneme_times"]) > 3
            if flavour == "lrw":
                times = truth["word_times"][[word.upper() == clip.text for word in truth["words"]]]
                assert np.abs(times.mean(axis=1) - frames / 50).min() < 0.05  # the word in the middle


def test_text_files_are_the_real_ones(small: tuple[Path, CorpusSummary], tmp_path: Path) -> None:
    test_list = (small[0] / "test.txt").read_text().splitlines()
    assert len(test_list) == 2
    for line in test_list:
        name, tag = line.split()
        assert len(name) == 25
        assert name[:19].isdigit()
        assert tag in ("NF", "MV")
        text = (small[0] / "mvlrs_v1" / "main" / f"{name}.txt").read_text().splitlines()
        assert text[0].startswith("Text:  ")
        assert text[0] == text[0].upper().replace("TEXT:", "Text:")
        assert text[1] == "Conf:  5"


def test_speakers_of_the_splits_never_meet() -> None:
    spec = Spec(speakers=30, clips=2, seed=5)
    splits: dict[int, set[str]] = {}
    for plan in plan_clips(spec):
        splits.setdefault(plan.speaker, set()).add(plan.split)
    assert all(len(found) == 1 for found in splits.values())
    assert [sorted(splits[i])[0] for i in (0, 26, 29)] == ["train", "val", "test"]
    voices = {
        split: {speaker_of(spec, i).voice.name for i in range(30) if splits[i] == {split}}
        for split in ("train", "val", "test")
    }
    assert not voices["train"] & (voices["val"] | voices["test"])
    assert len({speaker_of(spec, i).video for i in range(30)}) == 30


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"flavour": "lrs4"}, "--flavour lrs4: unknown; choose one of lrs2, lrs3, lrw"),
        ({"speakers": 2}, "need different speakers"),
        ({"clips": 0}, "at least 1"),
        ({"frames": 6}, "--frames 6: 7 to 1500"),
        ({"style": "fancy"}, "choose one of plain, marked, mixed"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_wrong_specifications_say_why(fields: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Spec(**fields)


def test_a_folder_that_is_no_corpus_says_what_would_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither LRS2"):
        read_corpus(tmp_path)
    (tmp_path / "mvlrs_v1" / "main").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"none of train\.txt"):
        read_corpus(tmp_path)
    (tmp_path / "test.txt").write_text("123/00001 NF\n")
    with pytest.raises(UsageError, match="lists 123/00001, but"):
        read_corpus(tmp_path)
