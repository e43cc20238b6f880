"""Trained weights as safetensors files. The metadata holds the facts that a reader needs, such as the precision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from lse_bench.storage import write_atomically

_LARGEST_HALF = 65504.0


def write_weights(path: Path, state: Mapping[str, Tensor], about: Mapping[str, str], half: bool = False) -> None:
    """Write a state dict atomically, with the metadata `about`.

    `half`: store floating-point entries as float16 if all their values fit.
    """
    kept = {}
    for name, value in state.items():
        shrink = half and value.is_floating_point() and float(value.abs().max()) < _LARGEST_HALF
        kept[name] = (value.to(torch.float16) if shrink else value).detach().cpu().contiguous()
    write_atomically(path, _in_order(save(kept, metadata={"format": "pt", **about})))


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with a sorted header.

    safetensors writes the metadata in random order, but equal weights should have equal digests.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]
