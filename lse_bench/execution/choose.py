"""Choose an executor by the options of a command."""

from __future__ import annotations

import atexit
from functools import cache

from lse_bench.errors import UsageError
from lse_bench.execution.devices import parse_places
from lse_bench.execution.interface import Executor


@cache
def executor_for(devices: str | None, ray: str | None, device: str = "auto") -> Executor | None:
    """Return who does the work; None for this process.

    `devices`: the processes, see `devices.parse_places`; on a cluster see `cluster.parse_actors`. `ray`: the address of
    a Ray cluster, `auto` or `local`. `device`: the device of this process, which excludes the others. Raises UsageError
    if the options exclude each other, if a device does not exist, or if the extra `ray` is not installed.

    The same options give the same executor, whose processes wait for the next call. So the steps of a benchmark start
    them once. They end with this process.
    """
    if devices is None and ray is None:
        return None
    if device != "auto":
        raise UsageError(f"--device {device} is for one process. Leave it out, or name the device in --devices")
    if ray is not None:
        from lse_bench.execution.cluster import Cluster

        return Cluster(ray, devices or "all")
    import torch

    from lse_bench.execution.local import Local

    assert devices is not None
    on_cpu = all(part.strip().startswith("cpu") for part in devices.split(","))
    local = Local(parse_places(devices, 0 if on_cpu else torch.cuda.device_count()))
    atexit.register(local.close)  # while its modules still work; else the interpreter complains at its end
    return local
