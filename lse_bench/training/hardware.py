"""What a training run computes on: processors or GPUs, how many, in which precision."""

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
    """`accelerator`: cpu, cuda or auto; `devices` on each of `nodes`; `loaders`: processes that prepare batches.

    `reason`: why it is this precision, in words.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision = "fp32"
    reason: str = ""
    loaders: int = 1
    compiled: bool = False


def launch(hardware: Hardware) -> Fabric:
    """Start the processes, one for each device. On a GPU fp32 is fp32 (no TF32) and convolutions repeat to the last
    bit, so that a resumed run has the weights of one that was not cut off. Raises UsageError when the hardware is not
    there.
    """
    several = hardware.devices * hardware.nodes > 1
    compute_exactly()
    for noisy in ("lightning_fabric.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # which precision was asked for is known
    try:
        fabric = Fabric(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            num_nodes=hardware.nodes,
            # The first process prepares the data for all; the others wait for it as long as that takes.
            strategy=DDPStrategy(timeout=timedelta(days=2)) if several else "auto",
            precision=_FABRIC_PRECISION[hardware.precision],
        )
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise UsageError(f"--device {hardware.accelerator} --devices {hardware.devices}: {error}") from None
    if hardware.precision == "fp16" and fabric.device.type == "cpu":  # Fabric would take bf16 instead
        raise UsageError("--precision fp16 is for GPUs; bf16 is what processors know, and fp32 what all do")
    fabric.launch()
    return fabric
