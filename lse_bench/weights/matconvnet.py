"""Reading MatConvNet's DagNN files (.mat) as a graph of layers and their parameters. Nothing in the file is executed.

Arrays keep MATLAB's order of axes: filters are H x W x in x out. `DagLayer.whole` returns settings as ints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import WeightsError
from lse_bench.weights.bounds import refuse_matlab
from lse_bench.weights.readers import refuse_other_formats

_HDF5_INSIDE = b"MATLAB 7.3"


@dataclass(frozen=True, slots=True)
class DagLayer:
    """A layer of the graph.

    `kind`: its class without the package, such as `Conv` for `dagnn.Conv`. `inputs`, `outputs`: names of variables.
    `params`: names of parameters. `block`: its settings by name, as read from the file.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    block: dict[str, Any] = field(default_factory=dict)

    def whole(self, name: str, default: int | list[int]) -> list[int]:
        """Return a setting as a list of ints. `default`: for an absent setting."""
        value = self.block.get(name, default)
        return [int(number) for number in np.ravel(np.asarray(value, dtype=np.float64))]


@dataclass(frozen=True, slots=True)
class DagNet:
    """A network: the layers in the order of the file, and the parameters by name, float32 with their stored shapes."""

    layers: list[DagLayer]
    params: dict[str, NDArray[np.float32]]

    def ancestors(self, variable: str) -> list[DagLayer]:
        """Return the layers that compute `variable`, in order. Raises KeyError if no layer has it as an output."""
        wanted, found = {variable}, []
        for layer in reversed(self.layers):
            if wanted & set(layer.outputs):
                found.append(layer)
                wanted |= set(layer.inputs)
        if not found:
            raise KeyError(variable)
        return found[::-1]


def read_dagnn(path: Path | str) -> DagNet:
    """Read the network in a .mat file.

    Raises WeightsError if the file is missing, damaged, of MATLAB's version 7.3 or without a DagNN network.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(path)
    refuse_other_formats(path, "MATLAB")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(128)
    if head.startswith(_HDF5_INSIDE):
        raise WeightsError(
            f"{path}: this is a MATLAB file of version 7.3 (HDF5), which cannot be read. Load it in MATLAB and save it "
            "again with -v7"
        )
    if not head.startswith(b"MATLAB 5.0"):
        raise WeightsError(f"{path}: this is not a MATLAB file ({size:,} bytes)")
    try:
        refuse_matlab(path)
        content = loadmat(path)
    except (MatReadError, ValueError, TypeError, OSError, EOFError, NotImplementedError, IndexError) as error:
        raise WeightsError(
            f"{path}: this MATLAB file of {size:,} bytes cannot be read ({error}). The download is truncated"
        ) from None
    except WeightsError:
        raise
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise WeightsError(f"{path}: this MATLAB file of {size:,} bytes is cut off or damaged ({error})") from None
        raise
    held = [name for name in content if not name.startswith("__")]
    if "net" not in content or content["net"].dtype.names is None:
        raise WeightsError(f"{path}: this MATLAB file has no DagNN `net` (it holds {', '.join(held) or 'nothing'})")
    net = content["net"][0, 0]
    if not {"layers", "params"} <= set(net.dtype.names):
        raise WeightsError(f"{path}: its `net` is not a DagNN: it has the fields {', '.join(net.dtype.names)}")
    if any(net[name].dtype.names is None for name in ("layers", "params")):
        raise WeightsError(f"{path}: its `net` is not a DagNN: layers and params are not structs")
    params = {_text(item["name"]): np.asarray(item["value"], dtype=np.float32) for item in net["params"].ravel()}
    return DagNet([_layer(item) for item in net["layers"].ravel()], params)


def _layer(item: Any) -> DagLayer:
    cell = item["block"]
    block: Any = cell[0, 0] if cell.size else None  # a block without settings is empty
    names = getattr(getattr(block, "dtype", None), "names", None) or ()
    return DagLayer(
        name=_text(item["name"]),
        kind=_text(item["type"]).removeprefix("dagnn."),
        inputs=_texts(item["inputs"]),
        outputs=_texts(item["outputs"]),
        params=_texts(item["params"]),
        block={name: block[name] for name in names},
    )


def _text(value: Any) -> str:
    return str(np.ravel(value)[0])


def _texts(cell: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in np.ravel(cell) if np.size(item))
