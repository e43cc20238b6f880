"""Memory of a training run on a processor: reuse between steps, and limits that give an error instead of a kill."""

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

_SPARED = 0.05  # share of the available memory that is left to other programs
_SHARED = Path("/dev/shm")  # noqa: S108 - where torch puts batches; nothing is written here
_PLENTY = 4 << 30  # bytes of shared memory that no batches fill
_AHEAD = 2  # batches that each loader prepares ahead, torch's default


def keep_memory() -> None:
    """Make glibc reuse the memory of large tensors instead of requesting new, zeroed pages in every step.

    This shortens a step on a CPU by a quarter. Without glibc the function does nothing.
    """
    no_mapping, never_trim = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for option, value in (no_mapping, never_trim):
            library.mallopt(option, value)


@contextlib.contextmanager
def limited_memory() -> Iterator[None]:
    """Limit the memory of this process, within the context, to the memory that is available on entry.

    torch then raises an error for a tensor that does not fit. Without the limit, the system would kill the process
    without a message. On systems other than Linux nothing happens.
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
    """Raise UsageError if the batches that `loaders` processes prepare ahead do not fit into shared memory.

    Loader processes pass batches through shared memory. A loader that finds no room there dies or blocks training
    forever. `make`: returns one batch.
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
            f"{_SHARED}: {free:,} bytes of shared memory are free, but {loaders} loaders of batches of {size:,} bytes "
            f"need {needed:,}. Provide more (docker run --shm-size=1g), or prepare batches in the training process: "
            "--loaders 0"
        )


def _held() -> int | None:
    """Return the bytes of data memory that this process has allocated, or None if the system does not report them."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), None)
