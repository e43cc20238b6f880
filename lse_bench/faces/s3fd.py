"""S3FD, the face detector of SyncNet's pipeline and of Wav2Lip's inference.

Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector" (2017). Two files of weights are in use, and they are
two functions: `sfd_face.pth` (syncnet_python's tracker: RGB, a dilated sixth block, rounding up in the third pool) and
`s3fd-619a316812.pth` (face-alignment, Wav2Lip: BGR, no dilation, rounding down). Entries here have the names of the
former; those of the latter are renamed when read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.devices import compute_exactly
from lse_bench.errors import LseBenchError, WeightsError
from lse_bench.faces.face import Face, suppress
from lse_bench.weights.readers import kind_of, read_torch

SIDES = (16, 32, 64, 128, 256, 512)  # pixels of the network's input: one square anchor per position of each map
STRIDES = (4, 8, 16, 32, 64, 128)
_MEANS_RGB = (123.0, 117.0, 104.0)
_CENTRE, _SIZE = 0.1, 0.2  # what the network's answers are scaled by
_LOWEST, _MOST, _KEPT = 0.05, 5000, 750  # scores considered, boxes considered and kept by the first suppression
_FIRST, _SECOND = 0.3, 0.1  # overlaps above which a weaker box goes
_SMALLEST = {True: 28, False: 32}  # pixels of a side of the network's input, below which its pools leave nothing
_ADVICE = "get the tracker's detector with: lse-bench weights fetch sfd_face"


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs between the two functions besides names, and how each is used: pictures scaled by `scale`, faces
    surer than `threshold`."""

    name: str
    rgb: bool
    dilation: int
    padding: int
    ceil: bool
    scale: float
    threshold: float


SFD_FACE = Variant("sfd_face", rgb=True, dilation=6, padding=6, ceil=True, scale=0.25, threshold=0.9)
FACE_ALIGNMENT = Variant("s3fd", rgb=False, dilation=1, padding=3, ceil=False, scale=1.0, threshold=0.5)

_BLOCKS = {"conv1": (0, 2), "conv2": (5, 7), "conv3": (10, 12, 14), "conv4": (17, 19, 21), "conv5": (24, 26, 28)}
_NORMS = ("L2Norm3_3", "L2Norm4_3", "L2Norm5_3")
_HEADS = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
RENAMED = {
    **{f"{block}_{n}": f"vgg.{index}" for block, indices in _BLOCKS.items() for n, index in enumerate(indices, 1)},
    **{"fc6": "vgg.31", "fc7": "vgg.33"},
    **{name: f"extras.{n}" for n, name in enumerate(("conv6_1", "conv6_2", "conv7_1", "conv7_2"))},
    **{f"{head}": norm for head, norm in zip(_HEADS, _NORMS, strict=False)},
    **{f"{head}_mbox_{kind}": f"{kind}.{n}" for n, head in enumerate(_HEADS) for kind in ("loc", "conf")},
}


class _Norm(nn.Module):
    """Each position divided by its L2 norm over channels, times a weight per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
        return self.weight[:, None, None] * (x / norm)


class S3fdNetwork(nn.Module):
    """The network: (N,3,H,W) with means taken off to `loc` (N,P,4), `conf` (N,P,2) after softmax."""

    def __init__(self, variant: Variant = SFD_FACE) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count, ceil in ((64, 2, False), (128, 2, False), (256, 3, variant.ceil), (512, 3, False)):
            layers += [*_convolutions(channels, width, count), nn.MaxPool2d(2, 2, ceil_mode=ceil)]
            channels = width
        layers += [*_convolutions(512, 512, 3), nn.MaxPool2d(2, 2)]
        layers += [nn.Conv2d(512, 1024, 3, padding=variant.padding, dilation=variant.dilation), nn.ReLU()]
        layers += [nn.Conv2d(1024, 1024, 1), nn.ReLU()]
        self.vgg = nn.ModuleList(layers)
        self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3 = _Norm(256), _Norm(512), _Norm(512)
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, 2, padding=1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, 2, padding=1),
            ]
        )
        widths = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList([nn.Conv2d(width, 4, 3, padding=1) for width in widths])
        # The finest map tells three kinds of background; the likeliest of them counts.
        self.conf = nn.ModuleList([nn.Conv2d(width, 2 if n else 4, 3, padding=1) for n, width in enumerate(widths)])

    def maps(self, x: Tensor) -> list[Tensor]:
        """The six feature maps, finest first."""
        found = []
        norms = {15: self.L2Norm3_3, 22: self.L2Norm4_3, 29: self.L2Norm5_3}
        for number, layer in enumerate(self.vgg):
            x = layer(x)
            if number in norms:
                found.append(norms[number](x))
        found.append(x)
        for number, layer in enumerate(self.extras):
            x = F.relu(layer(x))
            if number % 2:
                found.append(x)
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
        """`loc`, `conf` and the sizes (rows, columns) of the maps, for `anchors`."""
        loc, conf = [], []
        maps = self.maps(x)
        for number, (source, place, kind) in enumerate(zip(maps, self.loc, self.conf, strict=True)):
            scores = kind(source)
            if not number:
                scores = torch.cat([scores[:, :3].amax(dim=1, keepdim=True), scores[:, 3:]], dim=1)
            loc.append(place(source).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)))
            conf.append(scores.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 2)))
        sizes = [(int(source.shape[2]), int(source.shape[3])) for source in maps]
        return torch.cat(loc, dim=1), torch.cat(conf, dim=1).softmax(dim=-1), sizes


def _convolutions(channels: int, width: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n in range(count):
        layers += [nn.Conv2d(width if n else channels, width, 3, padding=1), nn.ReLU()]
    return layers


def anchors(height: int, width: int, sizes: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Anchors (P,4): centre x, centre y, width, height, each relative to the network's input of `height` x `width`."""
    rows = []
    for (high, wide), stride, side in zip(sizes, STRIDES, SIDES, strict=True):
        y, x = np.mgrid[:high, :wide].reshape(2, -1) + 0.5
        centre = [x / (width / stride), y / (height / stride)]
        rows.append(np.stack([*centre, np.full(x.shape, side / width), np.full(x.shape, side / height)], axis=1))
    return np.concatenate(rows).astype(np.float32)


def decode(loc: NDArray[np.float32], prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (P,4), left, top, right, bottom relative to the picture, from the network's answers and the anchors."""
    size = prior[:, 2:] * np.exp(loc[:, 2:] * np.float32(_SIZE))
    low = prior[:, :2] + loc[:, :2] * np.float32(_CENTRE) * prior[:, 2:] - size / 2
    return np.concatenate([low, low + size], axis=1)


def first_suppression(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Detections (K,5): score and box, the surest first: scores above 0.05, overlaps above 0.3 suppressed among the
    best 5,000, at most 750 kept."""
    (likely,) = np.nonzero(scores > _LOWEST)
    best = likely[scores[likely].argsort(kind="stable")[-_MOST:]]
    kept = best[suppress(boxes[best], scores[best], _FIRST)][:_KEPT]
    return np.concatenate([scores[kept, None], boxes[kept]], axis=1)


def faces_of(detections: NDArray[np.float32], width: int, height: int, threshold: float) -> list[Face]:
    """Faces in a picture of `width` x `height`, the surest first: scores above `threshold`, overlaps above 0.1
    suppressed a second time, in pixels."""
    sure = detections[detections[:, 0] > np.float32(threshold)]
    boxes = (sure[:, 1:] * np.array([width, height, width, height], np.float32)).astype(np.float64)
    scores = sure[:, 0].astype(np.float64)
    return [Face(boxes[i], float(scores[i])) for i in suppress(boxes, scores, _SECOND)]


class S3fd:
    """The detector as syncnet_python's tracker or Wav2Lip's inference run it, whichever `variant` it is: pictures
    scaled by `scale`, faces surer than `threshold`."""

    def __init__(
        self,
        network: S3fdNetwork,
        variant: Variant = SFD_FACE,
        scale: float | None = None,
        threshold: float | None = None,
        device: str = "cpu",
    ) -> None:
        compute_exactly()
        self.variant = variant
        self.scale = variant.scale if scale is None else scale
        self.threshold = variant.threshold if threshold is None else threshold
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> S3fd:
        """The detector whose weights are in `path`, told by its entries. Raises WeightsError for any other file."""
        network, variant = network_from(read_torch(path), str(path))
        return cls(network, variant, device=device)

    def scaled(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A BGR frame as the network sees it: reduced bilinearly."""
        small = cv2.resize(frame, dsize=(0, 0), fx=self.scale, fy=self.scale, interpolation=cv2.INTER_LINEAR)
        return np.asarray(small, dtype=np.uint8)

    @torch.inference_mode()
    def answers(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray, NDArray, NDArray]:  # type: ignore[type-arg]
        """`loc` (N,P,4), `conf` (N,P,2) and anchors (P,4) of scaled BGR pictures of one size."""
        batch = torch.from_numpy(np.stack(pictures)).to(self.device).permute(0, 3, 1, 2).float()
        if self.variant.rgb:
            batch = batch.flip(1)
        means = torch.tensor(_MEANS_RGB if self.variant.rgb else _MEANS_RGB[::-1], device=self.device)
        batch = (batch - means[:, None, None]).contiguous(memory_format=torch.channels_last)
        loc, conf, sizes = self.network(batch)
        return loc.cpu().numpy(), conf.cpu().numpy(), anchors(int(batch.shape[2]), int(batch.shape[3]), sizes)

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """Faces of each BGR frame, the surest first; all frames of one size. Raises LseBenchError when they are too
        small for the network."""
        small = [self.scaled(frame) for frame in frames]
        if min(small[0].shape[:2]) < _SMALLEST[self.variant.ceil]:
            high, wide = frames[0].shape[:2]
            raise LseBenchError(
                f"frames of {wide}x{high} scaled by {self.scale:g} leave {min(small[0].shape[:2])} px, S3FD needs "
                f"{_SMALLEST[self.variant.ceil]}; enlarge the video, or use another --detector"
            )
        loc, conf, prior = self.answers(small)
        found = []
        for frame, places, scores in zip(frames, loc, conf, strict=True):
            detections = first_suppression(decode(places, prior), np.ascontiguousarray(scores[:, 1]))
            found.append(faces_of(detections, frame.shape[1], frame.shape[0], self.threshold))
        return found


def network_from(state: Mapping[str, Tensor], where: str) -> tuple[S3fdNetwork, Variant]:
    """The network that a state dict belongs to, with its weights. Raises WeightsError when it is not S3FD's."""
    variant = SFD_FACE
    if "conv3_3_norm_mbox_conf.weight" in state:
        variant = FACE_ALIGNMENT
        state = {_renamed(name): value for name, value in state.items()}
    if "vgg.0.weight" not in state or "extras.0.weight" not in state:
        raise WeightsError(f"{where}: this is {kind_of(state)}, not the face detector S3FD; {_ADVICE}")
    network = S3fdNetwork(variant)
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{where}: S3FD's entries do not fit: {detail}; {_ADVICE}") from None
    return network, variant


def _renamed(name: str) -> str:
    layer, _, entry = name.rpartition(".")
    return f"{RENAMED.get(layer, layer)}.{entry}"
