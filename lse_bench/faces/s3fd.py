"""S3FD, the face detector of SyncNet's pipeline and of Wav2Lip's inference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.devices import exactly, loading
from lse_bench.errors import LseBenchError
from lse_bench.faces.face import Face, suppress
from lse_bench.faces.s3fd_network import SFD_FACE, S3fdNetwork, Variant, made_fast, network_from
from lse_bench.weights.readers import read_torch

SIDES = (16, 32, 64, 128, 256, 512)  # pixels of the network's input: each position of a map has one square anchor
STRIDES = (4, 8, 16, 32, 64, 128)
_MEANS_RGB = (123.0, 117.0, 104.0)
_CENTRE, _SIZE = 0.1, 0.2  # scale factors of the network's outputs
_LOWEST, _MOST, _KEPT = 0.05, 5000, 750  # first suppression: lowest score, boxes considered, boxes kept
_FIRST, _SECOND = 0.3, 0.1  # overlaps above which a less confident box is removed
_SMALLEST = {True: 28, False: 32}  # smallest side of the network's input, pixels: its pools need this size


def anchors(height: int, width: int, sizes: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Return the anchors (P,4), float32: centre x, centre y, width, height relative to the network's input.

    `height`, `width`: size of the network's input in pixels. `sizes`: (rows, columns) of the feature maps.
    """
    rows = []
    for (high, wide), stride, side in zip(sizes, STRIDES, SIDES, strict=True):
        y, x = np.mgrid[:high, :wide].reshape(2, -1) + 0.5
        centre = [x / (width / stride), y / (height / stride)]
        rows.append(np.stack([*centre, np.full(x.shape, side / width), np.full(x.shape, side / height)], axis=1))
    return np.concatenate(rows).astype(np.float32)


def decode(loc: NDArray[np.float32], prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the boxes (P,4), float32: left, top, right, bottom relative to the picture.

    `loc`: the network's outputs (P,4). `prior`: the anchors (P,4).
    """
    size = prior[:, 2:] * np.exp(loc[:, 2:] * np.float32(_SIZE))
    low = prior[:, :2] + loc[:, :2] * np.float32(_CENTRE) * prior[:, 2:] - size / 2
    return np.concatenate([low, low + size], axis=1)


def first_suppression(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return detections (K,5), float32: score and box, the most confident first.

    Only scores above 0.05 count, and of these only the 5,000 best. A box is removed if it overlaps a more confident one
    by more than 0.3. At most 750 boxes are kept.
    """
    (likely,) = np.nonzero(scores > _LOWEST)
    best = likely[scores[likely].argsort(kind="stable")[-_MOST:]]
    kept = best[suppress(boxes[best], scores[best], _FIRST, most=_KEPT)]
    return np.concatenate([scores[kept, None], boxes[kept]], axis=1)


def faces_of(detections: NDArray[np.float32], width: int, height: int, threshold: float) -> list[Face]:
    """Return the faces in a picture, the most confident first, with boxes in pixels.

    `detections`: score and relative box (K,5). `width`, `height`: size of the picture. Faces need a higher score than
    `threshold`. A second suppression removes a box if it overlaps a more confident one by more than 0.1.
    """
    sure = detections[detections[:, 0] > np.float32(threshold)]
    boxes = (sure[:, 1:] * np.array([width, height, width, height], np.float32)).astype(np.float64)
    scores = sure[:, 0].astype(np.float64)
    return [Face(boxes[i], float(scores[i])) for i in suppress(boxes, scores, _SECOND)]


class S3fd:
    """The S3FD detector as syncnet_python's tracker or Wav2Lip's inference run it, depending on `variant`.

    `scale`: factor by which frames are resized. `threshold`: faces need a higher score than this. None means the
    variant's own value for both. `device`: the device of the network.
    """

    def __init__(
        self,
        network: S3fdNetwork,
        variant: Variant = SFD_FACE,
        scale: float | None = None,
        threshold: float | None = None,
        device: str = "cpu",
    ) -> None:
        self.variant = variant
        self.scale = variant.scale if scale is None else scale
        self.threshold = variant.threshold if threshold is None else threshold
        self.device = torch.device(device)
        network = made_fast(network) if self.device.type == "cpu" else network
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    @loading()
    def load(cls, path: Path | str, device: str = "cpu") -> S3fd:
        """Return the detector with the weights in `path`. The names of the entries determine the variant.

        Raises WeightsError if the file does not hold S3FD's weights.
        """
        network, variant = network_from(read_torch(path), str(path))
        return cls(network, variant, device=device)

    def scaled(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a BGR frame resized by `scale` with bilinear interpolation, as the network receives it."""
        small = cv2.resize(frame, dsize=(0, 0), fx=self.scale, fy=self.scale, interpolation=cv2.INTER_LINEAR)
        return np.asarray(small, dtype=np.uint8)

    @exactly()
    @torch.inference_mode()
    def answers(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray, NDArray, NDArray]:  # type: ignore[type-arg]
        """Return `loc` (N,P,4), `conf` (N,P,2) and the anchors (P,4) for scaled BGR pictures of one size."""
        batch = torch.from_numpy(np.stack(pictures)).to(self.device).permute(0, 3, 1, 2).float()
        if self.variant.rgb:
            batch = batch.flip(1)
        means = torch.tensor(_MEANS_RGB if self.variant.rgb else _MEANS_RGB[::-1], device=self.device)
        batch = (batch - means[:, None, None]).contiguous(memory_format=torch.channels_last)
        loc, conf, sizes = self.network(batch)
        return loc.cpu().numpy(), conf.cpu().numpy(), anchors(int(batch.shape[2]), int(batch.shape[3]), sizes)

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """Return the faces of each BGR frame, the most confident first. All frames must have the same size.

        Raises LseBenchError if the frames are too small for the network.
        """
        small = [self.scaled(frame) for frame in frames]
        if min(small[0].shape[:2]) < _SMALLEST[self.variant.ceil]:
            high, wide = frames[0].shape[:2]
            raise LseBenchError(
                f"frames of {wide}x{high} scaled by {self.scale:g} leave {min(small[0].shape[:2])} px, S3FD needs "
                f"{_SMALLEST[self.variant.ceil]}; enlarge the video, or use another --detector"
            )
        found = []
        together = 1 if self.device.type == "cpu" else len(small)  # one picture fits best into a processor's cache
        for start in range(0, len(small), together):
            loc, conf, prior = self.answers(small[start : start + together])
            for frame, places, scores in zip(frames[start:], loc, conf, strict=False):
                detections = first_suppression(decode(places, prior), np.ascontiguousarray(scores[:, 1]))
                found.append(faces_of(detections, frame.shape[1], frame.shape[0], self.threshold))
        return found
