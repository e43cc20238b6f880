"""Which device computes, on how many threads, and that a GPU computes in full precision and the same way every time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, ExitStack, contextmanager
from functools import partial
from typing import ClassVar

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
    """For a process of our own: every convolution in full float32 (no TF32) and by repeatable algorithms."""
    settle_threads()
    _switch()


def _switch() -> list[Callable[[], None]]:
    """Set torch's switches, and return what puts each of them back."""
    back = [
        _set(torch.backends.cudnn, "benchmark", False),
        _set(torch.backends.cudnn, "deterministic", True),
    ]
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch 2.9; its older switches undo each other
        backends = torch.backends
        owners = (
            backends.cuda.matmul,
            backends.cudnn.conv,  # type: ignore[attr-defined]  # both of cuDNN's: torch refuses to tell of its older switch while they differ
            backends.cudnn.rnn,
            backends.mkldnn.matmul,  # type: ignore[attr-defined]
            backends.mkldnn.conv,  # type: ignore[attr-defined]
        )
        return back + [_set(owner, "fp32_precision", "ieee") for owner in owners]
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    return [
        *back,
        _set(torch.backends.cudnn, "allow_tf32", False),
        partial(torch.set_float32_matmul_precision, precision),
    ]


def _set(owner: object, name: str, value: object) -> Callable[[], None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)


class exactly(ContextDecorator):  # noqa: N801 - used as a decorator and in `with`, like those of torch
    """Compute in full float32 by repeatable algorithms, whatever the caller has set; then all is as it was before.

    TF32, cuDNN's choice of algorithms and the default dtype are the process's, not a thread's: the first thread that
    comes in sets them, the last one that leaves puts them back. Autocast and the default device are a thread's.

    >>> @exactly()
    ... def embed(x): ...
    """

    _lock = threading.Lock()
    _inside = 0
    _back: ClassVar[list[Callable[[], None]]] = []

    def __init__(self) -> None:
        self._stack: ExitStack | None = None

    def _recreate_cm(self) -> exactly:
        return exactly()  # one for each call, so that calls may nest and run in several threads

    def __enter__(self) -> None:
        with exactly._lock:
            if not exactly._inside:
                exactly._back = [*_switch(), partial(torch.set_default_dtype, torch.get_default_dtype())]
                torch.set_default_dtype(torch.float32)
            exactly._inside += 1
        self._stack = ExitStack()
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                self._stack.enter_context(torch.autocast(kind, enabled=False))
        self._stack.enter_context(torch.device("cpu"))  # before torch 2.7 one cannot ask whether it is needed

    def __exit__(self, *error: object) -> None:
        assert self._stack is not None
        self._stack.close()
        with exactly._lock:
            exactly._inside -= 1
            if not exactly._inside:
                for put_back in reversed(exactly._back):
                    put_back()


@contextmanager
def loading() -> Iterator[None]:
    """For networks that are built and filled: `exactly`, and the caller's random generators stay where they are.

    torch draws every new layer's weights, though a checkpoint replaces them.
    """
    with exactly(), torch.random.fork_rng(devices=[]):
        yield
