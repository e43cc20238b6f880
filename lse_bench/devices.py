"""Which device computes, and that a GPU computes in full precision and the same way every time."""

from __future__ import annotations

import torch

from lse_bench.errors import UsageError


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


def compute_exactly() -> None:
    """Every convolution of this process in full float32 (no TF32) and by repeatable algorithms.

    torch's switches are the process's, not a thread's: a detector in one thread and a scorer in another must not turn
    them to and fro.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
