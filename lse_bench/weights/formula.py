"""Weights by formula: a state dict from names, shapes and a seed, with no file in between.

Two implementations of one network that use the same entry names hold the same values, so outputs can be
compared without passing a checkpoint. A network filled this way has learnt nothing: its scores mean nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def formula_entry(name: str, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.generic]:
    """One entry: float32 of `shape` (int64 zeros for BatchNorm's `num_batches_tracked`).

    Convolutions and linear layers get He scaling by fan-in; biases, scales and running statistics stay near the
    values of a freshly trained network. The random stream is keyed by the entry's own name, so the order of the
    entries does not matter.
    """
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    random = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    if name.endswith("running_mean"):
        values = random.standard_normal(shape) * 0.1
    elif name.endswith("running_var") or (len(shape) == 1 and not name.endswith("bias")):
        values = random.uniform(0.5, 1.5, shape)
    elif name.endswith("bias"):
        values = random.standard_normal(shape) * 0.05
    else:
        fan_in = int(np.prod(shape[1:]))
        values = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return values.astype(np.float32)


def formula_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """A whole state dict, `{entry name: array}`, from `{entry name: shape}`."""
    return {name: formula_entry(name, tuple(shape), seed) for name, shape in shapes.items()}
