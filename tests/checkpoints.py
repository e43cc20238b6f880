"""Writes checkpoints in every official format, filled by formula."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import scipy.io
import torch

from lse_bench.baselines.wav2lip.model import Generator
from lse_bench.weights.formula import formula_entry, formula_weights
from lse_bench.weights.matconvnet import DagNet

GOLDEN = Path(__file__).parent / "golden"
WAV2LIP_TEMPER, LIPGAN_TEMPER = 10, 12  # powers of two that keep the last sigmoid from saturating


def filled(network: torch.nn.Module, temper: str = "", power: int = 0) -> dict[str, torch.Tensor]:
    """The formula's state dict of a network; entries that begin with `temper` are divided by 2 to the `power`."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in formula_weights(shapes).items()}
    if temper:
        state |= {name: value * 2.0**-power for name, value in state.items() if name.startswith(temper)}
    return state


def wav2lip_state(tempered: bool = True) -> dict[str, torch.Tensor]:
    return filled(Generator(), "output_block.1" if tempered else "", WAV2LIP_TEMPER)


def write_wav2lip(path: Path, form: Literal["plain", "zip", "older", "script"] = "zip", tempered: bool = True) -> Path:
    """`plain`: a bare state dict; `zip`, `older`: training checkpoints with `module.`; `script`: TorchScript."""
    state = wav2lip_state(tempered)
    if form == "script":
        network = Generator().eval()
        network.load_state_dict(state)
        with torch.no_grad():
            torch.jit.trace(network, (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))).save(str(path))
        return path
    if form != "plain":
        parallel = {f"module.{name}": value for name, value in state.items()}
        state = {"state_dict": parallel, "optimizer": {}, "global_step": 258000, "global_epoch": 88}  # type: ignore[dict-item]
    torch.save(state, path, _use_new_zipfile_serialization=form != "older")
    return path


def write_lipgan(
    path: Path, network: str, form: Literal["save_weights", "save"] = "save_weights", tempered: bool = True
) -> Path:
    """`network`: `master_residual`, … as in the golden layer lists. `tempered`: residual ones' last layer scaled."""
    layers = json.loads((GOLDEN / "generators" / f"lipgan_{network}_layers.json").read_text())["layers_in_file_order"]
    convolutions = [layer["layer"] for layer in layers if layer["class"] == "Conv2D"]
    last = max(convolutions, key=lambda name: int(name.rsplit("_", 1)[1]))
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if form == "save" else file
        root.attrs["layer_names"] = np.array([layer["layer"] for layer in layers], dtype="S")
        root.attrs["backend"], root.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for layer in layers:
            group = root.create_group(layer["layer"])
            group.attrs["weight_names"] = np.array([weight["name"] for weight in layer["weights"]], dtype="S")
            for weight in layer["weights"]:
                values = formula_entry(weight["formula_name"], tuple(weight["formula_shape"]))
                if values.ndim == 4:
                    values = values.transpose(2, 3, 1, 0)
                if tempered and network.endswith("residual") and layer["layer"] == last:
                    values = values * np.float32(2.0**-LIPGAN_TEMPER)
                group.create_dataset(weight["name"], data=values)
    return path


def write_dagnn(path: Path, net: DagNet) -> Path:
    """A MatConvNet file as MATLAB's `save -v7` lays it out."""
    layers = np.zeros(
        (1, len(net.layers)), dtype=[(n, object) for n in ("name", "type", "inputs", "outputs", "params", "block")]
    )
    for number, layer in enumerate(net.layers):
        layers[0, number] = (
            layer.name,
            f"dagnn.{layer.kind}",
            _cell(layer.inputs),
            _cell(layer.outputs),
            _cell(layer.params),
            {key: value if isinstance(value, str) else np.atleast_2d(value) for key, value in layer.block.items()},
        )
    params = np.zeros((1, len(net.params)), dtype=[(n, object) for n in ("name", "value", "learningRate")])
    for number, (name, value) in enumerate(net.params.items()):
        params[0, number] = (name, value.reshape(-1, 1) if value.ndim == 1 else value, 1.0)
    scipy.io.savemat(
        path, {"net": {"layers": layers, "params": params, "vars": np.zeros((1, 0)), "meta": np.zeros((1, 0))}}
    )
    return path


def _cell(names: tuple[str, ...]) -> np.ndarray:
    cell = np.empty((1, len(names)) if names else (0, 0), dtype=object)
    for number, name in enumerate(names):
        cell[0, number] = name
    return cell


def lipgan_inputs() -> dict[str, torch.Tensor]:
    """LipGAN's golden inputs, drawn again: reference whole, then the masked target; both kinds of sound."""
    random = np.random.Generator(np.random.PCG64([0, 20]))
    target, reference = (random.random((4, 96, 96, 3)).astype(np.float32) for _ in range(2))
    master = (5 * random.standard_normal((4, 12, 35, 1))).astype(np.float32)
    mel = random.uniform(-4, 4, (4, 80, 27, 1)).astype(np.float32)
    masked = target.copy()
    masked[:, 48:] = 0
    arrays = {"target": target, "face": np.concatenate([reference, masked], axis=3), "master": master}
    arrays["fully_pythonic"] = mel
    return {name: torch.from_numpy(np.ascontiguousarray(value.transpose(0, 3, 1, 2))) for name, value in arrays.items()}
