"""Code that the trainers share: loading of `--init`, LSE on mismatched audio, and sample pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lse_bench.errors import UsageError
from lse_bench.training.lse_probe import Draw, Pictures, mismatched_lse, sheet, spread
from lse_bench.training.prepared import PreparedClip, PreparedClips

_SHOWN = 8  # faces in a row of a sample picture
AT_ONCE = 16  # faces that are drawn in one pass


def begin_from(network: nn.Module, given: nn.Module, path: Path) -> None:
    """Load the weights of `--init` into `network`. `given`: the network in the file `path`.

    Raises UsageError if its width or kind differs from that of the config's network.
    """
    try:
        network.load_state_dict(given.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UsageError(f"{path}: --init has another shape than the config's network: {reason}") from None


def mismatched(
    scorer: nn.Module, store: PreparedClips, clips: Sequence[PreparedClip], count: int, draw: Draw, device: torch.device
) -> dict[str, float]:
    """Return the mean LSE-D (`lse_d`) and LSE-C (`lse_c`) of `count` of the clips, drawn to mismatched audio.

    Both are NaN if all these clips are of one recording. `scorer`: SyncNet.
    """
    return mismatched_lse(scorer.to(device), store, spread(clips, count), draw, device)  # type: ignore[arg-type]


def sample_sheet(store: PreparedClips, clips: Sequence[PreparedClip], draw: Draw) -> NDArray[np.uint8]:
    """Return a sample picture of the first clip, uint8 (H,W,3), with 8 faces a row.

    The rows show the faces as filmed, drawn to their own sound, and drawn to the sound of the last clip.
    """
    clip, other = clips[0], clips[-1]
    rows: list[Pictures] = [store.read(clip, "faces"), draw(clip, clip), draw(clip, other)]
    at = np.linspace(0, min(len(row) for row in rows) - 1, _SHOWN).astype(int)
    return sheet([row[at] for row in rows])


def in_batches(count: int) -> list[slice]:
    """Return slices of at most `AT_ONCE` items that cover `count` items."""
    return [slice(start, min(count, start + AT_ONCE)) for start in range(0, count, AT_ONCE)]
