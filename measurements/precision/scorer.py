"""Each step's error against the reference, as the table of docs/precision.md. Run by `bootstrap.py precision`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # the golden files' paths and weights are known there; hence the late imports

from conftest import GOLDEN, SHARED, WITHOUT_JPEG, calibrated_weights  # noqa: E402

from lse_bench.features.syncnet_mfcc import mfcc  # noqa: E402
from lse_bench.fidelity.frechet import Statistics, frechet_distance  # noqa: E402
from lse_bench.fidelity.inception import FidInception  # noqa: E402
from lse_bench.fidelity.kid import kid  # noqa: E402
from lse_bench.media.audio import read_sound  # noqa: E402
from lse_bench.media.jpeg import through_jpeg  # noqa: E402
from lse_bench.media.probe import probe  # noqa: E402
from lse_bench.media.video import at_constant_rate, decode, read_frames  # noqa: E402
from lse_bench.sync.distance import CurveSum  # noqa: E402
from lse_bench.sync.scorer import SyncScorer  # noqa: E402
from lse_bench.sync.syncnet import FastSyncNet, SyncNet  # noqa: E402
from measurements.reference import (  # noqa: E402
    ffmpeg_program,
    inception_state,
    pytorch_fid_runs,
)


def row(step: str, against: str, error: float, unit: str) -> None:
    print(f"| {step} | {against} | {error:.1e} | {unit} |")


def golden(name: str) -> Path | None:
    """A golden file; clip a lies outside the repository and may be absent."""
    return next((path for path in (GOLDEN / name, SHARED / "golden" / "syncnet" / name) if path.exists()), None)


def present(pattern: str, clips: str) -> Iterator[tuple[str, Path]]:
    for clip in clips:
        path = golden(pattern.format(clip))
        if path is not None:
            yield clip, path


def media() -> None:
    worst = 0
    for _, path in present("clip_{}.mp4", "abcd"):
        capture = cv2.VideoCapture(str(path))
        for frame in read_frames(probe(path)):
            worst = max(worst, int(np.abs(frame.astype(int) - capture.read()[1]).max()))
    row("decoded frames", "OpenCV", worst, "grey levels, largest")
    worst, feature = 0, 0.0
    for clip, path in present("lrs_clip_{}.npz", "abcd"):
        with np.load(path) as stored:
            clip_path = golden(f"clip_{clip}.mp4")
            assert clip_path is not None
            sound = np.concatenate(list(read_sound(probe(clip_path)))).astype(int)
            worst = max(worst, int(np.abs(sound - stored["audio"]).max()))
            feature = max(feature, float(np.abs(mfcc(stored["audio"]) - stored["mfcc"]).max()))
    row("sound, 16 kHz", "ffmpeg 5.1.9", worst, "units of 32,768, largest")
    row("MFCC of the stored sound", "python_speech_features", feature, "largest")


def jpegs() -> None:
    """Frames whose pixels differ from those that the ffmpeg program of imageio-ffmpeg writes."""
    for clip, path in present("clip_{}.mp4", "abcd"):
        info = probe(path)
        assert info.video is not None
        rate = info.video.rate
        with tempfile.TemporaryDirectory() as folder:
            command = [ffmpeg_program(), "-v", "error", "-i", str(path), "-f", "image2", f"{folder}/%06d.jpg"]
            subprocess.run(command, check=True)
            expected = [cv2.imread(str(name)) for name in sorted(Path(folder).iterdir())]
        for shape, how in ((info.video.pixel_shape, ""), (Fraction(0), ", JFIF header left out")):
            frames = through_jpeg(at_constant_rate(decode(info), rate), rate, shape)
            differing = sum(not np.array_equal(a, b) for a, b in zip(frames, expected, strict=True))
            row(f"JPEG step, clip {clip}{how}", "ffmpeg program", differing, f"of {len(expected)} frames differ")


def syncnet(state: dict[str, torch.Tensor], weights: Path) -> None:
    network = FastSyncNet(SyncNet.from_state(state))
    worst = {"features": 0.0, "curve": 0.0, "LSE-D": 0.0, "LSE-C": 0.0}
    for clip, path in present("jpg_clip_{}.npz", "abd"):
        with np.load(path) as stored:
            data, offsets = stored["data"], stored["offsets"]
        frames = [cv2.resize(cv2.imdecode(data[a:b], cv2.IMREAD_COLOR), (224, 224)) for a, b in pairwise(offsets)]
        planes = np.stack(frames).transpose(0, 3, 1, 2)
        audio, scores = golden(f"lrs_clip_{clip}.npz"), golden(f"lrs_cal_clip_{clip}.npz")
        assert audio is not None and scores is not None
        with np.load(audio) as stored:
            samples = stored["audio"]
        columns = mfcc(samples).astype(np.float32)
        count = min(len(frames), len(samples) // 640) - 5
        lips = np.stack([planes[i : i + 5].reshape(15, 224, 224) for i in range(count)])
        sounds = np.stack([columns[None, :, 4 * i : 4 * i + 20] for i in range(count)])
        lip = network.lip(torch.from_numpy(lips).float()).numpy()
        sound = network.sound(torch.from_numpy(sounds)).numpy()
        total = CurveSum()
        total.push(lip, sound)
        score = total.finish()
        with np.load(scores) as stored:
            errors = {
                "features": max(np.abs(lip - stored["lip"]).max(), np.abs(sound - stored["aud"]).max()),
                "curve": np.abs(score.curve - stored["mdist"]).max(),
                "LSE-D": abs(score.lse_d - stored["lse_d"]),
                "LSE-C": abs(score.lse_c - stored["lse_c"]),
            }
        worst = {name: max(worst[name], float(value)) for name, value in errors.items()}
    for name, value in worst.items():
        row(f"{name} from the stored JPEGs and sound", "original code", value, "largest")
    nine = json.loads((GOLDEN / "scores.json").read_text())["ffmpeg_9_same_clips"]
    clips = [(clip, path) for clip, path in present("clip_{}.mp4", "abcd")]
    for protocol, against in (
        ("lrs-lossless@1", "original code, JPEG left out"),
        ("lrs@1", "original code, ffmpeg 9.0.2"),
    ):
        scorer = SyncScorer.load(weights, protocol=protocol, fps_policy="as-is", device="cpu")
        for clip, path in clips:
            score = scorer.score(path)
            expected = (
                WITHOUT_JPEG[clip] if protocol != "lrs@1" else tuple(nine[f"cal/{clip}"][k] for k in ("lse_d", "lse_c"))
            )
            row(f"`{protocol}`, clip {clip}: LSE-D", against, abs(score.lse_d - expected[0]), "")
            row(f"`{protocol}`, clip {clip}: LSE-C", against, abs(score.lse_c - expected[1]), "")
    curves = {}
    for batch in (1, 7, 64):
        scorer = SyncScorer.load(weights, protocol="lrs-lossless@1", fps_policy="as-is", device="cpu", batch_size=batch)
        outcomes = {o.clip: o.score for o in scorer.score_all(list(enumerate(path for _, path in clips)))}
        curves[batch] = np.concatenate([outcomes[n].curve for n in range(len(clips))])  # type: ignore[union-attr]
    spread = max(np.abs(curves[batch] - curves[1]).max() for batch in (7, 64))
    row("curve, batch sizes 7 and 64", "batch size 1", float(spread), "largest")


def fid() -> None:
    from pytorch_fid import fid_score
    from pytorch_fid import inception as theirs
    from torch_fidelity.metric_kid import kid_features_to_metric

    state = inception_state()
    theirs.load_state_dict_from_url = lambda url, progress: state
    frames = np.random.default_rng(0).integers(0, 256, (64, 120, 100, 3), dtype=np.uint8)
    original = theirs.InceptionV3([3]).eval()
    with torch.no_grad():
        inputs = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        expected = torch.cat([original(inputs[i : i + 16])[0] for i in range(0, 64, 16)]).squeeze().numpy()
    found = FidInception(state).features(frames)
    row(
        "Inception features, 64 frames",
        "pytorch-fid",
        float(np.abs(found - expected).max() / expected.max()),
        "relative",
    )
    mixing = np.random.default_rng(99).normal(size=(64, 2048)) / 8
    for count in (3000, 300) if pytorch_fid_runs() else ():
        random = np.random.default_rng(count)
        sets = [np.maximum(random.normal(size=(count, 64)) @ mixing + shift, 0) for shift in (0.3, 0.35)]
        one, two = (Statistics.of(x) for x in sets)
        theirs_value = fid_score.calculate_frechet_distance(one.mean, one.covariance, two.mean, two.covariance)
        traces = np.trace(one.covariance) + np.trace(two.covariance)
        error = abs(frechet_distance(one, two) - theirs_value) / traces
        row(f"FID, {count} frames", "pytorch-fid", float(error), "of the traces")
        shards = Statistics.empty(2048)
        for shard in np.array_split(sets[0], 7):
            shards = shards + Statistics.of(shard)
        merged = np.abs(shards.covariance - one.covariance).max() / np.abs(one.covariance).max()
        row(f"covariance of 7 merged shards, {count} frames", "one pass", float(merged), "relative")
        x, y = (values.astype(np.float32) for values in sets)
        size = min(1000, count)
        oracle = kid_features_to_metric(
            torch.from_numpy(x),
            torch.from_numpy(y),
            kid_subsets=100,
            kid_subset_size=size,
            rng_seed=2020,
            verbose=False,
        )
        error = abs(kid(x, y).mean - oracle["kernel_inception_distance_mean"])
        row(f"KID, {count} frames", "torch-fidelity", float(error), "")


def main() -> None:
    warnings.simplefilter("ignore")
    state = calibrated_weights()
    print("| step | against | error | unit |\n|---|---|---|---|")
    media()
    jpegs()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "calibrated.pth"
        torch.save(state, weights)
        syncnet(state, weights)
    fid()


if __name__ == "__main__":
    main()
