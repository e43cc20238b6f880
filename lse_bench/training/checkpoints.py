"""Checkpoints of training: written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lse_bench.errors import WeightsError

_ENTRIES = {"networks", "optimizers", "step", "measures", "kept", "precision"}


def write_checkpoint(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    step: int,
    measures: dict[str, float],
    kept: dict[str, float],
    precision: dict[str, Any],
) -> None:
    """Everything a run needs to go on after `step` steps. Batches and rates follow from the step, so they need none.

    `kept`: numbers that a method or the loop changes as it goes (a weight that was switched on, the best so far).
    `precision`: the state of what scales losses under fp16.
    """
    state = {
        "networks": {name: network.state_dict() for name, network in networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "step": step,
        "measures": measures,
        "kept": kept,
        "precision": precision,
    }
    save_atomically(path, state)


def save_atomically(path: Path, state: dict[str, Any]) -> None:
    """torch.save under a name that holds either the whole file or what it held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    torch.save(state, partial)
    os.replace(partial, path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote. Raises WeightsError when the file is damaged or something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as a checkpoint: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(state, dict) or not state.keys() >= _ENTRIES:
        raise WeightsError(f"{path}: not a checkpoint of a training run; give weights by --weights instead")
    return state
