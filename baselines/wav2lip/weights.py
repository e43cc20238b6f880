"""Wav2Lip's checkpoints: reading of released files and of those that `train` writes, writing of the released layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lse_bench.baselines.wav2lip.model import Expert, Generator
from lse_bench.errors import WeightsError
from lse_bench.training.checkpoints import save_atomically
from lse_bench.weights.readers import kind_of, read_metadata, read_torch

_GENERATOR = "Wav2Lip's generator is wav2lip.pth (435,807,851 bytes) or wav2lip_gan.pth (435,801,865 bytes)"
_EXPERT = "Wav2Lip's expert is lipsync_expert.pth, or weights.safetensors of `lse-bench train expert`"


def load_network(path: Path | str, *, trust: bool = False) -> Generator:
    """Return the generator in a checkpoint, in evaluation mode. The file's metadata may state a width below 1.

    `trust`: a TorchScript file may be opened. Raises WeightsError, with the kind of the file, for another network.
    """
    network = Generator(float(read_metadata(path).get("width", 1)))
    fill(network, read_torch(path, trust_script=trust), path, _GENERATOR)
    return network.eval()


def fill(network: nn.Module, state: dict[str, Tensor], path: Path | str, advice: str) -> None:
    """Load `state` into `network`. `advice`: a sentence for messages that says which file is needed.

    Raises WeightsError, with the kind of the file and the first difference, if entries or shapes differ.
    """
    wanted = network.state_dict()
    if set(state) != set(wanted):
        missing, more = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
        differing = f"lacks the entry {missing[0]}" if missing else f"has the extra entry {more[0]}"
        raise WeightsError(f"{path}: this is {kind_of(state)}; it {differing}. {advice}")
    wrong = next((name for name in wanted if wanted[name].shape != state[name].shape), None)
    if wrong is not None:
        shape, needed = tuple(state[wrong].shape), tuple(wanted[wrong].shape)
        raise WeightsError(f"{path}: {wrong} has the shape {shape} instead of {needed}, as in a Wav2Lip fork. {advice}")
    network.load_state_dict(state)


def load_expert(path: Path | str) -> Expert:
    """Return the expert in a checkpoint, of any width, in evaluation mode. Raises WeightsError for another network."""
    network = Expert(float(read_metadata(path).get("width", 1)))
    fill(network, read_torch(path), path, _EXPERT)
    return network.eval()


def write_official(path: Path, state: Mapping[str, Tensor], step: int) -> None:
    """Write a checkpoint in the layout of the released ones, which the original code loads."""
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    save_atomically(path, {"state_dict": plain, "optimizer": None, "global_step": step, "global_epoch": 0})
