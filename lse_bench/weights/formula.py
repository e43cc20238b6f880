"""Weights by formula: a state dict from entry names, shapes and a random seed, without a file.

Two implementations of one network get the same values if they use the same entry names. So their outputs can be
compared without a shared checkpoint. Such a network is not trained, and its scores have no meaning.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def formula_entry(name: str, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.generic]:
    """Return one entry: float32 of `shape`, or int64 zeros for BatchNorm's `num_batches_tracked`.

    Weights of convolutions and linear layers get He scaling by fan-in. Biases, scales and running statistics have
    values that are typical of a trained network. The random stream depends on `seed` and on the entry's name, so the
    order of the entries does not matter.
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
    """Return a state dict `{entry name: array}` for the shapes `{entry name: shape}` and a random seed."""
    return {name: formula_entry(name, tuple(shape), seed) for name, shape in shapes.items()}
