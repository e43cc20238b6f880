"""Reading Keras HDF5 weights as layers in the order of their creation. Nothing in the file is executed.

A file of `save_weights` has the layers at its root, and a file of `save` has them below `model_weights`. The order of
layers in the file follows the graph and differs between Keras versions. The numbers in their names have gaps, because
some layers are created and never connected. In a process that builds several models the numbers do not start again.
So a layer is identified by its rank within its class (`conv2d`, `batch_normalization`, …), sorted by that number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError, WeightsError
from lse_bench.storage import refuse_growth
from lse_bench.weights.readers import refuse_other_formats

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer with its name in the file and its weights.

    `weights`: `kernel`, `bias`, `gamma`, … with their stored shapes, float32.
    """

    name: str
    weights: dict[str, NDArray[np.float32]]


def read_keras(path: Path | str) -> dict[str, list[KerasLayer]]:
    """Read the layers that have weights, by class name, in the order of their creation within each class.

    Raises WeightsError if the file is not a readable file of Keras weights, and UsageError if `h5py` is not installed.
    """
    path = Path(path)
    refuse_other_formats(path, "HDF5")
    try:
        import h5py
    except ImportError:
        raise UsageError(
            f"{path}: reading Keras weights needs h5py, which is not installed: pip install 'lse-bench[generators]'"
        ) from None
    with path.open("rb") as file:
        if file.read(len(HDF5_MAGIC)) != HDF5_MAGIC:
            raise WeightsError(f"{path}: these are not Keras weights (no HDF5 file, {path.stat().st_size:,} bytes)")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            refuse_growth(path, _announced(root), WeightsError)
            layers = [_layer(root, name) for name in _names(root, "layer_names")]
    except (OSError, KeyError, RuntimeError, ValueError, MemoryError) as error:
        raise WeightsError(
            f"{path}: this HDF5 file of {path.stat().st_size:,} bytes cannot be read as Keras weights ({error}). "
            "The download may be truncated, or the file holds something else"
        ) from None
    classes: dict[str, list[KerasLayer]] = {}
    for layer in layers:
        if layer.weights:
            classes.setdefault(_split(layer.name)[0], []).append(layer)
    if not classes:
        raise WeightsError(f"{path}: this HDF5 file has no Keras weights")
    return {kind: sorted(found, key=lambda layer: _split(layer.name)[1]) for kind, found in sorted(classes.items())}


def _announced(root: Any) -> int:
    """Return the number of bytes that the arrays below `root` need in memory."""
    import h5py

    found = 0

    def count(_: str, item: Any) -> None:
        nonlocal found
        if isinstance(item, h5py.Dataset):
            found += item.size * item.dtype.itemsize

    root.visititems(count)
    return found


def _names(group: Any, attribute: str) -> list[str]:
    if attribute not in group.attrs:
        raise KeyError(f"it has no attribute {attribute}")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]


def _layer(root: Any, name: str) -> KerasLayer:
    import h5py

    group = root[name]
    weights = {}
    for stored in _names(group, "weight_names"):
        values = group[stored]
        if not isinstance(values, h5py.Dataset):
            raise ValueError(f"{stored} is not an array")
        weights[stored.rsplit("/", 1)[-1].split(":")[0]] = np.asarray(values, dtype=np.float32)
    return KerasLayer(name, weights)


def _split(name: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.*?)_(\d+)", name)
    return (found[1], int(found[2])) if found else (name, 0)
