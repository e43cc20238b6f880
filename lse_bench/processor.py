"""The processor: how many cores and how much memory are ours, what it is called, which instructions it knows.

Standard library only. What depends on it: how many threads and processes compute, and the last digits of sums.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# From the narrowest to the widest; libraries choose their code by them, so the last digits of a result follow them.
INSTRUCTION_SETS = (
    *("sse4_1", "avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16"),
    *("asimd", "sve", "bf16", "sve2"),
)
# What a user may set so that libraries use less than the processor knows.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES")

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """How many cores this process may keep busy: by its affinity (taskset, Slurm) and by the quota of its control
    group (containers), whichever is less; at least 1. A quota of 1.5 cores counts as 2.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def machine() -> dict[str, Any]:
    """What of this machine may move a result's last digits, for records: `processor`, `system`, `instruction_sets`
    (the widest last), `limits` (environment variables that narrow them), `cores` and `threads` (of torch, where it is
    loaded; else the usable cores).
    """
    known = _flags()
    torch = sys.modules.get("torch")
    limits = {name: os.environ[name] for name in LIMITS if name in os.environ}
    return {
        "processor": _name(),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in known],
        **({"limits": limits} if limits else {}),
        "cores": usable_cores(),
        "threads": usable_cores() if torch is None else torch.get_num_threads(),
    }


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo; none on other systems than Linux."""
    try:
        text = (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _name() -> str:
    """What the processor calls itself; its kind where it does not say."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _flags() -> set[str]:
    about = _cpuinfo()
    return set(f"{about.get('flags', '')} {about.get('Features', '')}".split())


def available_memory() -> int | None:
    """Bytes that this process may still fill: what the system has free and what its control groups leave it, whichever
    is less; None where the system does not say.
    """
    try:
        lines = (_PROC / "meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    left = (_memory_left(group) for group in _groups("memory"))
    return min((*free, *(value for value in left if value is not None)), default=None)


def _quota() -> float | None:
    """Cores that the control groups of this process allow, the least of it and of those around it; None for no limit.

    Version 2 keeps `cpu.max`, version 1 `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    """
    return min((quota for group in _groups("cpu") if (quota := _quota_in(group)) is not None), default=None)


def _groups(wanted: str) -> Iterator[Path]:
    """Folders of the control groups of this process, and of those around it, that hold the controller `wanted`."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        if controllers and wanted not in controllers.split(","):
            continue
        root = _CGROUPS if not controllers else _CGROUPS / controllers
        if controllers and not root.is_dir():
            root = _CGROUPS / wanted
        parts = Path(path.lstrip("/")).parts
        for depth in range(len(parts) + 1):  # a container sees its own group as the root, whatever its path says
            yield root.joinpath(*parts[:depth])


def _memory_left(group: Path) -> int | None:
    """Version 2 keeps `memory.max` and `memory.current`, version 1 `memory.limit_in_bytes` and `memory.usage_in_bytes`.
    Pages of files count as used there, but make room when they have to.
    """
    names = ("memory.max", "memory.current", "file"), ("memory.limit_in_bytes", "memory.usage_in_bytes", "cache")
    limit, used, files = names[0] if (group / "memory.max").exists() else names[1]
    try:
        most = (group / limit).read_text(encoding="utf-8").strip()
        if most == "max":
            return None
        held = (line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        cached = next((int(value) for name, value in held if name == files), 0)
        return max(0, int(most) - int((group / used).read_text(encoding="utf-8")) + cached)
    except (OSError, ValueError):
        return None


def _quota_in(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip() for name in ("quota", "period")
            )
        return None if quota == "max" or int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
