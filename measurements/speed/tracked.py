"""Whole videos: frames per second of finding, tracking and scoring faces, the original's loop beside it; memory.

Run by `bootstrap.py bench`, or: python -m measurements.speed.tracked [--only speed|memory]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from lse_bench.faces.detectors import FaceDetector, load_detector
from lse_bench.faces.face import Face
from lse_bench.faces.s3fd import S3fd
from lse_bench.faces.s3fd_network import S3fdNetwork
from lse_bench.faces.shots import ShotDetector
from lse_bench.faces.tracking import Tracking, find_tracks, scene_of
from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.pictures import read_picture
from lse_bench.media.probe import probe
from lse_bench.media.program import Sources, convert, find_ffmpeg
from lse_bench.media.video import Frame, read_frames
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.stage import write_stage
from lse_bench.sync.scorer import SyncScorer
from lse_bench.weights.formula import formula_weights
from measurements.reference import ffmpeg_program
from measurements.speed.figures import tell
from measurements.speed.lse import make_network

THREADS = 2
SIZE, FACE = (1280, 720), 400
SECONDS, LONG = 20, 600
FRAMES = 250  # of the clip for speed

_SCORE = """
import re, sys, torch
torch.set_num_threads(2)
from pathlib import Path
from lse_bench.faces.detectors import load_detector
from lse_bench.faces.tracking import Tracking
from lse_bench.sync.scorer import SyncScorer
tracking = Tracking(load_detector("centerface"), stride=5)
scorer = SyncScorer.load("syncnet-mini", protocol="tracked", tracking=tracking)
(outcome,) = scorer.score_all([(0, Path(sys.argv[1]))])
assert outcome.score is not None, outcome.failure
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(peak, outcome.facts.frames, len(outcome.tracks))
"""


def stage(folder: Path, frames: int) -> Path:
    """Two MiniLRS faces in a 720p frame."""
    root = folder / f"corpus-{frames}"
    make_corpus(Spec(speakers=2, clips=1, seed=7, split="test", frames=frames), root)
    path = folder / f"stage-{frames}.mp4"
    write_stage([clip.path for clip in read_corpus(root)[1]], path, size=SIZE, face=FACE)
    return path


def repeated(clip: Path, times: int, path: Path) -> Path:
    """The clip over and over."""

    def frames() -> Iterator[Frame]:
        for _ in range(times):
            yield from read_frames(probe(clip))

    sound = np.concatenate(list(read_sound(probe(clip))))
    write_clip(path, frames(), np.tile(sound[: SECONDS * 16000], times), preset="ultrafast", quality=26)
    return path


def measure_memory(folder: Path) -> None:
    """Peak memory of a short and of a long video, stride 5."""
    short = stage(folder, SECONDS * 25)
    long = repeated(short, LONG // SECONDS, folder / "long.mp4")
    for clip, length, wanted in ((short, SECONDS, ""), (long, LONG, "less than 100 more")):
        done = subprocess.run([sys.executable, "-c", _SCORE, str(clip)], check=True, capture_output=True, text=True)
        peak = done.stdout.split()[0]
        tell("tracked", f"peak memory, two faces at 1280x720, {length} s", float(peak), "MB", wanted)


def formula_s3fd(*, published: bool = False) -> FaceDetector:
    """S3FD with weights that have learnt nothing: the same work, and no face is sure enough to be followed.

    `published`: its layers as published.
    """

    def made() -> S3fdNetwork:
        network = S3fdNetwork()
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        network.load_state_dict({name: torch.from_numpy(value) for name, value in formula_weights(shapes).items()})
        return network.eval()

    detector = S3fd(made(), threshold=1.0)
    if published:
        detector.network = made()
    return FaceDetector("s3fd", "s3fd", "0" * 64, detector.detect)


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def measure_speed(folder: Path) -> None:
    """Frames per second of each stage."""
    clip = stage(folder, FRAMES)
    boxes = folder / "boxes"
    boxes.mkdir()
    centerface, s3fd, published = load_detector("centerface"), formula_s3fd(), formula_s3fd(published=True)
    found = list(centerface.faces(clip, read_frames(probe(clip))))
    rows = [[{"bbox": face.box.tolist(), "conf": face.score} for face in frame or []] for frame in found]
    (boxes / f"{clip.stem}.json").write_text(json.dumps(rows))
    stored = load_detector("boxes", boxes=boxes)
    weights = folder / "syncnet.pth"
    torch.save(make_network().state_dict(), weights)
    ffmpeg = find_ffmpeg(ffmpeg_program())

    def finding(detector: FaceDetector, stride: int) -> Callable[[], object]:
        return lambda: find_tracks(clip, read_frames(probe(clip)), Tracking(detector, stride=stride))

    def scoring(stride: int) -> Callable[[], object]:
        tracking = Tracking(stored, stride=stride)
        scorer = SyncScorer.load(weights, protocol="tracked", tracking=tracking)
        return lambda: list(scorer.score_all([(0, clip)]))

    def finding_as_original() -> None:
        with tempfile.TemporaryDirectory() as name:
            files = convert(ffmpeg, Sources(clip), Path(name))
            shots = ShotDetector()
            faces: list[list[Face]] = []
            for picture in files.pictures:  # one image at a time
                faces += published.detect([read_picture(picture)]) if published.detect else []
            for frame in read_frames(probe(files.video)):
                shots.push(frame)
            scene_of(faces, shots.shots(), Tracking(published))

    legacy = SyncScorer.load(weights, protocol="tracked-legacy", tracking=Tracking(stored), ffmpeg=ffmpeg.path)
    tracks = [faces or [] for faces in found]
    cases: dict[str, Callable[[], object]] = {
        "finding, S3FD, one JPEG at a time, as the original": finding_as_original,
        "finding, S3FD, stride 1": finding(s3fd, 1),
        "finding, S3FD, stride 5": finding(s3fd, 5),
        "finding, CenterFace, stride 1": finding(centerface, 1),
        "finding, CenterFace, stride 5": finding(centerface, 5),
        "tracking alone": lambda: scene_of(tracks, [(0, len(tracks))], Tracking(stored)),
        "cutting and scoring two faces through files, as the original": lambda: list(legacy.score_all([(0, clip)])),
        "cutting and scoring two faces, stride 1": scoring(1),
        "cutting and scoring two faces, stride 5": scoring(5),
    }
    print(f"\n1280x720, two faces, {THREADS} threads, best of 2, and the ratio to the original's loop")
    base = 0.0
    for case, run in cases.items():
        rate = FRAMES / min(timed(run) for _ in range(2))
        base = rate if case.endswith("as the original") else base
        tell("tracked", case, rate, "frames a second")
        if case.startswith(("finding, S3FD, stride 1", "cutting")) and rate != base:
            tell("tracked", f"{case} / as the original", rate / base, "")


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
