"""`prepare`: what is stored, what is left out and why, resume, any number of processes, correction by SyncNet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import lse_bench_here
from trainers import truth_boxes

from lse_bench.errors import UsageError
from lse_bench.execution.devices import parse_places
from lse_bench.execution.local import Local
from lse_bench.features.htk_mfcc import htk_mfcc
from lse_bench.features.mel import mel_spectrogram
from lse_bench.generators.interface import sound_of
from lse_bench.manifests.layouts import CorpusClip, read_corpus
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.training.croppers import BoxCropper
from lse_bench.training.prepare import Preparation, SyncFilter, prepare
from lse_bench.training.prepared import PreparedClips, clip_file
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.store import resolve


def preparation(corpus: Path, **more: Any) -> Preparation:
    return Preparation(BoxCropper(), "boxes", boxes=truth_boxes(corpus), **more)


@pytest.fixture(scope="module")
def clips(corpus: Path) -> list[CorpusClip]:
    return read_corpus(corpus)[1]


def test_a_window_is_what_the_clip_holds(corpus: Path, clips: list[CorpusClip], tmp_path: Path) -> None:
    index = prepare(clips[:1], corpus, tmp_path, preparation(corpus))
    store = PreparedClips(tmp_path)
    (clip,) = store.clips
    assert index.problems == {}
    frames = list(read_frames(probe(clips[0].path), 25))
    with np.load(truth_boxes(corpus) / f"{clip.id}.npz") as truth:
        boxes, lips = truth["boxes"], truth["lips"]
    left, top, right, bottom = np.maximum(boxes[40], 0).astype(int)
    face = store.read(clip, "faces", 40, 5)
    assert face.shape == (5, 96, 96, 3)
    assert np.array_equal(face[0], cv2.resize(frames[40][top:bottom, left:right], (96, 96)))
    sound = sound_of(clips[0].path)[: clip.frames * 640]
    assert np.array_equal(store.read(clip, "sound"), sound)
    assert np.array_equal(store.read(clip, "mel", 10, 16), mel_spectrogram(sound).T[10:26])
    assert np.array_equal(store.read(clip, "mfcc", 4, 35), htk_mfcc(sound)[1:].T[4:39].astype(np.float32))
    assert np.allclose(store.read(clip, "lips", 7, 5), lips[7:12])


def test_bad_clips_are_left_out_and_said(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    _, clips = read_corpus(root)
    cut, silent, short, faceless = clips[:4]
    cut.path.write_bytes(cut.path.read_bytes()[:300])
    frames = list(read_frames(probe(silent.path), 25))
    write_clip(silent.path, frames, np.zeros(len(frames) * 640, np.int16))
    write_clip(short.path, frames[:10], np.ones(6400, np.int16))
    boxes = truth_boxes(root) / f"{faceless.id}.npz"
    with np.load(boxes) as held:
        arrays = dict(held)
    arrays["boxes"][5] = np.nan
    np.savez(boxes, **arrays)
    index = prepare(clips, root, tmp_path / "out", preparation(root))
    assert set(index.problems) == {cut.id, silent.id, short.id, faceless.id}
    assert index.problems[cut.id].startswith("unreadable")
    assert "digital silence" in index.problems[silent.id]
    assert "10 frames" in index.problems[short.id]
    assert "frame 5" in index.problems[faceless.id]
    assert index.problem_counts == {"unreadable": 1, "no_audio": 1, "too_short": 1, "no_face": 1}
    assert len(PreparedClips(tmp_path / "out").clips) == len(clips) - 4
    with pytest.raises(UsageError, match="none of 1 clips can be trained on"):
        prepare([cut], root, tmp_path / "none", preparation(root))


@pytest.mark.slow
def test_any_number_of_processes_and_a_stop_give_the_same(
    corpus: Path, clips: list[CorpusClip], tmp_path: Path
) -> None:
    whole = prepare(clips, corpus, tmp_path / "one", preparation(corpus))

    def stop(name: str) -> None:
        if name == clips[2].id:
            raise KeyboardInterrupt

    out = tmp_path / "two"
    with pytest.raises(KeyboardInterrupt):
        prepare(clips, corpus, out, preparation(corpus), on_clip=stop)
    with pytest.raises(UsageError, match="let that command finish"):
        PreparedClips(out)
    kept = clip_file(out, clips[0].id)
    before = kept.stat().st_mtime_ns
    damaged = clip_file(out, clips[1].id)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    parts = prepare(clips, corpus, out, preparation(corpus), Local(parse_places("cpu:2", 0)))
    assert parts == whole
    assert kept.stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="holds prepared clips with another pads"):
        prepare(clips, corpus, out, Preparation(BoxCropper((0, 10, 0, 0)), "boxes", boxes=truth_boxes(corpus)))


@pytest.mark.slow
def test_syncnet_corrects_what_is_early_or_late(corpus: Path, clips: list[CorpusClip], tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    _, copies = read_corpus(root)
    chosen = copies[:3]
    for clip, shift in zip(chosen, (6, -6, 0), strict=True):
        frames, sound = list(read_frames(probe(clip.path), 25)), sound_of(clip.path)
        if shift > 0:  # the sound comes early
            frames, sound = frames[: len(frames) - shift], sound[shift * 640 :]
        elif shift < 0:
            frames, sound = frames[-shift:], sound[: len(sound) + shift * 640]
        write_clip(clip.path, frames, sound)
    weights = resolve("syncnet-mini", FetchSettings())
    rule = SyncFilter(weights, confidence=0.5)
    centre = Preparation(BoxCropper(), "centerface", sync=rule)
    index = prepare(chosen, root, tmp_path / "out", centre)
    assert index.corrected == {chosen[0].id: 6, chosen[1].id: -6}
    again = {clip.id: clip for clip in PreparedClips(tmp_path / "out").clips}
    prepare(clips[:2], corpus, tmp_path / "straight", Preparation(BoxCropper(), "centerface"))
    straight = PreparedClips(tmp_path / "straight")
    mended = PreparedClips(tmp_path / "out")
    for clip, first in zip(chosen[:2], (6, 6), strict=True):  # six of the picture before, six of the sound after
        one, other = again[clip.id], next(found for found in straight.clips if found.id == clip.id)
        assert 0 <= one.frames - (75 - 12) <= 1  # sound is padded by up to a frame when it is compressed
        pictures, wanted = mended.read(one, "faces", 0, 63), straight.read(other, "faces", first, 63)
        assert np.abs(pictures.astype(int) - wanted).mean() < 6  # compressed once more
        heard = mended.read(one, "sound").astype(float)
        own = straight.read(other, "sound")[first * 640 :][: len(heard)].astype(float)
        assert np.corrcoef(heard[2000:-2000], own[2000:-2000])[0, 1] > 0.9
    strict = Preparation(BoxCropper(), "centerface", sync=SyncFilter(weights, confidence=0.5, correct=False))
    dropped = prepare(chosen, root, tmp_path / "strict", strict)
    assert "offset is 6; abs(offset) <= 0 is required" in dropped.problems[chosen[0].id]
    assert [clip.id for clip in dropped.clips] == [chosen[2].id]
    unsure = Preparation(BoxCropper(), "centerface", sync=SyncFilter(weights, confidence=100))
    with pytest.raises(UsageError, match="lse_c >= 100 is required"):
        prepare(chosen, root, tmp_path / "unsure", unsure)


def test_a_damaged_file_is_named_when_it_is_read(corpus: Path, clips: list[CorpusClip], tmp_path: Path) -> None:
    prepare(clips[:1], corpus, tmp_path, preparation(corpus))
    path = clip_file(tmp_path, clips[0].id)
    path.write_bytes(path.read_bytes()[:2000])
    store = PreparedClips(tmp_path)
    with pytest.raises(UsageError, match=r"safetensors: damaged or missing .*lse-bench prepare"):
        store.read(store.clips[0], "faces", 0, 5)


@pytest.mark.slow
def test_the_command_prepares_and_trains(corpus: Path, tmp_path: Path) -> None:
    from trainers import config_of

    boxes = ("--detector", "boxes", "--boxes", truth_boxes(corpus), "--devices", "cpu:1")
    result = lse_bench_here("prepare", corpus, "--out", tmp_path / "box", *boxes, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["clips"] == 12
    recipe = tmp_path / "tiny.toml"
    fields = config_of("expert").model_dump(mode="json")
    tables = {name: fields.pop(name) for name in list(fields) if isinstance(fields[name], dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    recipe.write_text("\n".join(lines) + "\n")
    train = ("train", "expert", "--config", recipe, "--data", tmp_path / "box", "--device", "cpu", "--loaders", 0)
    result = lse_bench_here(*train, "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "weights.safetensors").exists()
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["method"] == "expert"
    assert about["data"]["digest"] == PreparedClips(tmp_path / "box").about.digest
    again = lse_bench_here(*train, "--out", tmp_path / "run")
    assert again.returncode == 2
    assert "pass --resume" in again.stderr
    wrong = lse_bench_here("prepare", corpus, "--split", "dev", "--out", tmp_path / "x")
    assert wrong.returncode == 2
    assert "--split dev: " in wrong.stderr and "only has test, train, val" in wrong.stderr


@pytest.mark.slow
def test_any_folder_list_and_manifest_is_prepared(corpus: Path, tmp_path: Path) -> None:
    found = sorted((corpus / "mvlrs_v1" / "main").rglob("*.mp4"))[:4]
    for clip in found:
        (tmp_path / "plain" / clip.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / "plain" / clip.parent.name / clip.name)
    names = [f"{clip.parent.name}/{clip.name}" for clip in found]
    (tmp_path / "plain" / "some.csv").write_text("clip\n" + "\n".join(names[:2]) + "\n")
    (tmp_path / "plain" / "pairs.csv").write_text(f"video,sound\n{names[0]},{names[1]}\n{names[0]},{names[2]}\n")
    ended = lse_bench_here("manifest", "from", tmp_path / "plain" / "pairs.csv", "--out", tmp_path / "pairs.json")
    assert ended.returncode == 0, ended.stderr
    sources = ((tmp_path / "plain", 4), (tmp_path / "plain" / "some.csv", 2), (tmp_path / "pairs.json", 1))
    digests = []
    for number, (source, count) in enumerate(sources):
        made = lse_bench_here("prepare", source, "--out", tmp_path / f"out{number}", "--json")
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["clips"] == count
        digests.append(json.loads(made.stdout)["digest"])
    assert len(set(digests)) == 3
    index = json.loads((tmp_path / "out0" / "prepared.json").read_text())
    assert {clip["split"] for clip in index["clips"]} == {"train"}
