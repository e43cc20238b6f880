"""Memory of a training run on a processor: reused from step to step, and no more of it than there is."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from torch import Tensor

from lse_bench.errors import UsageError
from lse_bench.processor import available_memory

_SPARED = 0.05  # of what is available, left to others
_SHARED = Path("/dev/shm")  # noqa: S108 - where torch puts batches; nothing is written here
_PLENTY = 4 << 30  # bytes of shared memory that no batches fill
_AHEAD = 2  # batches that each loader prepares ahead, torch's default


def keep_memory() -> None:
    """Have glibc reuse the memory of large tensors instead of asking the system for fresh, zeroed pages in every step.

    On a CPU that takes a quarter off a step. Elsewhere than on glibc nothing happens.
    """
    no_mapping, never_trim = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for option, value in (no_mapping, never_trim):
            library.mallopt(option, value)


@contextlib.contextmanager
def limited_memory() -> Iterator[None]:
    """Meanwhile a tensor that does not fit into the memory that is available now cannot be had: torch raises an error,
    where the system would kill the process without a word. Elsewhere than on Linux nothing happens.
    """
    free, held = available_memory(), _held()
    if free is None or held is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = held + int(free * (1 - _SPARED))
    if before[0] != resource.RLIM_INFINITY:
        most = min(most, before[0])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def refuse_small_shared_memory(make: Callable[[], Mapping[str, Tensor]], loaders: int) -> None:
    """Raise UsageError when the batches that `loaders` processes prepare ahead do not fit into the shared memory
    through which they come: a process that finds no room there dies, or is waited for without end. `make`: a batch.
    """
    if not _SHARED.is_dir():
        return
    about = os.statvfs(_SHARED)
    free = about.f_bavail * about.f_frsize
    if free > _PLENTY:
        return
    size = sum(value.nbytes for value in make().values())
    needed = size * (loaders * _AHEAD + 1)
    if needed > free:
        raise UsageError(
            f"{_SHARED}: {free:,} bytes of shared memory are free; {loaders} loaders of batches of {size:,} bytes need "
            f"{needed:,}. Give it more (docker run --shm-size=1g), or prepare batches in the process that trains: "
            "--loaders 0"
        )


def _held() -> int | None:
    """Bytes of memory for data that this process has asked for."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), None)
