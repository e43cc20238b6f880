"""The hardware of a training run: processors or GPUs, their number, and the precision."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException

from lse_bench.devices import compute_exactly
from lse_bench.errors import UsageError
from lse_bench.precision import Precision

_FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware that a training run uses.

    `accelerator`: cpu, cuda or auto. `devices`: the number of devices on each of `nodes` machines. `reason`: a sentence
    that says why `precision` was chosen. `loaders`: the number of processes that prepare batches; 0 prepares them in
    the training process. `compiled`: run the networks through `torch.compile`.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision = "fp32"
    reason: str = ""
    loaders: int = 1
    compiled: bool = False


def launch(hardware: Hardware) -> Fabric:
    """Start one process for each device and return Fabric.

    On a GPU, fp32 excludes TF32 and convolutions are deterministic. A resumed run therefore has the same weights as a
    run without interruption. Raises UsageError if the hardware is missing or cannot compute in the precision.
    """
    several = hardware.devices * hardware.nodes > 1
    compute_exactly()
    for noisy in ("lightning_fabric.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # they repeat the precision, which is already reported
    try:
        fabric = Fabric(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            num_nodes=hardware.nodes,
            # The first process prepares the data for all, and the others wait. That may take hours.
            strategy=DDPStrategy(timeout=timedelta(days=2)) if several else "auto",
            precision=_FABRIC_PRECISION[hardware.precision],
        )
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise UsageError(f"--device {hardware.accelerator} --devices {hardware.devices}: {error}") from None
    if hardware.precision == "fp16" and fabric.device.type == "cpu":  # Fabric would silently use bf16
        raise UsageError("--precision fp16 is for GPUs only; use bf16 or fp32 on a processor")
    fabric.launch()
    return fabric
