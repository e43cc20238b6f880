"""What full-size training costs: arithmetic and memory of one step with the released settings, counted, not guessed.

Run: python -m measurements.speed.training_cost --data FOLDER, with `box` and `aligned` of `lse-bench prepare`. Each
method takes one real step at full width with a small batch on the CPU. FLOPs are counted by torch's FlopCounterMode
(forward and backward, a multiplication and an addition are two), activations as the bytes that autograd keeps for the
backward pass; both grow with the batch and are scaled to the released one. Parameters cost 16 bytes each under Adam.
Hours are for a GPU that sustains `--tflops` of it: an assumption, not a measurement.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from lse_bench.baselines.lipgan.train import LipGanConfig, LipGanTraining
from lse_bench.baselines.speech2vid.train import Speech2VidConfig, Speech2VidTraining
from lse_bench.baselines.wav2lip.expert import ExpertConfig, ExpertTraining
from lse_bench.baselines.wav2lip.model import Expert
from lse_bench.baselines.wav2lip.train import GeneratorConfig, GeneratorTraining
from lse_bench.training.config import load_config
from lse_bench.training.export import write_weights
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.loop import Method
from lse_bench.training.steps import set_up, take_step

SMALL = 2
STEPS = 100_000
# method, config, released batch in samples, how the small batch is asked for, trainer
Made = Callable[[Any, Path, Path], Method]
METHODS: dict[str, tuple[str, type, dict[str, Any], Made]] = {
    "expert": ("wav2lip", ExpertConfig, {"clips": SMALL}, lambda config, data, _: ExpertTraining(config, data / "box")),
    "wav2lip": ("wav2lip", GeneratorConfig, {"batch": SMALL},
                lambda config, data, expert: GeneratorTraining(config, data / "box", expert)),
    "wav2lip-gan": ("wav2lip", GeneratorConfig, {"batch": SMALL},
                    lambda config, data, expert: GeneratorTraining(config, data / "box", expert)),
    "lipgan": ("lipgan", LipGanConfig, {"batch": SMALL + 1},
               lambda config, data, _: LipGanTraining(config, data / "box")),
    "speech2vid": ("speech2vid", Speech2VidConfig, {"batch": SMALL},
                   lambda config, data, _: Speech2VidTraining(config, data / "aligned")),
}  # fmt: skip
CONFIGS = {"speech2vid": "full"}


def cost(name: str, data: Path, expert: Path) -> tuple[int, float, float, float]:
    """Released batch; FLOPs, bytes of activations of its step; bytes of parameters, gradients and optimisers."""
    package, kind, small, make = METHODS[name]
    importlib.import_module(f"lse_bench.baselines.{package}")
    config = load_config(f"{name}-{CONFIGS.get(name, 'released')}", kind, f"lse_bench.baselines.{package}")
    batch = config.clips * config.windows if name == "expert" else config.batch
    changes: dict[str, Any] = small | {"lse_clips": 0} if name != "expert" else small
    if name.startswith("wav2lip"):
        changes |= {"sync": config.sync.model_dump() | {"threshold": None, "start": 0}}
    config = config.changed(changes)
    method = make(config, data, expert)
    fabric = launch(Hardware("cpu"))
    networks = method.networks()
    method.place(fabric.device)
    trained = set_up(fabric, networks, method.optimizers(networks))
    given = method.batch(0, 0)
    weights = {value.data_ptr() for network in networks.values() for value in network.parameters()}
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        if tensor.data_ptr() not in weights:
            kept += tensor.numel() * tensor.element_size()
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        take_step(fabric, trained, method.passes(0), [given])
    parameters = sum(value.numel() for network in networks.values() for value in network.parameters())
    scale = batch / (SMALL + (name == "lipgan"))
    return batch, counter.get_total_flops() * scale, kept * scale, 16.0 * parameters


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tflops", type=float, default=20.0)
    chosen = parser.parse_args()
    print(f"| method | batch | TFLOP a step | activations, GB | parameters and Adam, GB | hours for {STEPS:,} steps at "
          f"{chosen.tflops:g} TFLOP/s |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        expert = Path(folder) / "expert.safetensors"
        write_weights(expert, Expert().state_dict(), {"lse_bench": "expert", "width": "1.0"})
        for name in METHODS:
            batch, flops, activations, parameters = cost(name, chosen.data, expert)
            hours = STEPS * flops / (chosen.tflops * 1e12) / 3600
            cells = f"{flops / 1e12:.2f} | {activations / 1e9:.1f} | {parameters / 1e9:.2f} | {hours:.1f}"
            print(f"| `{name}` | {batch} | {cells} |")


if __name__ == "__main__":
    main()
