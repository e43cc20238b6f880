"""Training checkpoints. They are written atomically and read without running code from the file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lse_bench.errors import WeightsError
from lse_bench.storage import replacing

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
    """Write everything that a run needs to continue after `step` steps.

    Batches and learning rates follow from the step, so they are not stored. `measures`: the last validation. `kept`:
    numbers that the method or the loop changes during the run, for example the best value so far. `precision`: the
    state of Fabric's precision plugin, which holds the loss scale under fp16.
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
    """Save `state` with `torch.save` so that `path` holds either the whole new file or its previous content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        torch.save(state, partial)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file of `write_checkpoint`. Raises WeightsError if it is damaged or is not such a checkpoint."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as a checkpoint: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(state, dict) or not state.keys() >= _ENTRIES:
        raise WeightsError(f"{path}: not a checkpoint of a training run; pass network weights with --weights instead")
    return state
