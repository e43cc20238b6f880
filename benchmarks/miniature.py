"""The paper in miniature: train every method on MiniLRS from its `mini` config, and see what came out.

Run: nox -s miniature, or: python benchmarks/miniature.py --work FOLDER [--weights FOLDER]; some two hours on two cores.
What is finished in the work folder is kept, so that a stopped run goes on. With --weights nothing is trained:
the weights of that folder (`expert-mini.safetensors`, `wav2lip-mini.safetensors`, …) are evaluated.

The scorer is `syncnet-mini`, which was trained on other clips, other speakers. Generators are scored with foreign
sound only: their own would leak through the reference frame.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lse_bench.baselines.lipgan import train as lipgan
from lse_bench.baselines.lipgan.samples import FaceSamples
from lse_bench.baselines.lipgan.weights import load_generator
from lse_bench.baselines.speech2vid import train as speech2vid
from lse_bench.baselines.speech2vid.samples import IdentitySamples
from lse_bench.baselines.speech2vid.weights import load_network as load_speech2vid
from lse_bench.baselines.wav2lip import train as wav2lip
from lse_bench.baselines.wav2lip.expert import window_accuracy
from lse_bench.baselines.wav2lip.weights import load_expert, load_network
from lse_bench.baselines.wav2lip.windows import WindowSamples

from lse_bench.manifests.manifest import read_manifest
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.runs.records import read_records
from lse_bench.sync.quality import auc
from lse_bench.training.prepared import PreparedClips
from lse_bench.weights.readers import read_metadata

PADS = "0,10,0,0"  # as Wav2Lip's inference adds; the mini models train on the same crops
SPEAKERS, CLIPS, TEST_SPEAKERS, TEST_CLIPS, FRAMES = 120, 8, 16, 4, 75
SEED, TEST_SEED = 7, 21  # syncnet-mini's corpus has seed 1
WAV2LIP, L1, GAN, LIPGAN, SPEECH2VID = "wav2lip", "wav2lip-l1", "wav2lip-gan", "lipgan", "speech2vid"
GENERATORS = (SPEECH2VID, LIPGAN, L1, WAV2LIP, GAN)
CPU = torch.device("cpu")


def lse_bench(*arguments: object) -> None:
    """One of our commands."""
    subprocess.run([sys.executable, "-m", "lse_bench", *map(str, arguments)], check=True)


def once(path: Path, *arguments: object) -> Path:
    """Run a command unless what it makes is there."""
    if not path.exists():
        lse_bench(*arguments)
    return path


def train_all(work: Path) -> dict[str, Path]:
    """The weights of every method."""
    corpus, box, aligned = work / "corpus", work / "box", work / "aligned"
    sizes = ("--speakers", SPEAKERS, "--clips", CLIPS, "--frames", FRAMES, "--style", "plain", "--seed", SEED)
    once(corpus / "minilrs" / "corpus.json", "minilrs", *sizes, "--out", corpus)
    once(box / "prepared.json", "prepare", "minilrs", "--root", corpus, "--pads", PADS, "--out", box)
    once(aligned / "prepared.json", "prepare", "minilrs", "--root", corpus, "--crop", "aligned", "--out", aligned)

    def train(name: str, method: str, config: str, data: Path, *more: object) -> Path:
        out = work / "runs" / name
        resume = ("--resume",) if (out / "last.ckpt").exists() else ()
        arguments = ("train", method, "--config", config, "--data", data, "--out", out, *more, *resume)
        return once(out / "weights.safetensors", *arguments)

    found = {"expert": train("expert", "expert", "mini", box)}
    found[L1] = train(L1, "wav2lip", "l1-mini", box)
    found[WAV2LIP] = train(WAV2LIP, "wav2lip", "mini", box, "--expert", found["expert"])
    found[GAN] = train(GAN, "wav2lip-gan", "mini", box, "--expert", found["expert"], "--init", found[WAV2LIP])
    found[LIPGAN] = train(LIPGAN, "lipgan", "mini", box)
    found[SPEECH2VID] = train(SPEECH2VID, "speech2vid", "mini", aligned)
    found["deblur"] = train("deblur", "speech2vid-deblur", "mini", aligned, "--generator", found[SPEECH2VID])
    return found


def stored(folder: Path) -> dict[str, Path]:
    """The same, of a folder of weights."""
    names = {"deblur": "speech2vid-deblur-mini"}
    found = {
        name: folder / f"{names.get(name, f'{name}-mini')}.safetensors" for name in ("expert", "deblur", *GENERATORS)
    }
    return {name: path for name, path in found.items() if path.exists()}


@torch.no_grad()
def mouths(weights: dict[str, Path], work: Path) -> dict[str, dict[str, float]]:
    """With own sound and a reference from another frame, as in training: L1 of mouths, and of pasting the reference's;
    for the expert its accuracy."""
    box, aligned = PreparedClips(work / "test-box"), PreparedClips(work / "test-aligned")
    found: dict[str, dict[str, float]] = {}
    expert = load_expert(weights["expert"])
    found["expert"] = window_accuracy(expert, box, box.clips, len(box.clips), CPU)
    for name in (L1, WAV2LIP, GAN):
        if name in weights:
            offset = int(read_metadata(weights[name]).get("window_offset", 0))
            samples = WindowSamples(box, offset, 1)
            found[name] = wav2lip.measure_clips(load_network(weights[name]), expert, samples, box.clips, CPU)
    if LIPGAN in weights:
        network = load_generator(weights[LIPGAN])
        samples = FaceSamples(box, network.branch, int(read_metadata(weights[LIPGAN])["window_offset"]), 6)
        found[LIPGAN] = lipgan.measure_clips(network, samples, box.clips, CPU)
    if SPEECH2VID in weights:
        network = load_speech2vid(weights[SPEECH2VID])
        found[SPEECH2VID] = speech2vid.measure_clips(network, IdentitySamples(aligned, 6), aligned.clips, CPU)
    return found


def scores(weights: dict[str, Path], work: Path, log: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """LSE by `syncnet-mini` of every pair of the test list, with foreign sound; AUC against `unsynced`; sharpness."""
    corpus, pairs = work / "test-corpus", work / "pairs.json"
    count = TEST_SPEAKERS * TEST_CLIPS
    once(pairs, "manifest", "build", corpus, "--split", "val", "--pairs", count, "--out", pairs)
    confidences: dict[str, list[float]] = {}
    found: dict[str, dict[str, float]] = {}
    for name in ("real", "unsynced", *(name for name in GENERATORS if name in weights)):
        videos, run = work / "videos" / name, work / "scores" / name
        generator = WAV2LIP if name == L1 else name
        more: tuple[object, ...] = ("--checkpoint", weights[name]) if name in weights else ()
        if name == SPEECH2VID and "deblur" in weights:
            more += ("--set", f"deblur={weights['deblur']}")
        if name == LIPGAN:
            more += ("--pads", PADS)
        log(f"{name}: generating and scoring")
        lse_bench("generate", generator, "--manifest", pairs, "--out", videos, *more)
        once(run / "summary.json", "score", videos, "--weights", "syncnet-mini", "--out", run)
        records = [record for record in read_records(run) if record.status == "ok"]
        confidences[name] = [float(record.lse_c or 0) for record in records]
        found[name] = {
            "pairs": float(len(records)),
            "lse_d": float(np.mean([record.lse_d for record in records])),
            "lse_c": float(np.mean(confidences[name])),
            "within_1": float(np.mean([abs(record.offset or 0) <= 1 for record in records])),
            "auc": auc(confidences[name], confidences["unsynced"]) if "unsynced" in confidences else float("nan"),
        }
        if name not in ("real", "unsynced"):
            found[name]["sharpness"] = sharpness(work, corpus, pairs, videos)
    return found


def sharpness(work: Path, corpus: Path, pairs: Path, videos: Path) -> float:
    """Variance of the Laplacian of lower half faces, relative to the source's: mean of the clips' ratios."""
    ratios = []
    for job in read_manifest(pairs).jobs:
        drawn = next(videos.rglob(f"{job.id}.mp4"), None)
        if drawn is None:
            continue
        source = corpus / job.video
        with np.load(corpus / "minilrs" / "truth" / Path(job.video).with_suffix(".npz")) as truth:
            boxes = truth["boxes"].astype(int)
        values: list[list[float]] = []
        for path in (drawn, source):
            frames = list(read_frames(probe(path), 25))
            values.append([])
            for frame, (left, top, right, bottom) in zip(frames[::5], boxes[::5], strict=False):
                mouth = cv2.cvtColor(frame[(top + bottom) // 2 : bottom, max(0, left) : right], cv2.COLOR_BGR2GRAY)
                values[-1].append(float(cv2.Laplacian(mouth, cv2.CV_64F).var()))
        ratios.append(float(np.mean(values[0]) / np.mean(values[1])))
    return float(np.mean(ratios))


def main() -> None:
    """Train, evaluate, print the table and what of the expected order came out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    chosen = parser.parse_args()
    work: Path = chosen.work
    work.mkdir(parents=True, exist_ok=True)
    weights = train_all(work) if chosen.weights is None else stored(chosen.weights)
    corpus = work / "test-corpus"
    sizes = ("--speakers", TEST_SPEAKERS, "--clips", TEST_CLIPS, "--frames", FRAMES, "--style", "plain")
    once(corpus / "minilrs" / "corpus.json", "minilrs", *sizes, "--split", "val", "--seed", TEST_SEED, "--out", corpus)
    for crop, more in (("box", ("--pads", PADS)), ("aligned", ("--crop", "aligned"))):
        out = work / f"test-{crop}"
        once(out / "prepared.json", "prepare", "minilrs", "--root", corpus, *more, "--out", out)
    torch.set_num_threads(2)
    by_sample = mouths(weights, work)
    by_clip = scores(weights, work, lambda text: print(text, file=sys.stderr))
    result: dict[str, Any] = {"samples": by_sample, "clips": by_clip}
    (work / "miniature.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("| method | mouth L1 | copied mouth L1 | LSE-D | LSE-C | AUC | offset within 1 | sharpness |")
    print("|---|---|---|---|---|---|---|---|")
    for name, row in by_clip.items():
        sample = by_sample.get(name, {})
        cells = [sample.get("mouth"), sample.get("copy"), row["lse_d"], row["lse_c"], row["auc"], row["within_1"]]
        cells.append(row.get("sharpness"))
        print(f"| {name} | " + " | ".join("" if cell is None else f"{cell:.4f}" for cell in cells) + " |")
    expected = {
        "expert window accuracy >= 0.85": by_sample["expert"]["window"] >= 0.85,
        **{
            f"{name}: mouth better than copied": row["mouth"] < row["copy"]
            for name, row in by_sample.items()
            if "copy" in row
        },
    }
    for other in (L1, LIPGAN, SPEECH2VID):
        if other in by_clip and WAV2LIP in by_clip:
            gap = by_clip[WAV2LIP]["lse_c"] - by_clip[other]["lse_c"]
            least = 1.5 if other == L1 else 0.0
            expected[f"Wav2Lip's LSE-C {gap:.2f} above {other} (wanted {least:g})"] = gap >= least
    if WAV2LIP in by_clip:
        expected["Wav2Lip's AUC against unsynced >= 0.9"] = by_clip[WAV2LIP]["auc"] >= 0.9
    if GAN in by_clip:
        sharper = by_clip[GAN]["sharpness"] / by_clip[WAV2LIP]["sharpness"]
        expected[f"Wav2Lip+GAN {sharper:.2f} times as sharp as Wav2Lip"] = sharper > 1
    print(f"expert: {by_sample['expert']}")
    for what, came in expected.items():
        print(f"{'yes' if came else 'NO '} {what}")


if __name__ == "__main__":
    main()
