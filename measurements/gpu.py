"""What a device computes, and how fast: the scorer, Inception, and one step of every trainer.

    python measurements/gpu.py [--device cuda] [--out gpu.json] [--limit 120] [--small] [--only PART ...]

Needs arrays only: torch, numpy, scipy, safetensors, pydantic, Lightning Fabric. No media library, no network, no
installed package: it runs from a checkout. Weights and inputs are made up by formula, so every machine has the same.
Each part is a process of its own with its own limit of seconds; one that fails or takes too long leaves the others.
Printed is one table; the JSON file holds the same with the machine's description. `--small` is for tests: narrow
networks and few inputs.

`scorer` and `inception`: the largest difference from float64 on the CPU as a part of the largest value, and inputs a
second. `train-…`: seconds of one full-width step in each precision, and the loss of the first step.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

ROOT = Path(__file__).parents[1]
# What follows is imported from the checkout, which may not be installed: hence after these lines.
sys.path.insert(0, str(ROOT))
import lse_bench

if importlib.util.find_spec("lse_bench.baselines") is None:
    lse_bench.__path__.append(str(ROOT))

from lse_bench.baselines.lipgan import passes as lipgan
from lse_bench.baselines.lipgan.keras_adam import KerasAdam
from lse_bench.baselines.lipgan.model import SOUND_SHAPE, Discriminator
from lse_bench.baselines.lipgan.model import Generator as LipGan
from lse_bench.baselines.speech2vid import passes as speech2vid
from lse_bench.baselines.speech2vid.model import (
    DEBLURRED,
    PREDICTION,
    deblur_layers,
    generator_layers,
)
from lse_bench.baselines.wav2lip import passes as wav2lip
from lse_bench.baselines.wav2lip.model import Expert, Generator, QualityDiscriminator

from lse_bench.fidelity.inception import FidInception
from lse_bench.processor import machine
from lse_bench.sync.syncnet import FastSyncNet, SyncNet
from lse_bench.training import pairs
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.steps import Batch, Pass, set_up, take_step
from lse_bench.weights.formula import formula_weights

NARROW = 1 / 16
ROUNDS = 3
Row = dict[str, Any]


def filled(network: torch.nn.Module) -> Any:
    """A network with weights by formula."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in formula_weights(shapes).items()}
    network.load_state_dict(state)
    return network


def waited(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str, rounds: int) -> float:
    """The shortest of a few times, after one to warm up."""
    times = []
    for _ in range(rounds + 1):
        waited(device)
        began = time.perf_counter()
        work()
        waited(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def rounds_of(small: bool) -> int:
    """How often something is timed."""
    return 1 if small else ROUNDS


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether convolutions and products may use TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference as a part of the largest wanted value."""
    return float((found.double().cpu() - wanted).abs().max() / wanted.abs().max())


def scorer(device: str, small: bool) -> list[Row]:
    """SyncNet's lip tower, the scorer's cost, in the forms that the scorer has."""
    network = filled(SyncNet.narrowed(NARROW) if small else SyncNet()).eval()
    random = torch.Generator().manual_seed(0)
    few, many = (2, 2) if small else (16, 512 if device.startswith("cuda") else 32)
    lips = torch.randint(0, 256, (few, 15, 224, 224), generator=random).float()
    with torch.inference_mode():
        exact = network.double().lip(lips.double().reshape(few, 5, 3, 224, 224).transpose(1, 2))
    network.float()
    rows = []
    for name in ("fp32", "tf32", "bf16"):
        if name == "tf32" and not device.startswith("cuda"):
            continue
        fast = FastSyncNet(network, device, "bf16" if name == "bf16" else "fp32")
        load = lips.repeat(many // few, 1, 1, 1).to(device)
        with tf32(name == "tf32"):
            error = relative(fast.lip(lips), exact)
            seconds = seconds_of(lambda fast=fast, load=load: fast.lip(load), device, rounds_of(small))  # type: ignore[misc]
        rows.append({"precision": name, "error": error, "per_second": len(load) / seconds, "unit": "windows"})
    return rows


def inception(device: str, small: bool) -> list[Row]:
    """FID's Inception."""
    shapes: dict[str, list[int]] = json.loads((ROOT / "measurements" / "inception_shapes.json").read_text())
    entries: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        entries[f"{name}.conv.weight"] = tuple(shape)
        entries |= {f"{name}.bn.{part}": (shape[0],) for part in ("weight", "bias", "running_mean", "running_var")}
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in formula_weights(entries, seed=3).items()}
    side, few, many = (75, 1, 1) if small else (299, 4, 256 if device.startswith("cuda") else 8)
    x = torch.rand((few, 3, side, side), generator=torch.Generator().manual_seed(0)) * 2 - 1
    reference = FidInception(state)
    reference._layers = {name: (w.double(), b.double()) for name, (w, b) in reference._layers.items()}
    with torch.inference_mode():
        exact = reference._network(x.double())
    rows = []
    for name in ("fp32", "tf32", "bf16"):
        if name == "tf32" and not device.startswith("cuda"):
            continue
        network = FidInception(state, device)
        dtype = torch.bfloat16 if name == "bf16" else torch.float32
        network._layers = {key: (w.to(dtype), b.to(dtype)) for key, (w, b) in network._layers.items()}
        load = x.repeat(many // few, 1, 1, 1).to(device, dtype).contiguous(memory_format=torch.channels_last)
        with tf32(name == "tf32"), torch.inference_mode():
            error = relative(network._network(load[:few]), exact)
            seconds = seconds_of(lambda network=network, load=load: network._network(load), device, rounds_of(small))  # type: ignore[misc]
        rows.append({"precision": name, "error": error, "per_second": len(load) / seconds, "unit": "frames"})
    return rows


def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """Made-up values, the same everywhere."""
    random = np.random.Generator(np.random.PCG64([0, *shape]))
    return torch.from_numpy(random.uniform(low, high, shape).astype(np.float32))


Made = tuple[dict[str, torch.nn.Module], list[Pass], Batch]


def made_syncnet(width: float, size: int) -> Made:
    """SyncNet by InfoNCE."""
    networks = {pairs.NETWORK: filled(pairs.Pairs(width))}
    batch = {"frames": uniform(size, 15, 112, 112, high=255), "mfcc": uniform(size, 1, 13, 20, low=-20, high=20)}
    return networks, [pairs.matching_pass("infonce", 1.0)], batch


def made_expert(width: float, size: int) -> Made:
    """Wav2Lip's expert, the released loss."""
    networks = {wav2lip.EXPERT: filled(wav2lip.ListeningExpert(width, infonce=False, guided=False))}
    in_sync = (torch.arange(size) % 2).float()[:, None]
    batch = {"faces": uniform(size, 15, 48, 96), "mel": uniform(size, 1, 80, 16, low=-4, high=4), "in_sync": in_sync}
    return networks, [Pass(wav2lip.EXPERT, wav2lip.matching_loss)], batch


def made_wav2lip(gan: bool, device: str, width: float, size: int) -> Made:
    """Wav2Lip's generator with its expert, and with the quality discriminator."""
    expert = filled(Expert(width)).eval().requires_grad_(False).to(device)
    networks: dict[str, torch.nn.Module] = {wav2lip.GENERATOR: filled(Generator(width))}
    if gan:
        networks[wav2lip.JUDGE] = filled(QualityDiscriminator(width))
    batch = {name: uniform(size, 3, 5, 96, 96) for name in ("target", "reference")}
    batch |= {"mels": uniform(size, 5, 1, 80, 16, low=-4, high=4), "mel": uniform(size, 1, 80, 16, low=-4, high=4)}
    return networks, wav2lip.passes_of(expert, 0.03, 0.07 if gan else None), batch


def made_lipgan(width: float, size: int) -> Made:
    """LipGAN against its discriminator."""
    networks = {
        lipgan.GENERATOR: filled(LipGan("fully_pythonic", "residual", width)),
        lipgan.JUDGE: filled(Discriminator("fully_pythonic", width)),
    }
    batch = {name: uniform(size, 3, 96, 96) for name in ("target", "reference")}
    batch |= {"sound": uniform(size, 1, *SOUND_SHAPE["fully_pythonic"], low=-4, high=4), "coin": torch.ones(())}
    return networks, lipgan.passes_of(0.01, roll=1), batch


def speech2vid_batch(size: int) -> Batch:
    """Faces and MFCC."""
    random = torch.Generator().manual_seed(0)
    faces = {name: torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
             for name, shape in (("target", (size, 112, 112, 3)), ("identity", (size, 5, 112, 112, 3)))}  # fmt: skip
    return faces | {"sound": uniform(size, 1, 12, 35, low=-5, high=5)}


def made_speech2vid(width: float, size: int) -> Made:
    """Speech2Vid's generator by its error alone."""
    torch.manual_seed(0)
    networks: dict[str, torch.nn.Module] = {speech2vid.GENERATOR: speech2vid.fresh(generator_layers(width), PREDICTION)}
    return networks, [speech2vid.drawing_pass(None, 0.0, mask_zeros=False)], speech2vid_batch(size)


def made_deblur(width: float, size: int) -> Made:
    """The network that sharpens Speech2Vid's faces."""
    torch.manual_seed(0)
    networks: dict[str, torch.nn.Module] = {speech2vid.DEBLUR: speech2vid.fresh(deblur_layers(width), DEBLURRED)}
    return networks, [speech2vid.sharpening_pass(speech2vid.wanted_of, "mse")], speech2vid_batch(size)


def trainer(make: Callable[..., Made], device: str, small: bool) -> list[Row]:
    """Steps of one trainer in fp32 and bf16."""
    width, size = (NARROW, 3) if small else (1.0, 16 if device.startswith("cuda") else 2)
    rows: list[Row] = []
    for precision in ("fp32", "bf16"):
        networks, passes, batch = make(width=width, size=size)
        fabric: Fabric = launch(Hardware(device.split(":")[0], precision=precision))  # type: ignore[arg-type]
        optimizers: dict[str, Any] = {name: KerasAdam(one.parameters(), 1e-4) for name, one in networks.items()}
        trained = set_up(fabric, {name: one.train() for name, one in networks.items()}, optimizers)
        there = {name: value.to(fabric.device) for name, value in batch.items()}
        loss = take_step(fabric, trained, passes, [there])["loss"]
        seconds = seconds_of(
            lambda t=trained, p=passes, b=there, f=fabric: take_step(f, t, p, [b]), device, rounds_of(small)
        )  # type: ignore[misc]
        row = {"precision": precision, "loss": loss, "seconds": seconds, "batch": size}
        if device.startswith("cuda"):
            row["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        rows.append(row)
    return rows


def parts_on(device: str) -> dict[str, Callable[[bool], list[Row]]]:
    """Every part by its name."""
    makers: dict[str, Callable[..., Made]] = {
        "syncnet": made_syncnet,
        "expert": made_expert,
        "wav2lip": functools.partial(made_wav2lip, False, device),
        "wav2lip-gan": functools.partial(made_wav2lip, True, device),
        "lipgan": made_lipgan,
        "speech2vid": made_speech2vid,
        "speech2vid-deblur": made_deblur,
    }
    parts: dict[str, Callable[[bool], list[Row]]] = {
        "scorer": lambda small: scorer(device, small),
        "inception": lambda small: inception(device, small),
    }
    for name, make in makers.items():
        parts[f"train-{name}"] = lambda small, make=make: trainer(make, device, small)  # type: ignore[misc]
    return parts


def run_part(name: str, arguments: argparse.Namespace) -> list[Row]:
    """A part in a process of its own; one row that says why where it has no figures."""
    command = [sys.executable, __file__, "--device", arguments.device, "--part", name]
    try:
        ended = subprocess.run(
            [*command, *(["--small"] if arguments.small else [])],
            capture_output=True,
            text=True,
            timeout=arguments.limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [{"failed": f"not done within {arguments.limit} s"}]
    if ended.returncode:
        return [{"failed": (ended.stderr.strip().splitlines() or ["no reason given"])[-1]}]
    rows: list[Row] = json.loads(ended.stdout.splitlines()[-1])
    return rows


def line_of(part: str, row: Row) -> str:
    """A row of the table."""
    if "failed" in row:
        return f"{part:<24} {row['failed']}"
    if "error" in row:
        told = f"{row['per_second']:>12.1f} {row['unit']}/s   error {row['error']:.1e}"
    else:
        told = f"{row['seconds'] * 1e3:>12.1f} ms/step     loss {row['loss']:.5f}, batch {row['batch']}"
        if "memory_gib" in row:
            told += f", {row['memory_gib']:.1f} GiB"
    return f"{part:<24} {row['precision']:<5} {told}"


def described(device: str) -> dict[str, Any]:
    """The machine and the card."""
    card = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {"device": device, "card": card, "torch": torch.__version__, "cuda": torch.version.cuda, **machine()}


def main() -> int:
    """Parse and run; 1 when a part has no figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--limit", type=float, default=120.0, help="Seconds for each part.")
    parser.add_argument("--small", action="store_true", help="Narrow networks and few inputs.")
    parser.add_argument("--only", nargs="*", help="Names of parts.")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    parts = parts_on(arguments.device)
    if arguments.part:
        print(json.dumps(parts[arguments.part](arguments.small)))
        return 0
    about = described(arguments.device)
    print(", ".join(f"{name} {value}" for name, value in about.items() if value and name != "instruction_sets"))
    found: dict[str, list[Row]] = {}
    for name in arguments.only or parts:
        found[name] = run_part(name, arguments)
        for row in found[name]:
            print(line_of(name, row), flush=True)
        arguments.out.write_text(json.dumps({"machine": about, "parts": found}, indent=1) + "\n", encoding="utf-8")
    return int(any("failed" in row for rows in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
