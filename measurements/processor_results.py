"""Results under the setting of this process, for `processors.py`: python processor_results.py SHARED OUT.npz

SHARED gets a corpus and videos once, by the first setting, so that scores and training of all settings are of the same
files.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench import cli
from lse_bench.baselines.wav2lip import train as wav2lip
from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs import corpus as minilrs
from lse_bench.minilrs.plan import Part, Spec
from lse_bench.sync.scorer import SyncScorer
from lse_bench.training.config import load_config
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.steps import set_up, take_step

Found = dict[str, NDArray[Any]]
SPLITS: tuple[Part, ...] = ("train", "val")
STEPS = 6
GENERATORS = ("wav2lip", "lipgan")


def lse_bench(*arguments: object) -> None:
    """The command in this process."""
    kept, sys.argv = sys.argv, ["lse-bench", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"lse-bench {arguments}: exit status {ended.code}") from None
    finally:
        sys.argv = kept


def drawn_corpus(out: Path) -> Found:
    """A MiniLRS made here: pictures before any codec, samples, and pictures as they are read back."""
    found: Found = {}
    pictures: list[NDArray[np.uint8]] = []
    real = minilrs.write_clip

    def kept(path: Path, frames: Iterator[NDArray[Any]], sound: NDArray[Any], *rest: Any, **named: Any) -> None:
        def passed() -> Iterator[NDArray[Any]]:
            for frame in frames:
                pictures.append(np.array(frame))
                yield frame

        real(path, passed(), sound, *rest, **named)
        found[f"MiniLRS: sound|{name_of(path)}"] = np.asarray(sound)
        found[f"MiniLRS: pictures as drawn|{name_of(path)}"] = np.stack(pictures)
        pictures.clear()

    minilrs.write_clip = kept
    try:
        minilrs.make_corpus(Spec(speakers=4, clips=1, seed=77, split="train", frames=50), out, workers=1)
    finally:
        minilrs.write_clip = real
    for clip in read_corpus(out)[1]:
        found[f"MiniLRS: pictures in the file|{name_of(clip.path)}"] = np.stack(list(read_frames(probe(clip.path))))
    return found


def name_of(path: Path) -> str:
    """A clip's name, with its speaker's."""
    return f"{path.parent.name}/{path.stem}"


def scorer_of() -> SyncScorer:
    """The scorer of every score here."""
    return SyncScorer.load("syncnet-mini", protocol="lrs@1", device="cpu")


def make_shared(shared: Path) -> None:
    """Corpus, manifest, videos and prepared clips that every setting measures."""
    for seed, split in enumerate(SPLITS):
        minilrs.make_corpus(Spec(speakers=2, clips=2, seed=seed, split=split, frames=75), shared / split, workers=1)
    boxes = shared / "train" / "minilrs" / "truth" / "mvlrs_v1" / "main"
    lse_bench("manifest", "build", shared / "train", "--split", "train", "--pairs", 3, "--out", shared / "pairs.json")
    lse_bench("generate", "wav2lip", "--manifest", shared / "pairs.json", "--weights", "wav2lip-mini",
              "--detector", "boxes", "--boxes", boxes, "--out", shared / "videos")  # fmt: skip
    lse_bench("prepare", shared / "train", "--detector", "boxes", "--boxes", boxes,
              "--out", shared / "prepared", "--workers", 1)  # fmt: skip
    (shared / "made").touch()


def videos(shared: Path, out: Path) -> Found:
    """Generated videos, as read back from their files, and their scores."""
    found: Found = {}
    scorer = scorer_of()
    boxes = shared / "train" / "minilrs" / "truth" / "mvlrs_v1" / "main"
    for name in GENERATORS:
        lse_bench("generate", name, "--manifest", shared / "pairs.json", "--weights", f"{name}-mini",
                  "--detector", "boxes", "--boxes", boxes, "--out", out / name)  # fmt: skip
        for path in sorted((out / name).glob("*.mp4")):
            found[f"{name}-mini: pictures in the file|{path.stem}"] = np.stack(list(read_frames(probe(path))))
            found[f"{name}-mini: sound in the file|{path.stem}"] = np.concatenate(list(read_sound(probe(path))))
            found |= scored(scorer, f"files of {name}-mini made here", path)
    return found


def scores(shared: Path) -> Found:
    """Curves of real and generated clips."""
    found: Found = {}
    scorer = scorer_of()
    clips = [clip.path for clip in read_corpus(shared / "train")[1]]
    for kind, paths in (
        ("the same real files", clips),
        ("the same generated files", sorted((shared / "videos").glob("*.mp4"))),
    ):
        for path in paths:
            found |= scored(scorer, kind, path)
    return found


def scored(scorer: SyncScorer, kind: str, path: Path) -> Found:
    """The three scores of a clip."""
    score = scorer.score(path)
    values = {"LSE-D": score.lse_d, "LSE-C": score.lse_c, "offset": float(score.offset)}
    return {f"{name}, {kind}|{name_of(path)}": np.array([value]) for name, value in values.items()}


def training(shared: Path) -> Found:
    """The L1 loss of a narrow Wav2Lip at its first steps, in fp32."""
    config = load_config("wav2lip-l1-mini", wav2lip.GeneratorConfig, "lse_bench.baselines.wav2lip")
    config = config.changed({"precision": "fp32", "lse_clips": 0, "batch": 2})
    method = wav2lip.GeneratorTraining(config, shared / "prepared")
    fabric = launch(Hardware("cpu"))
    torch.manual_seed(0)
    networks = method.networks()
    trained = set_up(fabric, networks, method.optimizers(networks))
    rows = [take_step(fabric, trained, method.passes(step), [method.batch(step, 0)]) for step in range(STEPS)]
    return {f"training: loss at step {step}|": np.array([rows[step - 1]["loss"]]) for step in (1, 2, STEPS)}


def differences(first: Found, other: Found) -> dict[str, str]:
    """By quantity: how many clips are equal, and the largest and mean difference of the others."""
    told: dict[str, list[NDArray[np.float64]]] = {}
    for key, value in first.items():
        apart = (
            np.abs(value.astype(np.float64) - other[key].astype(np.float64))
            if value.shape == other[key].shape
            else None
        )
        told.setdefault(key.split("|")[0], []).append(np.array([np.inf]) if apart is None else apart)
    rows = {}
    for what, parts in told.items():
        equal = sum(not part.any() for part in parts)
        moved = [part for part in parts if part.any()]
        text = f"{equal} of {len(parts)} equal" if len(parts) > 1 else ("equal" if equal else "")
        if moved:
            text += f"{', ' if text else ''}{max(float(part.max()) for part in moved):.2g}"
        rows[what] = text
    return rows


def main() -> None:
    """Measure under this process's setting."""
    shared, out = Path(sys.argv[1]), Path(sys.argv[2])
    os.environ["LSE_BENCH_OFFLINE"] = "1"
    if not (shared / "made").exists():
        shared.mkdir(parents=True, exist_ok=True)
        make_shared(shared)
    with tempfile.TemporaryDirectory() as folder:
        found = drawn_corpus(Path(folder) / "corpus") | videos(shared, Path(folder)) | scores(shared) | training(shared)
    partial = out.with_name(f".{out.name}")
    np.savez_compressed(partial, **found)  # type: ignore[arg-type]
    os.replace(partial, out)


if __name__ == "__main__":
    main()
