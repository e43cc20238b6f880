"""The options that say who does the work. They change nothing but time, so no digest covers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

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
