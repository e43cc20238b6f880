"""What measures beside LSE cost in one pass, against decoding once and each measure alone on arrays in memory.

Run: python -m measurements.speed.measures [--rounds N]. Some three minutes. It needs `lse-bench weights fetch facemesh
silero_vad`. The pass and the parts alternate in each round; the ratio is of the fastest of each.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lse_bench
from lse_bench.faces.landmarks import Mesh
from lse_bench.features.voice import VoiceStream, load_vad
from lse_bench.measures.interface import Measure, MeasuredClip, Meter
from lse_bench.measures.registry import make_measures
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.processor import machine
from lse_bench.weights.store import resolve

MEASURES = ("psnr", "ssim", "lmd", "silence", "sharpness")
FRAMES, LONG = 1500, 4000
SILENT = slice(2 * 16_000, 4 * 16_000)
LIMIT = 1.15


def clip_and_original(folder: Path, frames: int) -> tuple[Path, Path]:
    """A MiniLRS clip and the same encoded at another quality, in two folders."""
    make_corpus(Spec(speakers=1, clips=1, seed=4, split="test", frames=min(frames, 1500)), folder / "corpus")
    (original,) = (folder / "corpus").rglob("*.mp4")
    pictures = list(read_frames(probe(original), 25))
    sound = np.concatenate(list(read_sound(probe(original))))
    sound[SILENT] = 0  # so that `silence` has something to look at
    paths = []
    for name, quality in (("outputs", 26), ("originals", 18)):
        path = folder / name / "a.mp4"
        path.parent.mkdir()
        rounds = -(-frames // len(pictures))
        write_clip(path, (pictures * rounds)[:frames], np.tile(sound, rounds)[: frames * 640], quality=quality)
        paths.append(path)
    return paths[0], paths[1]


def parts(clip: Path, original: Path) -> dict[str, float]:
    """Seconds of decoding both files once, of LSE and of each measure on arrays. What is shared counts once."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        seconds[name] = time.perf_counter() - began
        return found

    ours = timed("decode", lambda: list(read_frames(probe(clip), 25)))
    sound = timed("decode sound", lambda: np.concatenate(list(read_sound(probe(clip)))))
    theirs = timed("decode original", lambda: list(read_frames(probe(original), 25)))
    rgb = np.stack(ours)[..., ::-1]
    timed("LSE", lambda: SCORER.score_arrays(rgb, sound))
    mesh = Mesh(resolve("facemesh"))
    points = []
    for name, path, frames in (("landmarks", clip, ours), ("original's landmarks", original, theirs)):
        follower = mesh.follow(path)
        points.append(timed(name, partial(list, map(follower.find, frames))))
    stream = VoiceStream(load_vad(resolve("silero_vad")))
    timed("speech", lambda: stream.push(sound))
    pieces = stream.finish()
    about = MeasuredClip("a", clip, original)
    for measure in make_measures(MEASURES, []):
        meter = measure.start(about)

        timed(measure.name, partial(feed, measure, meter, list(zip(ours, theirs, *points, strict=True)), pieces))
    return seconds


def feed(measure: Measure, meter: Meter, clip: list[Any], pieces: NDArray[np.float64]) -> float:
    """The value of a measure from a clip in memory."""
    for one, other, here, there in clip:
        if "landmarks" in measure.needs:
            meter.landmarks(here, there)
        meter.frame(one, other if "original" in measure.needs else None)
    meter.speech(pieces)
    return meter.finish()


def whole(clip: Path, original: Path, measures: Sequence[str] = MEASURES) -> float:
    """Seconds of one pass with everything."""
    began = time.perf_counter()
    run = lse_bench.evaluate(
        clip.parent,
        weights="syncnet-mini",
        protocol="lrs-lossless@1",
        device="cpu",
        originals=original.parent,
        measures=measures,
    )
    seconds = time.perf_counter() - began
    assert not run.records[0].missing, run.records[0].missing
    return seconds


SCORER = lse_bench.SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1", device="cpu")


def peak(frames: int) -> float:
    """Peak memory, in MiB, of a process of its own that measures a clip of so many frames."""
    command = [sys.executable, "-m", "measurements.speed.measures", "--only", str(frames)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    """Print the parts, the whole and their ratio; exit status 1 above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=int)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip, original = clip_and_original(Path(folder), chosen.only or FRAMES)
        whole(clip, original)  # imports, and the first run of each network
        if chosen.only is not None:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            return
        rounds = [(parts(clip, original), whole(clip, original)) for _ in range(chosen.rounds)]
    best = {name: min(found[name] for found, _ in rounds) for name in rounds[0][0]}
    one_pass, added = min(seconds for _, seconds in rounds), sum(best.values())
    print(f"{machine()}\n{FRAMES} frames of 160 x 160, seconds:")
    for name, seconds in best.items():
        print(f"  {name:22} {seconds:6.2f}")
    print(f"  {'sum':22} {added:6.2f}\n  {'one pass':22} {one_pass:6.2f}\nratio {one_pass / added:.2f} (limit {LIMIT})")
    short, long = peak(FRAMES), peak(LONG)
    print(f"peak memory: {short:,.0f} MiB with {FRAMES} frames, {long:,.0f} MiB with {LONG}")
    raise SystemExit(0 if one_pass <= LIMIT * added else 1)


if __name__ == "__main__":
    main()
