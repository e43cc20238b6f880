"""Devices, threads and exact computation.

The functions choose the device and the number of threads. They switch torch to full float32 precision and to
deterministic algorithms, so that a GPU gives the same result every time.
"""

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
    """Return the name of a torch device.

    `name`: `cpu`, `cuda`, `cuda:N`, or `auto`. `auto` means the GPU if torch finds one, else the CPU.
    Raises UsageError if the name is unknown or the device does not exist.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"no device called {name}. There are: auto, cpu, cuda, cuda:N")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                f"--device {name}: torch {torch.__version__} finds no CUDA device. Run lse-bench doctor for the reason"
            )
        number = name.partition(":")[2]
        if number and (not number.isdigit() or int(number) >= torch.cuda.device_count()):
            raise UsageError(
                f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices, counted from 0"
            )
    return name


def settle_threads() -> None:
    """Limit torch's threads to the usable cores, because torch ignores CPU quotas.

    If OMP_NUM_THREADS is set, the number of threads does not change.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())


def compute_exactly() -> None:
    """Switch this process to full float32 (no TF32) and deterministic convolutions, and limit its threads.

    The switch is permanent, so only a process of LSE-Bench itself calls this. Use `exactly` in library calls.
    """
    settle_threads()
    switch()


def switch() -> list[Callable[[], None]]:
    """Set torch's switches, and return the functions that restore their values, to be called in reverse order."""
    back = [
        _set(torch.backends.cudnn, "benchmark", False),
        _set(torch.backends.cudnn, "deterministic", True),
    ]
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch 2.9; its older switches override each other
        backends = torch.backends
        owners = (
            backends.cuda.matmul,
            backends.cudnn.conv,  # type: ignore[attr-defined]  # set both of cuDNN: torch cannot read its older switch while they differ
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
    """A context and decorator for computation in full float32 by deterministic algorithms.

    It overrides the caller's settings and restores them at the end. TF32, cuDNN's choice of algorithms and the default
    dtype belong to the process. The first thread that enters sets them, and the last one that leaves restores them.
    Autocast and the default device belong to each thread.

    >>> @exactly()
    ... def embed(x): ...
    """

    _lock = threading.Lock()
    _inside = 0
    _back: ClassVar[list[Callable[[], None]]] = []

    def __init__(self) -> None:
        self._stack: ExitStack | None = None

    def _recreate_cm(self) -> exactly:
        return exactly()  # a new object for each call, so that calls can nest and run in several threads

    def __enter__(self) -> None:
        with exactly._lock:
            if not exactly._inside:
                exactly._back = [*switch(), partial(torch.set_default_dtype, torch.get_default_dtype())]
                torch.set_default_dtype(torch.float32)
            exactly._inside += 1
        self._stack = ExitStack()
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                self._stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.empty(0).device.type != "cpu":  # not always: each call of torch takes longer in this context
            self._stack.enter_context(torch.device("cpu"))

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
    """Build and fill a network under `exactly`, without changing the state of the caller's CPU random generator.

    torch draws random weights for every new layer, although a checkpoint replaces them.
    """
    with exactly(), torch.random.fork_rng(devices=[]):
        yield
