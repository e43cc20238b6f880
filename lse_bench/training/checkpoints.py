"""Checkpoints of training: written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lse_bench.errors import WeightsError


def write_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, step: int, measures: dict[str, float]
) -> None:
    """Everything a run needs to go on after `step` steps. Batches and rates follow from the step, so they need none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "measures": measures}
    torch.save(state, partial)
    os.replace(partial, path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote. Raises WeightsError when the file is damaged or something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as a checkpoint: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(state, dict) or not {"network", "optimizer", "step", "measures"} <= state.keys():
        raise WeightsError(f"{path}: not a checkpoint of a training run; give weights by --weights instead")
    return state
