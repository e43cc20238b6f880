"""The README's figure and its four pipelines: one MiniLRS clip, scored by syncnet-mini.

Run: python -m measurements.quality.figures [--out docs/figures]
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import lse_bench
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec

SHOWN = (20, 24, 28)  # frames beside the curves


def load(path: Path) -> tuple[list[Frame], np.ndarray]:
    """BGR frames and 16 kHz sound of a clip."""
    info = probe(path)
    return list(read_frames(info)), np.concatenate(list(read_sound(info)))


def draw(path: Path, curves: dict[str, lse_bench.LseScore], frames: list[Frame]) -> None:
    """The curves, and a few frames beside them."""
    with mpl.rc_context({"svg.hashsalt": "lse-bench", "svg.fonttype": "none", "font.size": 11}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axes = figure.subplot_mosaic([["a", "b", "c", "curve"]], width_ratios=[1, 1, 1, 3.4])
        for name, number in zip("abc", SHOWN, strict=True):
            axes[name].imshow(frames[number][..., ::-1])
            axes[name].set_axis_off()
        for (name, score), colour in zip(curves.items(), ("#009e73", "#d55e00"), strict=True):
            label = f"{name}: LSE-D {score.lse_d:.2f}, LSE-C {score.lse_c:.2f}"
            axes["curve"].plot(range(-15, 16), score.curve, color=colour, label=label)
        axes["curve"].set_xlabel("sound shifted by (frames of 40 ms)")
        axes["curve"].set_ylabel("mean distance")
        axes["curve"].spines[["top", "right"]].set_visible(False)
        axes["curve"].legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the figure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    out = parser.parse_args().out
    scorer = lse_bench.SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1", device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_corpus(
            Spec(speakers=2, clips=1, seed=11, frames=75, style="plain", split="test"), folder / "corpus", workers=1
        )
        clip, other = sorted((folder / "corpus").rglob("*.mp4"))[:2]
        (frames, sound), (_, mismatched) = load(clip), load(other)
        scores = {
            "its own sound": scorer.score(clip),
            "another speaker's": scorer.score_arrays(np.stack(frames)[..., ::-1], mismatched),
        }
        out.mkdir(parents=True, exist_ok=True)
        draw(out / "curves.svg", scores, frames)
        wide = frames[0].shape[1]
        edge = wide // 8
        padded = [np.pad(frame, ((edge, edge), (edge, edge), (0, 0))) for frame in frames]
        write_clip(folder / "padded.mp4", padded, sound)
        thirty = [frames[int(number * 25 / 29.97)] for number in range(int(len(frames) / 25 * 29.97))]
        write_clip(folder / "ntsc.mp4", thirty, sound, Fraction(30000, 1001))
        rows = {
            "frames as stored (`lrs-lossless@1`)": scorer.score(clip),
            "frames through ffmpeg's JPEG, as the published script (`lrs@1`)": lse_bench.SyncScorer.load(
                "syncnet-mini", protocol="lrs@1", device="cpu"
            ).score(clip),
            "the face crop with a border of one eighth": scorer.score(folder / "padded.mp4"),
            "written at 29.97 fps and counted as 25": lse_bench.SyncScorer.load(
                "syncnet-mini", protocol="lrs-lossless@1", fps_policy="as-is", device="cpu"
            ).score(folder / "ntsc.mp4"),
        }
    print("| one clip, one network | LSE-D | LSE-C |\n|---|---:|---:|")
    for label, score in rows.items():
        print(f"| {label} | {score.lse_d:.2f} | {score.lse_c:.2f} |")
    print({name: (round(score.lse_d, 2), round(score.lse_c, 2)) for name, score in scores.items()})


if __name__ == "__main__":
    main()
