"""Code that Wav2Lip and LipGAN share: a face with and without its lower half as input, and its window of sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lse_bench.baselines.widths import SIZE
from lse_bench.generators.batches import batches
from lse_bench.generators.interface import FaceCrop


def network_input(crops: list[FaceCrop], *, masked_first: bool) -> Tensor:
    """Return the network's input, float32 (n,6,96,96), BGR, 0-1. Each face is resized to 96x96 pixels.

    The six planes are the face with its lower half (rows 48-95) zero and the whole face. `masked_first`: the masked
    face comes first, as in Wav2Lip. Otherwise the whole face comes first, as in LipGAN.
    """
    faces = np.stack([cv2.resize(crop.pixels, (SIZE, SIZE)) for crop in crops])
    masked = faces.copy()
    masked[:, SIZE // 2 :] = 0
    pair = (masked, faces) if masked_first else (faces, masked)
    both = np.concatenate(pair, axis=3).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(both, dtype=np.float32) / 255)


def redrawn(
    faces: Iterator[FaceCrop],
    features: NDArray[np.float32],
    starts: NDArray[np.int64],
    width: int,
    draw: Callable[[list[FaceCrop], Tensor], NDArray[np.uint8] | NDArray[np.float32]],
) -> Iterator[FaceCrop]:
    """Yield a redrawn crop for each face, with the bounding box of the original. Ends with the shorter of `faces` and
    `starts`.

    `features`: sound features, float32 (rows, columns). `starts`: first column of each face's window of sound.
    `width`: columns of a window. `draw`: returns pictures (n,h,w,3) for n crops and their windows (n,1,rows,width).
    """
    for batch in batches(zip(faces, starts, strict=False)):
        crops = [crop for crop, _ in batch]
        windows = np.stack([features[:, start : start + width] for _, start in batch])
        for crop, pixels in zip(crops, draw(crops, torch.from_numpy(windows[:, None])), strict=True):
            yield FaceCrop(pixels, crop.box)
