"""What writing costs untouched pictures: mean shift of colours, and FID of a copy against its source.

Run: python -m measurements.precision.colours CLIP… (MiniLRS clips, or your own). The Inception
network has formula weights, so a FID here compares with the others of this table only. A copy with every colour one
level off is the scale.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from av.video.reformatter import Interpolation

from lse_bench.fidelity.frechet import Statistics, StatisticsStream, frechet_distance
from lse_bench.fidelity.inception import FidInception
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.media.writer import ACCURATE, VIDEO_QUALITY, write_clip
from measurements.reference import inception_state

STEP = 5  # every fifth frame


def pictures(path: Path) -> list[Frame]:
    """Every fifth frame."""
    return list(read_frames(probe(path)))[::STEP]


def statistics(network: FidInception, frames: list[Frame]) -> Statistics:
    """Mean and covariance of the Inception features."""
    stream = StatisticsStream(network.dimensions)
    for frame in frames:
        stream.push(network.features(np.ascontiguousarray(frame[None, ..., ::-1])))
    return stream.finish()


def main(clips: list[Path]) -> None:
    network = FidInception(inception_state())
    sources = {clip: pictures(clip) for clip in clips}
    source = statistics(network, [frame for frames in sources.values() for frame in frames])
    brighter = statistics(network, [np.minimum(frame, 254) + 1 for frames in sources.values() for frame in frames])
    scale = frechet_distance(brighter, source)
    print(f"{len(clips)} clips, {source.count} frames; every colour one level off: FID {scale:.3g}")
    print("| conversion | x264 quality | blue, green, red: mean shift in levels | FID of the copy |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, conversion in (("not rounded", Interpolation.BILINEAR), ("accurate", ACCURATE)):
            for quality in (VIDEO_QUALITY, 1):
                copies, shifts = [], []
                for clip, frames in sources.items():
                    path = Path(folder) / "copy.mp4"
                    write_clip(path, read_frames(probe(clip)), quality=quality, conversion=conversion)
                    copy = pictures(path)
                    shifts.append(
                        np.mean(
                            [np.subtract(a, b, dtype=float).mean((0, 1)) for a, b in zip(copy, frames, strict=True)],
                            axis=0,
                        )
                    )
                    copies.extend(copy)
                shift = ", ".join(f"{value:+.2f}" for value in np.mean(shifts, axis=0))
                print(
                    f"| {name} | {quality} | {shift} | {frechet_distance(statistics(network, copies), source):.3g} |",
                    flush=True,
                )


if __name__ == "__main__":
    torch.set_num_threads(2)
    main([Path(clip) for clip in sys.argv[1:]])
