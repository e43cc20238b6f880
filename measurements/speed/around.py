"""What surrounds the network: windows per CPU-second of `score` with a stub in its place, beside another checkout.

Run: python -m measurements.speed.around --before FOLDER [--clips 40] [--workers 2 | --network | --faces]
FOLDER is a checkout of an earlier commit (git worktree add FOLDER COMMIT). Each measurement is a process of its own;
ours and the earlier one alternate. With --workers 2, two processes at once take half of the clips each.
With --network, the network itself works, on two threads. With --faces, S3FD looks for faces in frames of 1280x720.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lse_bench.processor import machine
from measurements.speed.lse import make_clip

_CHILD = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[4]))
from lse_bench.manifests.clips import find_clips
from lse_bench.runs.run import score_run
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.syncnet import FastSyncNet, SyncNet

def stub(self, windows):
    return torch.zeros(len(windows), self.dimensions, dtype=torch.float64)

if sys.argv[4] == "1":
    FastSyncNet._lip_tile = FastSyncNet._sound_tile = stub
folder, out, shard = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
clips = find_clips([folder])
clips = clips if shard < 0 else clips[shard::2]
scorer = SyncScorer(SyncNet().eval(), weights_sha256="0" * 64, protocol="lrs-lossless@1", device="cpu")
wall, cpu = time.perf_counter(), time.process_time()
summary = score_run(scorer, clips, out)
windows = sum(json.loads(line)["windows"] for line in (out / "records.jsonl").read_text().splitlines())
print(json.dumps([windows, time.process_time() - cpu, time.perf_counter() - wall]))
"""


_FACES = """
import json, time
import numpy as np, torch
torch.set_num_threads(2)
from measurements.speed.tracked import formula_s3fd
detector = formula_s3fd()
frames = [np.random.default_rng(n).integers(0, 256, (720, 1280, 3), dtype=np.uint8) for n in range(8)]
seconds = []
for _ in range(5):
    began = time.perf_counter()
    detector.detect(frames)
    seconds.append(time.perf_counter() - began)
print(json.dumps(len(frames) / min(seconds)))
"""


def finding(tree: Path) -> float:
    """Frames of 1280x720 a second in which S3FD, with weights that have learnt nothing, looks for faces."""
    command = [sys.executable, "-c", _FACES]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=tree)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measured(tree: Path, clips: Path, shard: int = -1, threads: int = 1) -> tuple[int, float, float]:
    """Windows, CPU-seconds and seconds of a process with the code of `tree`.

    `shard`: which half, -1 for all clips. `threads`: 1 for a stub in the network's place, 2 for the network.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", _CHILD, str(clips), str(Path(out) / "run"), str(shard), str(threads)]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=tree)
    windows, cpu, wall = json.loads(done.stdout.splitlines()[-1])
    return int(windows), float(cpu), float(wall)


def halves(tree: Path, clips: Path) -> float:
    """Windows a second of two processes at once, half of the clips each."""
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda shard: measured(tree, clips, shard), (0, 1)))
    return sum(windows for windows, _, _ in found) / max(wall for _, _, wall in found)


def main() -> None:
    """Print both rates of each round, and the ratio of the best."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--faces", action="store_true")
    chosen = parser.parse_args()
    trees = {"ours": Path(__file__).parents[2], "before": chosen.before.absolute()}
    best = dict.fromkeys(trees, 0.0)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = make_clip(folder / "00.mp4", chosen.seconds)
        for number in range(1, chosen.clips):
            (folder / f"{number:02}.mp4").write_bytes(first.read_bytes())
        for _ in range(chosen.rounds):
            for tree, path in trees.items():
                if chosen.workers == 2:
                    rate, unit = halves(path, folder), "windows a second, two processes"
                elif chosen.faces:
                    rate, unit = finding(path), "frames a second, S3FD"
                elif chosen.network:
                    windows, _, wall = measured(path, folder, threads=2)
                    rate, unit = windows / wall, "windows a second, with the network"
                else:
                    windows, cpu, _ = measured(path, folder)
                    rate, unit = windows / cpu, "windows per CPU-second"
                best[tree] = max(best[tree], rate)
                print(f"  {tree:8} {rate:8.1f} {unit}", flush=True)
    print(f"ratio {best['ours'] / best['before']:.2f}")


if __name__ == "__main__":
    main()
