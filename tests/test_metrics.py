"""Metrics for other people's loops: sums that merge, NaN where nothing was scored, two processes like one."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lse_bench.errors import UsageError
from lse_bench.fidelity.frechet import Statistics, frechet_distance
from lse_bench.fidelity.inception import FidInception
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.sync.scorer import SyncScorer

pytest.importorskip("torchmetrics")
from lse_bench.metrics import FrechetInceptionDistance, LipSync

Clips = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def scorer() -> SyncScorer:
    return SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1", device="cpu")


@pytest.fixture(scope="module")
def clips(corpus: Path) -> Clips:
    found = []
    for path in sorted(corpus.rglob("*.mp4"))[:4]:
        info = probe(path)
        frames = np.stack(list(read_frames(info)))[..., ::-1]
        found.append((frames[: 50 + 5 * len(found)], np.concatenate(list(read_sound(info)))))
    return found


def test_lip_sync_is_the_mean_of_its_clips(scorer: SyncScorer, clips: Clips) -> None:
    metric = LipSync(scorer)
    assert math.isnan(metric.compute()["lse_c"]) and metric.compute()["scored"] == 0
    metric.reset()
    metric.update(*zip(*clips[:3], strict=True))
    metric.update(
        [torch.from_numpy(clips[3][0].copy()).permute(0, 3, 1, 2), clips[0][0][:4]], [clips[3][1], clips[0][1]]
    )
    found, wanted = metric.compute(), [scorer.score_arrays(*clip) for clip in clips]
    assert found["lse_d"].item() == pytest.approx(np.mean([one.lse_d for one in wanted]), abs=1e-9)
    assert found["lse_c"].item() == pytest.approx(np.mean([one.lse_c for one in wanted]), abs=1e-9)
    assert found["offset"].item() == np.mean([abs(one.offset) for one in wanted])
    assert (found["scored"], found["failed"]) == (4, 1), "four frames are too few, and counted"
    assert found["lse_d"].dtype == torch.float64
    assert metric.signature == wanted[0].signature
    with pytest.raises(UsageError, match=r"For one clip pass update\(\[frames\], \[sound\]\)"):
        metric.update(*clips[0])
    with pytest.raises(UsageError, match="needs files"):
        LipSync(SyncScorer.load("syncnet-mini"))


TWO_PROCESSES = """
import os, sys, torch, numpy as np
import torch.distributed as dist
import torch.multiprocessing as mp

def work(rank, world, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    from lse_bench.metrics import LipSync
    from lse_bench.sync.scorer import SyncScorer
    torch.set_num_threads(1)
    metric = LipSync(SyncScorer.load("syncnet-mini", protocol="lrs-lossless@1", device="cpu"))
    held = np.load(f"{folder}/clips.npz")
    for number in range(rank, 4, world):
        metric.update([held[f"frames{number}"]], [held[f"sound{number}"]])
    found = metric.compute()
    told = [str(rank), *(repr(found[name].item()) for name in ("lse_d", "lse_c", "offset", "scored"))]
    sys.stdout.write(" ".join(told) + "\\n")  # in one piece, beside another process
    sys.stdout.flush()
    dist.barrier()
    os._exit(0)  # gloo's threads sometimes abort a process that ends in the usual way (torch 2.14)

if __name__ == "__main__":
    mp.spawn(work, (2, sys.argv[1]), nprocs=2)
"""


@pytest.mark.slow
@pytest.mark.command
def test_two_processes_are_one(scorer: SyncScorer, clips: Clips, tmp_path: Path) -> None:
    arrays = {
        f"{name}{n}": value
        for n, clip in enumerate(clips)
        for name, value in zip(("frames", "sound"), clip, strict=True)
    }
    np.savez(tmp_path / "clips.npz", **arrays)
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    ended = subprocess.run([sys.executable, tmp_path / "two.py", tmp_path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    metric, threads = LipSync(scorer), torch.get_num_threads()
    torch.set_num_threads(1)  # as there: other numbers of threads round otherwise
    try:
        metric.update(*zip(*clips, strict=True))
    finally:
        torch.set_num_threads(threads)
    found = metric.compute()
    wanted = [found[name].item() for name in ("lse_d", "lse_c", "offset", "scored")]
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert sorted(line[0] for line in lines) == ["0", "1"]
    for line in lines:
        assert [float(number) for number in line[1:]] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.slow
def test_fid_is_that_of_all_frames(inception_state: dict[str, torch.Tensor]) -> None:
    network, random = FidInception(inception_state), np.random.default_rng(0)
    sets = [random.integers(0, 256, (12, 48, 48, 3), dtype=np.uint8) for _ in range(2)]
    metric = FrechetInceptionDistance(network)
    assert math.isnan(metric.compute())
    metric.reset()
    for frames, real in zip(sets, (True, False), strict=True):
        metric.update(frames[:5], real=real)
        metric.update(torch.from_numpy(frames[5:]).permute(0, 3, 1, 2), real=real)
    wanted = frechet_distance(*(Statistics.of(network.features(frames)) for frames in sets[::-1]))
    assert metric.compute().item() == pytest.approx(wanted, rel=1e-6)
    assert not metric.higher_is_better


def test_lightning_logs_the_model_between_its_anchors(scorer: SyncScorer, clips: Clips, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from lightning.pytorch import LightningModule, Trainer

    from lse_bench.callbacks import Clip, LipSyncValidation

    class Model(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            return self.layer(batch[0]).sum()

        def validation_step(self, batch: list[torch.Tensor], number: int) -> None: ...

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 1e-3)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(2, 1)))
    drawn: list[int] = []

    def draw(module: LightningModule, frames: np.ndarray, sound: np.ndarray) -> np.ndarray:
        assert not module.training
        drawn.append(len(frames))
        return frames

    callback = LipSyncValidation(draw, [Clip(*clip) for clip in clips[:3]], scorer)
    trainer = Trainer(
        max_steps=2, callbacks=[callback], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        accelerator="cpu", default_root_dir=tmp_path, precision="bf16-mixed",
    )  # fmt: skip
    trainer.fit(Model(), data, data)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert len(drawn) == 3
    assert logged["lip_sync/lse_c"] == pytest.approx(logged["lip_sync/unsynced/lse_c"], abs=1e-6), "it redraws nothing"
    assert logged["lip_sync/real/lse_c"] > logged["lip_sync/unsynced/lse_c"] + 1
    with pytest.raises(UsageError, match="two are needed"):
        LipSyncValidation(draw, [Clip(*clips[0])], scorer)
