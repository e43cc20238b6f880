"""Speech2Vid's networks as tables: the generator (v201), its content-loss encoder and the deblurring network (v114).

The tables follow a layer dump of the published v201.mat. A published file brings its own graph, so the tables are used
only for training and to state what a file should contain. A `width` below 1 narrows every hidden layer.

The inputs are `input_audio` (N,1,12,35), MFCC rows 1-12 (`features/htk_mfcc.py`), and `input_face` (N,15,112,112), five
RGB faces of the identity, 0-255. The output is `prediction` (N,3,109,109), RGB, 0-1. The deblurring network gives the
difference to add to its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lse_bench.baselines.widths import Widths
from lse_bench.weights.matconvnet import DagLayer, DagNet

FACE_SIZE, DRAWN_SIZE = 112, 109  # pixels
IDENTITIES = 5
COLUMNS, ROWS = 35, 12  # of an MFCC window
MIDDLE = 4  # frames from the start of a window of sound to the frame in its middle
BN_EPSILON = 1e-4
PREDICTION, DEBLURRED = "prediction", "deblurred"

Four = tuple[int, int, int, int]  # top, bottom, left, right
_AROUND: Four = (1, 1, 1, 1)
_NONE: Four = (0, 0, 0, 0)
_MORE_BEFORE: Four = (2, 1, 2, 1)


@dataclass
class _Table:
    """A list of layers under construction. `at`: the variable that the next layer takes. `channels`: narrows the
    published channel counts, with which the methods are called."""

    at: str = ""
    layers: list[DagLayer] = field(default_factory=list)
    channels: Widths = field(default_factory=lambda: Widths(1.0))

    def add(
        self, name: str, kind: str, params: tuple[str, ...] = (), inputs: tuple[str, ...] = (), **block: object
    ) -> None:
        settings = {key: value if isinstance(value, str) else np.array(value, float) for key, value in block.items()}
        out = PREDICTION if name == "sigmoid" else DEBLURRED if name == "supr9" else f"{name}_out"
        self.layers.append(DagLayer(name, kind, inputs or (self.at,), (out,), params, settings))
        self.at = out

    def convolve(
        self, name: str, kernel: tuple[int, int], wide: int, out: int, pad: Four = _NONE, stride: int = 1
    ) -> None:
        params = (f"{name}_f", f"{name}_b")
        size = [*kernel, self.channels(wide), self.channels(out)]
        self.add(name, "Conv", params, size=size, hasBias=[1], pad=pad, stride=[stride, stride], dilate=[1, 1])

    def normed(self, name: str, number: str, kernel: tuple[int, int], wide: int, out: int, **more: object) -> None:
        """Add a convolution, BatchNorm and ReLU."""
        self.convolve(f"{name}{number}", kernel, wide, out, **more)  # type: ignore[arg-type]
        short = f"{name.removeprefix('conv').removeprefix('fc')}{number}"
        norm = f"bn{short}"
        self.add(
            norm,
            "BatchNorm",
            (f"{norm}_m", f"{norm}_b", f"{norm}_x"),
            numChannels=[self.channels(out)],
            epsilon=[BN_EPSILON],
        )
        self.add(f"relu{short}", "ReLU", leak=[0])

    def pool(self, name: str, side: int, stride: tuple[int, int], pad: Four = _NONE) -> None:
        self.add(name, "Pooling", method="max", poolSize=[side, side], pad=pad, stride=stride)


def _encode_sound(table: _Table) -> None:
    table.at = "input_audio"
    table.normed("conv", "1_audio", (3, 3), 1, 64, pad=_AROUND)
    table.pool("pool1_audio", 1, (1, 1))
    table.normed("conv", "2_audio", (3, 3), 64, 128, pad=_AROUND)
    table.pool("pool2_audio", 3, (1, 2), (1, 0, 0, 0))
    for number, wide in (("3", 128), ("4", 256), ("5", 256)):
        table.normed("conv", f"{number}_audio", (3, 3), wide, 256, pad=_AROUND)
    table.pool("pool5_audio", 3, (2, 2))
    table.normed("fc", "6_audio", (5, 8), 256, 512)
    table.normed("fc", "7_audio", (1, 1), 512, 256)


def _see(table: _Table, suffix: str, wide: int) -> None:
    """Add the first five blocks of the VGG-M shape, which the identity encoder and the content encoder share."""
    table.normed("conv", f"1_{suffix}", (7, 7), wide, 96, stride=2)
    table.pool(f"pool1_{suffix}", 3, (2, 2))
    table.normed("conv", f"2_{suffix}", (5, 5), 96, 256, pad=_AROUND, stride=2)
    table.pool(f"pool2_{suffix}", 3, (2, 2), (0, 1, 0, 1))
    for number, before in (("3", 256), ("4", 512), ("5", 512)):
        table.normed("conv", f"{number}_{suffix}", (3, 3), before, 512, pad=_AROUND)


def generator_layers(width: float = 1.0) -> list[DagLayer]:
    """Return the layers of v201 up to `prediction`. At full width they have 28,046,275 learnable parameters."""
    table = _Table(channels=Widths(width))
    _encode_sound(table)
    sound = table.at
    table.at = "input_face"
    _see(table, "face", 3 * IDENTITIES)
    table.normed("conv", "6_face", (6, 6), 512, 512)
    table.normed("conv", "7_face", (1, 1), 512, 256)
    table.add("concat8", "Concat", inputs=(sound, table.at), dim=[3])

    def draw(name: str, side: int, wide: int, out: int, pad: Four, up: bool = True) -> None:
        if up:
            table.add(f"up{name.removeprefix('conv')}", "UpSamp2")
        table.convolve(name, (side, side), wide, out, pad)
        if name != "conv5_3":
            table.add(f"relu_{name}", "ReLU", leak=[0])

    draw("conv8", 1, 512, 128, _NONE, up=False)
    draw("conv1_1", 3, 128, 128, _AROUND)
    draw("conv1_2", 3, 128, 256, _AROUND)
    draw("conv1_3", 3, 256, 512, _NONE)
    draw("conv2", 3, 512, 256, _AROUND)
    table.add("concat2", "Concat", inputs=("relu2_face_out", table.at), dim=[3])
    draw("conv3_1", 3, 512, 256, _AROUND)
    draw("conv3_2", 5, 256, 96, (3, 3, 3, 3), up=False)
    table.add("concat3", "Concat", inputs=("pool1_face_out", table.at), dim=[3])
    draw("conv4", 3, 192, 96, _MORE_BEFORE)
    table.add("concat4", "Concat", inputs=("relu1_face_out", table.at), dim=[3])
    draw("conv5_1", 3, 192, 64, _MORE_BEFORE)
    draw("conv5_2", 3, 64, 32, _MORE_BEFORE, up=False)
    draw("conv5_3", 3, 32, 3, _MORE_BEFORE, up=False)
    table.add("sigmoid", "Sigmoid")
    return table.layers


def content_layers() -> list[DagLayer]:
    """Return the layers of the encoder whose ReLUs the content loss compares. Input: `input_lip` (N,3,109,109), 0-1."""
    table = _Table(at="input_lip")
    _see(table, "face_lip_1", 3)
    return table.layers


def deblur_layers(width: float = 1.0) -> list[DagLayer]:
    """Return the layers of v114, which gives the difference to add to its input `input_lip` (N,3,109,109)."""
    table = _Table(at="input_lip", channels=Widths(width))
    for number in range(10):
        wide, out = (3 if number == 0 else 64), (3 if number == 9 else 64)
        table.convolve(f"supr{number}", (3, 3), wide, out, _AROUND)
        if number < 9:
            table.add(f"relu_supr{number}", "ReLU", leak=[0])
    return table.layers


def entry_shapes(layers: list[DagLayer]) -> dict[str, tuple[int, ...]]:
    """Return the torch shapes of the layers' entries by name (`conv8.weight`, `bn1_face.running_var`, …)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        if layer.kind == "Conv":
            height, width, wide, out = layer.whole("size", 0)
            shapes |= {f"{layer.name}.weight": (out, wide, height, width), f"{layer.name}.bias": (out,)}
        elif layer.kind == "BatchNorm":
            channels = layer.whole("numChannels", 0)[0]
            names = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"{layer.name}.{name}": (channels,) for name in names}
    return shapes


def initial_entries(layers: list[DagLayer], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return MatConvNet's initial entries: He's normal weights, biases of 0 and BatchNorms that change nothing."""
    entries = {}
    for name, shape in entry_shapes(layers).items():
        kind = name.rpartition(".")[2]
        if len(shape) == 4:
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        else:
            norm = name.startswith("bn")
            value = np.full(shape, float(kind == "running_var" or (norm and kind == "weight")))
        entries[name] = value.astype(np.float32)
    return entries


def net_of(layers: list[DagLayer], entries: Mapping[str, NDArray[np.generic]]) -> DagNet:
    """Return the network with the weights `entries`, by entry name, in MatConvNet's layout."""
    params: dict[str, NDArray[np.float32]] = {}
    for layer in layers:
        held = {name.rpartition(".")[2]: value for name, value in entries.items() if name.startswith(f"{layer.name}.")}
        if layer.kind == "Conv":
            params[layer.params[0]] = np.asarray(held["weight"].transpose(2, 3, 1, 0), dtype=np.float32)
            params[layer.params[1]] = np.asarray(held["bias"], dtype=np.float32)
        elif layer.kind == "BatchNorm":
            deviation = np.sqrt(np.asarray(held["running_var"], dtype=np.float64) + BN_EPSILON)
            params[layer.params[0]] = np.asarray(held["weight"], dtype=np.float32)
            params[layer.params[1]] = np.asarray(held["bias"], dtype=np.float32)
            params[layer.params[2]] = np.stack([held["running_mean"], deviation], axis=1).astype(np.float32)
    return DagNet(layers, params)
