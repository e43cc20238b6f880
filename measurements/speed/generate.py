"""Wav2Lip through the runner against a loop that works as the original: frames per second, pixels; memory; decodes.

Run by `bootstrap.py bench`, or: python -m measurements.speed.generate [--only speed|memory]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from lse_bench.baselines.wav2lip.adapter import Wav2Lip
from lse_bench.baselines.wav2lip.model import Generator
from lse_bench.baselines.wav2lip.weights import load_network
from lse_bench.faces.detectors import load_detector
from lse_bench.features.mel import mel_spectrogram, window_starts
from lse_bench.generators import redraw
from lse_bench.generators.boxes import Locating
from lse_bench.generators.call import Call, Policies
from lse_bench.generators.interface import Options, sound_of
from lse_bench.generators.run import generate_run
from lse_bench.manifests.layouts import read_corpus
from lse_bench.manifests.manifest import Manifest, job_of
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.stage import write_stage
from lse_bench.weights.formula import formula_weights
from measurements.reference import ffmpeg_program
from measurements.speed.figures import tell
from measurements.speed.tracked import repeated

THREADS = 2
FRAMES, BATCH = 250, 128
BOX = (30, 30, 130, 145)  # left, top, right, bottom
SECONDS, LONG = 20, 600
TEMPER = 2.0**-10  # keeps formula weights from saturating the last sigmoid

_MEMORY = """
import sys

import torch

torch.set_num_threads(2)
from pathlib import Path
from measurements.speed import generate as bench_generate
bench_generate.generate_with_memory(*map(Path, sys.argv[1:]))
"""


def checkpoint(folder: Path) -> Path:
    """Formula weights, tempered."""
    shapes = {name: tuple(value.shape) for name, value in Generator().state_dict().items()}
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in formula_weights(shapes).items()}
    state |= {name: value * TEMPER for name, value in state.items() if name.startswith("output_block.1")}
    path = folder / "wav2lip.pth"
    torch.save({"state_dict": state}, path)
    return path


def call_of(clip: Path, generator: Wav2Lip, out: Path, jobs: int = 1) -> Call:
    """`jobs` pairs of one source with its own sound, the face's box stored."""
    pairs = tuple(job_of(clip.stem, f"{clip.stem}{n}", clip.name, clip.name) for n in range(jobs))
    manifest = Manifest(name="bench", corpus="folder", jobs=pairs)
    locating = Locating(load_detector("boxes", boxes=clip.parent), smoothing="none")
    return Call(generator, manifest, clip.parent, out, locating, Policies())


def as_original(clip: Path, network: Generator, out: Path) -> list[np.ndarray]:
    """Whole video in memory, batches of 128, DIVX in an AVI, muxed by ffmpeg."""
    reader = cv2.VideoCapture(str(clip))
    frames = []
    while True:
        good, frame = reader.read()
        if not good:
            break
        frames.append(frame)
    mel = mel_spectrogram(sound_of(clip))
    windows = [mel[:, start : start + 16] for start in window_starts(mel.shape[1], 16)][: len(frames)]
    left, top, right, bottom = BOX
    made = []
    avi = out.with_suffix(".avi")
    writer = cv2.VideoWriter(str(avi), cv2.VideoWriter_fourcc(*"DIVX"), 25, frames[0].shape[1::-1])
    for start in range(0, len(windows), BATCH):
        chosen = [frame.copy() for frame in frames[start : start + BATCH]][: len(windows) - start]
        faces = np.asarray([cv2.resize(frame[top:bottom, left:right], (96, 96)) for frame in chosen])
        masked = faces.copy()
        masked[:, 48:] = 0
        both = np.concatenate((masked, faces), axis=3) / 255.0
        sound = np.asarray(windows[start : start + BATCH])[:, None]
        with torch.no_grad():
            seen = torch.FloatTensor(np.transpose(both, (0, 3, 1, 2)))
            drawn = network(torch.FloatTensor(sound), seen).numpy().transpose(0, 2, 3, 1) * 255.0
        for face, frame in zip(drawn, chosen, strict=True):
            frame[top:bottom, left:right] = cv2.resize(face.astype(np.uint8), (right - left, bottom - top))
            writer.write(frame)
            made.append(frame)
    writer.release()
    command = [
        ffmpeg_program(),
        "-y",
        "-v",
        "error",
        "-i",
        clip,
        "-i",
        avi,
        "-map",
        "1:v",
        "-map",
        "0:a",
        "-q:v",
        "1",
        out,
    ]
    subprocess.run([str(word) for word in command], check=True)
    return made


def measure_speed(folder: Path) -> None:
    """Frames per second of both, best of 2, and how far their pictures are apart before they are encoded."""
    make_corpus(Spec(speakers=1, clips=1, seed=7, split="test", frames=FRAMES), folder / "corpus")
    clip = folder / "clip.mp4"
    clip.write_bytes(read_corpus(folder / "corpus")[1][0].path.read_bytes())
    (folder / "clip.json").write_text(json.dumps([[{"bbox": BOX}]] * FRAMES))
    weights = checkpoint(folder)
    plain, generator = load_network(weights), Wav2Lip(Options(weights, legacy=True))
    pictures: list[np.ndarray] = []
    calls = 0

    class Watched(redraw.ClipWriter):
        def push(self, frame: Any) -> None:
            pictures.append(frame)
            super().push(frame)

    def ours() -> None:
        nonlocal calls
        calls += 1
        pictures.clear()
        assert generate_run(call_of(clip, generator, folder / f"ours-{calls}")).made == 1

    def several() -> None:
        nonlocal calls
        calls += 1
        done = generate_run(call_of(clip, generator, folder / f"ours-{calls}", jobs=4))
        tell("generate", "4 jobs of one source: decodings", done.decodes, "", "1")
        assert done.decodes == 1

    redraw.ClipWriter = Watched  # type: ignore[misc]
    print(f"\nWav2Lip, 160x160, {THREADS} threads, everything included, best of 2")
    theirs: list[np.ndarray] = []
    old = min(
        timed(lambda: theirs.__setitem__(slice(None), as_original(clip, plain, folder / "old.mp4"))) for _ in "12"
    )
    new = min(timed(ours) for _ in "12")
    ratio = old / new * len(pictures) / len(theirs)
    tell("generate", "Wav2Lip, a loop that works as the original", len(theirs) / old, "frames a second")
    tell("generate", "lse-bench generate wav2lip", len(pictures) / new, "frames a second")
    tell("generate", "lse-bench generate wav2lip / the loop", ratio, "", "1.7 or more")
    apart = [np.abs(one.astype(int) - two).max() for one, two in zip(theirs, pictures, strict=True)]
    tell("generate", f"largest difference of the pictures in {len(apart)} frames", float(max(apart)), "of 255", "1")
    several()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def generate_with_memory(clip: Path, weights: Path, out: Path) -> None:
    """A generation in this process, the network answering at once; prints the peak of memory."""
    generator = Wav2Lip(Options(weights, legacy=True))
    generator._network = lambda mel, faces: torch.zeros(len(faces), 3, 96, 96)  # type: ignore[assignment]
    done = generate_run(call_of(clip, generator, out))
    assert done.made == 1, done
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]
    print(peak)


def measure_memory(folder: Path) -> None:
    """Peak memory with a short and a long source."""
    root = folder / "memory-corpus"
    make_corpus(Spec(speakers=1, clips=1, seed=7, split="test", frames=SECONDS * 25), root)
    short = folder / "short.mp4"
    write_stage([clip.path for clip in read_corpus(root)[1]], short, size=(640, 360), face=240)
    long = repeated(short, LONG // SECONDS, folder / "long.mp4")
    weights = checkpoint(folder)
    for clip, seconds in ((short, SECONDS), (long, LONG)):
        clip.with_suffix(".json").write_text(json.dumps([[{"bbox": [200, 60, 440, 300]}]] * (seconds * 25)))
        command = [sys.executable, "-c", _MEMORY, clip, weights, folder / f"out-{seconds}"]
        done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
        tell("generate", f"peak memory, a source of {seconds} s, 640x360", float(done.stdout.split()[-1]), "MB")


def main() -> None:
    """Speed, then memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("speed", "memory"))
    chosen = parser.parse_args()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as name:
        if chosen.only != "memory":
            measure_speed(Path(name))
        if chosen.only != "speed":
            measure_memory(Path(name))


if __name__ == "__main__":
    main()
