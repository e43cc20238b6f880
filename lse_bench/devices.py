"""Which device computes, on how many threads, and that a GPU computes in full precision and the same way every time."""

from __future__ import annotations

import os

import torch

from lse_bench.errors import UsageError
from lse_bench.processor import usable_cores


def choose_device(name: str) -> str:
    """`auto`: the GPU if torch sees one, else the CPU. Raises UsageError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"no device called {name}; there are: auto, cpu, cuda, cuda:N")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                f"--device {name}: torch {torch.__version__} sees no CUDA device here; see lse-bench doctor"
            )
        number = name.partition(":")[2]
        if number and (not number.isdigit() or int(number) >= torch.cuda.device_count()):
            raise UsageError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    return name


def settle_threads() -> None:
    """No more threads of torch than usable cores, unless OMP_NUM_THREADS says how many; torch knows no quotas."""
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())


def compute_exactly() -> None:
    """Every convolution of this process in full float32 (no TF32) and by repeatable algorithms.

    torch's switches are the process's, not a thread's: a detector in one thread and a scorer in another must not turn
    them to and fro.
    """
    settle_threads()
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
