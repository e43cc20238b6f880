"""Inception against pytorch-fid, and whole sets of videos and pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import torch

from lse_bench.damage.pictures import PICTURES
from lse_bench.errors import UsageError, WeightsError
from lse_bench.fidelity.fid import FidProtocol, compare, jackknife, load_set, measure, save_set
from lse_bench.fidelity.frechet import Statistics, StatisticsStream, frechet_distance
from lse_bench.fidelity.inception import FidInception
from lse_bench.fidelity.sources import items_of, matched
from lse_bench.fidelity.work import FrameReader
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.stored import to_json
from lse_bench.weights.store import path_of
from lse_bench.weights.table import entry, mark_of


@pytest.mark.original
@pytest.mark.slow
def test_features_are_pytorch_fids(inception_state: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_fid import inception as theirs

    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda url, progress: inception_state)
    network = theirs.InceptionV3([3]).eval()
    frames = np.random.default_rng(0).integers(0, 256, (24, 120, 100, 3), dtype=np.uint8)
    with torch.no_grad():
        inputs = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        expected = torch.cat([network(inputs[i : i + 16])[0] for i in (0, 16)]).squeeze().numpy()
    found = FidInception(inception_state).features(frames)
    assert found.shape == expected.shape == (24, 2048)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def test_the_small_network_sees_damage(corpus: Path) -> None:
    """Each step of a damage moves FID (mini) further; the network's digest is part of the id."""
    clips_here = sorted((corpus / "mvlrs_v1").rglob("*.mp4"))[:6]
    frames = [frame for clip in clips_here for frame in list(read_frames(probe(clip), 25))[::9]]
    network = FidInception.load(path_of(entry("inception-mini")))
    assert network.dimensions == 256
    box, rng = (40.0, 30.0, 120.0, 140.0), np.random.default_rng(0)

    def statistics(name: str, strength: float) -> Statistics:
        stream = StatisticsStream(network.dimensions)
        damaged = [PICTURES[name](frame, box, strength, rng)[:, :, ::-1] for frame in frames]
        stream.push(network.features(np.stack(damaged)))
        return stream.finish()

    real = statistics("blur", 0)
    for name in ("blur", "jpeg", "noise", "seam"):
        values = [frechet_distance(statistics(name, strength), real) for strength in (0.0, 0.15, 0.4, 1.0)]
        assert values == sorted(values) and values[0] < 1e-3, (name, values)
    assert mark_of("inception-mini") == " (mini)" == mark_of("syncnet-mini") and mark_of("inception") == ""
    digest = entry("inception-mini").sha256 or ""
    assert FidProtocol(digest).id.endswith(f":step1:{digest[:8]}")


def test_resizes_differ_and_unknown_ones_are_refused(inception_state: dict) -> None:
    network = FidInception(inception_state)
    frames = np.random.default_rng(0).integers(0, 256, (2, 400, 420, 3), dtype=np.uint8)
    assert not np.allclose(network.features(frames), network.features(frames, "antialias"))
    with pytest.raises(UsageError, match="no resize method called lanczos"):
        network.features(frames, "lanczos")


def test_other_checkpoints_are_refused(narrow: Path, inception_state: dict) -> None:
    with pytest.raises(WeightsError, match="SyncNet.*not the Inception network"):
        FidInception.load(narrow)
    with pytest.raises(WeightsError, match="not the entries of FID's Inception"):
        FidInception({name: value for name, value in inception_state.items() if "Mixed_6a" not in name})


def colours(frames: np.ndarray) -> np.ndarray:
    """A stand-in for Inception: 48 local means."""
    small = np.stack([cv2.resize(frame, (4, 4), interpolation=cv2.INTER_AREA) for frame in frames])
    return (small.reshape(len(frames), -1) / 255).astype(np.float32)


def reading(features: Callable, batch: int, **more: object) -> Callable[[str], FrameReader]:
    """What loads a reader with a stand-in for Inception."""
    return lambda device: FrameReader(features, batch, **more)  # type: ignore[arg-type]


PROTOCOL = FidProtocol(weights_sha256="0" * 64)


def video_folder(folder: Path, count: int, seed: int = 0, frames: int = 10) -> Path:
    for number in range(count):
        clips.write(folder / f"{number}.mp4", clips.even(frames), clips.speech(0.4), seed=seed + number % 3)
    return folder


def test_sets_of_videos(tmp_path: Path) -> None:
    one, two = video_folder(tmp_path / "one", 6), video_folder(tmp_path / "two", 6, seed=4)
    (two / "broken.mp4").write_bytes(b"")
    first = measure(items_of(one), reading(colours, 8), groups=3)
    second = measure(items_of(two), reading(colours, 7))
    assert first.count.frames == 60 and second.count.frames == 60
    assert list(second.failed) == ["broken"]
    result = compare(first, second, PROTOCOL, seed=1)
    assert result.fid and result.fid > 0 and result.fid_standard_error and result.fid_standard_error > 0
    assert result.kid is not None
    assert any("1 clips could not be read to their end" in text for text in result.warnings)
    assert any("near-singular" in text for text in result.warnings), "every clip is there twice"
    json.dumps(to_json(result))
    few = measure(items_of(one)[:2], reading(colours, 8))
    told = compare(few, second, PROTOCOL, seed=1).warnings
    assert any("20 frames for 48 dimensions: the covariance is singular" in text for text in told)
    itself = compare(first, first, PROTOCOL, seed=1)
    assert itself.fid is not None and abs(itself.fid) < 1e-7 * 2 * np.trace(first.total.covariance)
    assert itself.kid is not None and abs(itself.kid) < 1
    stepped = measure(items_of(one), reading(colours, 8, step=3))
    assert stepped.count.frames == 24


def test_pictures_and_mixed_sizes(tmp_path: Path) -> None:
    for number in range(9):
        size = (64, 48) if number % 2 else (32, 32)
        cv2.imwrite(str(tmp_path / f"{number}.png"), clips.picture(number, *size))
    frames = measure(items_of(tmp_path), reading(colours, 4))
    assert frames.count.sizes == {(64, 48): 4, (32, 32): 5}
    assert any("2 sizes" in text for text in compare(frames, frames, PROTOCOL, seed=0).warnings)


def test_rgb_order_reaches_the_network(tmp_path: Path) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 2] = 255  # BGR
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), red)
    seen = []
    measure(items_of(tmp_path), reading(lambda f: seen.append(f) or colours(f), 2))
    assert (seen[0][0, 0, 0] == (255, 0, 0)).all()


def test_matching_is_by_id(tmp_path: Path) -> None:
    one, two = video_folder(tmp_path / "one", 4), video_folder(tmp_path / "two", 6)
    first, second = matched(items_of(one), items_of(two))
    assert [item.id for item in first] == [item.id for item in second] == ["0", "1", "2", "3"]
    (tmp_path / "three").mkdir()
    clips.good(tmp_path / "three" / "x.mp4", 0.4)
    with pytest.raises(UsageError, match="no id is readable in both sets"):
        matched(items_of(one), items_of(tmp_path / "three"))


def test_jackknife_by_brute_force(tmp_path: Path) -> None:
    from lse_bench.fidelity.frechet import Statistics, frechet_distance

    paths = [clips.write(tmp_path / f"{n}.mp4", clips.even(6 + n), None, seed=n) for n in range(4)]
    frames = measure(items_of(tmp_path), reading(colours, 5), groups=4)
    reference = measure(items_of(tmp_path)[:2], reading(colours, 5))
    rows = [measure(items_of(path), reading(colours, 50)).sample for path in paths]
    values = []
    for left_out in range(4):
        kept = np.concatenate([row for number, row in enumerate(rows) if number != left_out])
        values.append(frechet_distance(Statistics.of(kept), reference.total))
    expected = np.sqrt(3 / 4 * ((values - np.mean(values)) ** 2).sum())
    assert jackknife(frames, reference, "pooled") == pytest.approx(expected, rel=1e-6)
    assert jackknife(reference, frames, "pooled") is None, "no groups, no error"


class UpperHalf:
    """A detector whose face is the upper half, and which sees none in every fifth frame."""

    name = "upper-half"

    def boxes(self, clip, frames):  # type: ignore[no-untyped-def]
        for number, frame in enumerate(frames):
            height, width = frame.shape[:2]
            yield frame, None if number % 5 == 4 else (0, 0, width, height // 2)


def test_faces_come_from_a_box_source(tmp_path: Path) -> None:
    frames = measure(items_of(video_folder(tmp_path, 2)), reading(colours, 4, boxes=UpperHalf()))
    assert frames.count.frames == 16 and frames.count.without_face == 4
    assert frames.count.sizes == {(112, 56): 16}
    protocol = FidProtocol(weights_sha256="a" * 64, region="face", boxes=UpperHalf.name, step=2)
    assert protocol.id == "fid@1:face-upper-half:pooled:bilinear:step2:aaaaaaaa"


def test_saved_sets_serve_as_reference(tmp_path: Path) -> None:
    frames = measure(items_of(video_folder(tmp_path / "v", 3)), reading(colours, 4))
    save_set(tmp_path / "set.npz", frames, PROTOCOL)
    back, fid_id = load_set(tmp_path / "set.npz")
    assert fid_id == PROTOCOL.id
    result = compare(frames, back, PROTOCOL, seed=0)
    assert result.fid is not None and abs(result.fid) < 1e-6
    assert result.reference is not None and result.reference.frames == 30


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither videos nor pictures"):
        items_of(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), clips.picture(0, 8, 8))
    with pytest.raises(UsageError, match="1 frames in 1 clips"):
        measure(items_of(tmp_path), reading(colours, 4))
    clips.good(tmp_path / "b.mp4", 0.4)
    with pytest.raises(UsageError, match="1 videos and 1 pictures"):
        items_of(tmp_path)


MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
from lse_bench.fidelity import fid, work
from lse_bench.fidelity.frechet import Statistics, frechet_distance
from lse_bench.fidelity.sources import Item

def frames(item, step, boxes, count):
    random = np.random.default_rng(int(item.id))
    for _ in range(100):
        count.frames += 1
        yield random.integers(0, 256, (32, 32, 3), dtype=np.uint8)

mixing = np.random.default_rng(0).normal(size=(3072, 2048)).astype(np.float32) / 64
features = lambda batch: np.maximum(batch.reshape(len(batch), -1).astype(np.float32) @ mixing, 0)
work.frames_of = frames
total = Statistics.empty(2048)
clips = [Item(str(n), Path(str(n))) for n in range(int(sys.argv[1]) // 100)]
for shard in range(5):  # as five machines would, one after the other
    read = lambda device: work.FrameReader(features, 50)
    total = total + fid.measure(clips[shard::5], read, groups=5).total
assert total.count == int(sys.argv[1])
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.command
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    """20,000 frames of 2048 features in shards against 500, features by a random projection."""
    peaks = []
    for frames in (500, 20_000):
        command = [sys.executable, "-c", MEMORY, str(frames)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"peak memory: 500 frames {peaks[0]:.0f} MB, 20,000 frames {peaks[1]:.0f} MB")
    assert peaks[1] - peaks[0] < 300, peaks


def test_still_pictures_are_called_near_singular(tmp_path: Path) -> None:
    still = [np.full((20, 16), n, np.float32) for n in range(3)]
    from lse_bench.fidelity.fid import FrameSet, _warnings
    from lse_bench.fidelity.frechet import Statistics
    from lse_bench.fidelity.sources import FrameCount

    many = np.repeat(np.concatenate(still), 50, axis=0)
    found = _warnings(FrameSet(Statistics.of(many), [], None, FrameCount(), 1), "generated")
    assert any("near-singular" in text for text in found)


def test_a_file_that_provokes_anything_is_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lse_bench.fidelity import work

    clips.good(tmp_path / "a.mp4", 0.4)
    clips.good(tmp_path / "b.mp4", 0.4)
    real = work.frames_of

    def odd(item, *rest):  # type: ignore[no-untyped-def]
        if item.id == "a":
            raise RuntimeError("odd")
        yield from real(item, *rest)

    monkeypatch.setattr(work, "frames_of", odd)
    frames = measure(items_of(tmp_path), reading(colours, 4))
    assert frames.failed == {"a": "error: RuntimeError: odd"} and frames.total.count == 10
