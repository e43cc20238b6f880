"""Keras HDF5 weights into layers sorted by the order in which they were made. Nothing in the file is executed.

A file written by `save_weights` has the layers at its root, one written by `save` below `model_weights`. The order of
layers in the file follows the graph and differs between Keras versions, and their numbers have gaps (layers made but
never connected) and go on counting in a process that builds several models. So layers are told by their rank: within
a class (`conv2d`, `batch_normalization`, …) the number in the name is the order of creation.
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
    """A layer with weights. `name`: as in the file; `weights`: `kernel`, `bias`, `gamma`, … as stored."""

    name: str
    weights: dict[str, NDArray[np.float32]]


def read_keras(path: Path | str) -> dict[str, list[KerasLayer]]:
    """The layers that hold weights, by class name, each class in the order of creation.

    Raises WeightsError for anything else, UsageError when `h5py` is not installed.
    """
    path = Path(path)
    refuse_other_formats(path, "HDF5")
    try:
        import h5py
    except ImportError:
        raise UsageError(
            f"{path}: Keras weights are read with h5py, which is not installed: pip install 'lse-bench[generators]'"
        ) from None
    with path.open("rb") as file:
        if file.read(len(HDF5_MAGIC)) != HDF5_MAGIC:
            raise WeightsError(f"{path}: not Keras weights (no HDF5 file, {path.stat().st_size:,} bytes)")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            refuse_growth(path, _announced(root), WeightsError)
            layers = [_layer(root, name) for name in _names(root, "layer_names")]
    except (OSError, KeyError, RuntimeError, ValueError, MemoryError) as error:
        raise WeightsError(
            f"{path}: an HDF5 file of {path.stat().st_size:,} bytes that cannot be read as Keras weights ({error}): "
            "the download is truncated, or it is something else"
        ) from None
    classes: dict[str, list[KerasLayer]] = {}
    for layer in layers:
        if layer.weights:
            classes.setdefault(_split(layer.name)[0], []).append(layer)
    if not classes:
        raise WeightsError(f"{path}: an HDF5 file without Keras weights in it")
    return {kind: sorted(found, key=lambda layer: _split(layer.name)[1]) for kind, found in sorted(classes.items())}


def _announced(root: Any) -> int:
    """How many bytes the arrays below `root` take once they are read."""
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
        raise KeyError(f"no attribute {attribute}")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]


def _layer(root: Any, name: str) -> KerasLayer:
    import h5py

    group = root[name]
    weights = {}
    for stored in _names(group, "weight_names"):
        values = group[stored]
        if not isinstance(values, h5py.Dataset):
            raise ValueError(f"{stored} is no array")
        weights[stored.rsplit("/", 1)[-1].split(":")[0]] = np.asarray(values, dtype=np.float32)
    return KerasLayer(name, weights)


def _split(name: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.*?)_(\d+)", name)
    return (found[1], int(found[2])) if found else (name, 0)
