"""LipGAN's weights: the published files (Keras HDF5) and the files of `lse-bench train lipgan`.

Two facts identify which of the four generators a published file holds: the outputs of the only convolution with a
single input channel (128: `master`, 32: `fully_pythonic`), and the number of convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lse_bench.baselines.lipgan.model import BRANCHES, SIZES, Branch, Discriminator, Generator, InstanceNorm, Size
from lse_bench.errors import WeightsError
from lse_bench.weights.keras import KerasLayer, read_keras
from lse_bench.weights.readers import read_metadata, read_torch

_ENTRIES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_generator(path: Path | str, branch: Branch | None = None) -> Generator:
    """Return the generator in a file, in evaluation mode. `branch`: the only branch to accept; None accepts both.

    Raises WeightsError, with the kind of the file, for another network or another branch.
    """
    about = read_metadata(path)
    layers = {} if about else read_keras(path)
    found, size = _trained(path, about) if about else _identify(path, layers)
    if branch is not None and found != branch:
        sound = {"master": "MFCC, 12x35", "fully_pythonic": "mel spectrogram, 80x27"}
        raise WeightsError(
            f"{path}: this is LipGAN of the branch {found} ({sound[found]}), but the branch {branch} "
            f"({sound[branch]}) was requested. Request no branch to use the file's own"
        )
    generator = Generator(found, size, float(about.get("width", 1)))
    if not about:
        fill(generator, layers, path)
        return generator.eval()
    try:
        generator.load_state_dict(read_torch(path))
    except RuntimeError as error:
        raise WeightsError(f"{path}: does not fit its metadata, {found} {size}: {str(error).splitlines()[1]}") from None
    return generator.eval()


def _trained(path: Path | str, about: Mapping[str, str]) -> tuple[Branch, Size]:
    """Return the branch and size in the metadata of a file of `lse-bench train lipgan`.

    Raises WeightsError if the metadata are of another network.
    """
    branch, size = about.get("branch"), about.get("size")
    if about.get("lse_bench") != "lipgan" or branch not in BRANCHES or size not in SIZES:
        what = about.get("lse_bench", "a network that lse-bench train did not make")
        raise WeightsError(f"{path}: safetensors of {what}. Use weights.safetensors of `lse-bench train lipgan`")
    return branch, size


def _identify(path: Path | str, layers: dict[str, list[KerasLayer]]) -> tuple[Branch, Size]:
    convolutions = layers.get("conv2d", [])
    kernels = [layer.weights.get("kernel", np.zeros(0)) for layer in convolutions]
    heard = [kernel.shape[3] for kernel in kernels if kernel.ndim == 4 and kernel.shape[2] == 1]
    counts = {(128, 67): "residual", (32, 67): "residual", (128, 18): "basic", (32, 25): "basic"}
    if len(heard) != 1 or (heard[0], len(convolutions)) not in counts:
        kinds = ", ".join(f"{len(found)} {kind}" for kind, found in layers.items())
        what = "LipGAN's discriminator" if "instance_normalization" in layers else "an unknown network"
        raise WeightsError(f"{path}: Keras weights of {what} ({kinds}). Use a LipGAN generator's file")
    size: Size = "residual" if len(convolutions) == 67 else "basic"
    return ("master" if heard[0] == 128 else "fully_pythonic"), size


def fill(network: Generator | Discriminator, layers: dict[str, list[KerasLayer]], path: Path | str) -> None:
    """Load `layers` into `network`, matched by their rank within each class. Raises WeightsError if they do not fit."""
    kinds: dict[str, list[nn.Module]] = {
        "conv2d": [module for module in network.modules() if isinstance(module, nn.Conv2d)],
        "conv2d_transpose": [module for module in network.modules() if isinstance(module, nn.ConvTranspose2d)],
        "batch_normalization": [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)],
        "instance_normalization": [module for module in network.modules() if isinstance(module, InstanceNorm)],
    }
    for kind, modules in kinds.items():
        held = layers.get(kind, [])
        if len(held) != len(modules):
            raise WeightsError(
                f"{path}: the file holds another network, with {len(held)} layers {kind} instead of {len(modules)}"
            )
        for layer, module in zip(held, modules, strict=True):
            _fill_layer(module, layer, path)


def _fill_layer(module: nn.Module, layer: KerasLayer, path: Path | str) -> None:
    state = {_ENTRIES.get(name, name): _as_torch(values) for name, values in layer.weights.items()}
    if isinstance(module, nn.BatchNorm2d):
        state["num_batches_tracked"] = torch.tensor(0)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{path}: layer {layer.name} does not fit LipGAN: {reason}") from None


def _as_torch(values: NDArray[np.float32]) -> torch.Tensor:
    """Return Keras weights in torch's layout.

    Kernels (kh,kw,in,out) become (out,in,kh,kw). Kernels (kh,kw,out,in) of transposed convolutions become
    (in,out,kh,kw). Other arrays keep their shape.
    """
    return torch.from_numpy(np.ascontiguousarray(values.transpose(3, 2, 0, 1) if values.ndim == 4 else values))
