"""Score a clip that is in memory. Run: python examples/score_arrays.py [CLIP.mp4 [WEIGHTS]]"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import av
import numpy as np

import lse_bench
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec


def synthetic_clip(folder: Path) -> Path:
    """A MiniLRS clip, for who has no video at hand."""
    make_corpus(Spec(speakers=1, clips=1, frames=75, split="test"), folder, workers=1)
    return next(folder.rglob("*.mp4"))


def read(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """RGB frames (T,H,W,3), mono int16 sound at 16 kHz, frames per second: by PyAV, or by any library you like."""
    with av.open(str(path)) as container:
        fps = float(container.streams.video[0].average_rate or 25)
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        blocks = [block for frame in container.decode(audio=0) for block in resampler.resample(frame)]
    return frames, np.concatenate([block.to_ndarray().reshape(-1) for block in blocks]), fps


def main() -> None:
    """Print the score of a clip."""
    weights = sys.argv[2] if len(sys.argv) > 2 else "syncnet-mini"
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(sys.argv[1]) if len(sys.argv) > 1 else synthetic_clip(Path(folder))
        frames, sound, fps = read(clip)
    scorer = lse_bench.SyncScorer.load(weights, protocol="lrs-lossless@1")
    score = scorer.score_arrays(frames, sound, fps=fps)
    print(f"LSE-D {score.lse_d:.3f}, LSE-C {score.lse_c:.3f}, offset {score.offset:+d} frames")
    print(score.signature, *score.warnings, sep="\n")


if __name__ == "__main__":
    main()
