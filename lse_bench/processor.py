"""The CPU: usable cores, available memory, model name and instruction sets.

The numbers of threads and processes and the last digits of sums depend on these. The module needs only the standard
library.
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

# From the narrowest to the widest. Libraries choose their code by them, so they change the last digits of a result.
INSTRUCTION_SETS = (
    *("sse4_1", "avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16"),
    *("asimd", "sve", "bf16", "sve2"),
)
# A user may set these environment variables so that libraries use fewer instruction sets than the CPU has.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES")

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the smaller of the affinity (taskset, Slurm) and the quota of the control group (containers). A quota of 1.5
    cores counts as 2.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def machine() -> dict[str, Any]:
    """Return the properties of this machine that may change the last digits of a result, for records.

    The keys are `processor`, `system`, `instruction_sets` (the widest last), `limits` (environment variables that
    restrict them, absent if none is set), `cores` (usable) and `threads` (of torch if it is loaded, else the usable
    cores).
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
    """Return the entries of the first CPU in /proc/cpuinfo, or an empty dict on a system without that file."""
    try:
        text = (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _name() -> str:
    """Return the model name of the CPU, or its architecture if the system gives no name."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _flags() -> set[str]:
    about = _cpuinfo()
    return set(f"{about.get('flags', '')} {about.get('Features', '')}".split())


def available_memory() -> int | None:
    """Return the memory, in bytes, that this process can still use, or None if the system does not report it.

    It is the smaller of the system's available memory and the rest of the control groups' limits.
    """
    try:
        lines = (_PROC / "meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    left = (_memory_left(group) for group in _groups("memory"))
    return min((*free, *(value for value in left if value is not None)), default=None)


def _quota() -> float | None:
    """Return the number of cores that the control group of this process and its parents allow, or None without limit.

    Version 2 of control groups uses the file `cpu.max`. Version 1 uses `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    """
    return min((quota for group in _groups("cpu") if (quota := _quota_in(group)) is not None), default=None)


def _groups(wanted: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups and their parents for the controller `wanted`."""
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
        for depth in range(len(parts) + 1):  # in a container the root can be its own group, under another path
            yield root.joinpath(*parts[:depth])


def _memory_left(group: Path) -> int | None:
    """Return the memory, in bytes, that a control group leaves, or None without limit.

    Version 2 uses `memory.max` and `memory.current`. Version 1 uses `memory.limit_in_bytes` and
    `memory.usage_in_bytes`. Cached pages of files count as used there, but the system frees them when it needs memory.
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
