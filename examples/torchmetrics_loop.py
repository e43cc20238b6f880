"""LSE of a generator in an evaluation loop. Run: python examples/torchmetrics_loop.py

Under torchrun every process scores its share, and all print the same numbers:
torchrun --nproc-per-node 2 examples/torchmetrics_loop.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.metrics import LipSync
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.sync.scorer import SyncScorer


def clips(folder: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Frames (T,3,H,W) and sound (N,) of a few MiniLRS clips; the same in every process."""
    make_corpus(Spec(speakers=2, clips=2, frames=50, split="test"), folder, workers=1)
    found = []
    for path in sorted(folder.rglob("*.mp4")):
        info = probe(path)
        frames = [torch.from_numpy(frame[..., ::-1].copy()).permute(2, 0, 1) for frame in read_frames(info)]
        found.append((torch.stack(frames), torch.cat([torch.from_numpy(block.copy()) for block in read_sound(info)])))
    return found


def generate(frames: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
    """Your model. This one gives the source back."""
    return frames


def main() -> None:
    """Score each clip with its own sound."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        dist.init_process_group("gloo")
    metric = LipSync(SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1", device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        for frames, sound in clips(Path(folder))[rank::world]:
            metric.update([generate(frames, sound)], [sound])
    found = metric.compute()
    line = " ".join(f"{name} {float(value):.4f}" for name, value in found.items())
    sys.stdout.write(f"{line}\n")  # in one piece, since several processes write here
    sys.stdout.flush()
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
