"""The options that say who does the work. They change nothing but time, so no digest covers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from lse_bench.execution.choose import executor_for
from lse_bench.execution.interface import Executor
from lse_bench.tasks.options import Flag, TaskOptions


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions(TaskOptions):
    """The options of every command that works on many clips."""

    devices: Annotated[
        str | None,
        Flag(
            "Work in several processes: all (one for each GPU), 0,2 (these GPUs), cuda:0x4 (four on one card) or cpu:2 "
            "(two without a GPU). With --ray: gpu:8, gpu:8x4 or cpu:64 of the cluster. Default: this process.",
            metavar="DEVICES",
            neutral=True,
        ),
    ] = None
    ray: Annotated[
        str | None,
        Flag(
            "Work on a Ray cluster: its address, auto for the one that this machine belongs to, or local for one that "
            "is started here. Needs the extra ray.",
            metavar="ADDRESS",
            neutral=True,
        ),
    ] = None


def executor_of(options: ExecutionOptions | None, device: str) -> Executor | None:
    """Return who does the work; None for this process. `device`: that of this process, which excludes the others.

    Raises UsageError if the options exclude each other, if a device does not exist, or if Ray is not installed.
    """
    return None if options is None else executor_for(options.devices, options.ray, device)
