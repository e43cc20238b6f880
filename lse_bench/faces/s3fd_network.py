"""The network of S3FD in its two published variants, made from a state dict. This module reads no files.

Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector" (2017). Two weight files are in use, and they define
different functions. `sfd_face.pth` is the file of syncnet_python's tracker: RGB input, a dilated sixth block, and
rounding up in the third pool. `s3fd-619a316812.pth` is the file of face-alignment and Wav2Lip: BGR input, no dilation,
and rounding down. The network's entries have the names of the first file. Entries of the second file are renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.errors import WeightsError
from lse_bench.faces.winograd import FEWEST_CHANNELS, WinogradRelu
from lse_bench.weights.readers import kind_of

_ADVICE = "get the tracker's detector with: lse-bench weights fetch sfd_face"


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the two published variants of S3FD and its usual settings.

    `rgb`: whether the input is RGB; otherwise it is BGR. `dilation`, `padding`: settings of the first convolution of
    the sixth block. `ceil`: whether the third pool rounds up. `scale`: factor by which frames are resized. `threshold`:
    faces need a higher score than this.
    """

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
    """A layer that divides each position by its L2 norm over channels and multiplies by a weight per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
        return self.weight[:, None, None] * (x / norm)


class S3fdNetwork(nn.Module):
    """The S3FD network. It maps pictures (N,3,H,W) minus the channel means to `loc` (N,P,4) and `conf` (N,P,2).

    `conf` is the softmax over background and face.
    """

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
        # The finest map has three background classes; `forward` uses the largest of their scores.
        self.conf = nn.ModuleList([nn.Conv2d(width, 2 if n else 4, 3, padding=1) for n, width in enumerate(widths)])

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps, the finest first."""
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
        """Return `loc`, `conf` and the sizes (rows, columns) of the maps, which `anchors` needs."""
        loc, conf = [], []
        maps = self.maps(x)
        for number, (source, place, kind) in enumerate(zip(maps, self.loc, self.conf, strict=True)):
            # One convolution for both: with so few results it takes as long as for one.
            weights, biases = (torch.cat([getattr(one, name) for one in (place, kind)]) for name in ("weight", "bias"))
            places, scores = F.conv2d(source, weights, biases, padding=1).tensor_split([4], dim=1)
            if not number:
                scores = torch.cat([scores[:, :3].amax(dim=1, keepdim=True), scores[:, 3:]], dim=1)
            loc.append(places.permute(0, 2, 3, 1).flatten(1).view(len(x), -1, 4))
            conf.append(scores.permute(0, 2, 3, 1).flatten(1).view(len(x), -1, 2))
        sizes = [(int(source.shape[2]), int(source.shape[3])) for source in maps]
        return torch.cat(loc, dim=1), torch.cat(conf, dim=1).softmax(dim=-1), sizes


def made_fast(network: S3fdNetwork) -> S3fdNetwork:
    """Return the network with its wide convolutions in a form that needs fewer products, for a processor.

    Its entries are no longer those of a state dict.
    """
    for place, layer in enumerate(network.vgg):
        if isinstance(layer, nn.ReLU):
            layer.inplace = True
        if not isinstance(layer, nn.Conv2d) or layer.in_channels < FEWEST_CHANNELS:
            continue
        if layer.kernel_size == (3, 3) and layer.padding == layer.dilation == (1, 1):
            network.vgg[place], network.vgg[place + 1] = WinogradRelu(layer), nn.Identity()
    return network


def _convolutions(channels: int, width: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n in range(count):
        layers += [nn.Conv2d(width if n else channels, width, 3, padding=1), nn.ReLU()]
    return layers


def network_from(state: Mapping[str, Tensor], where: str) -> tuple[S3fdNetwork, Variant]:
    """Return the network and variant of a state dict, with its weights loaded.

    `where`: the name of the file for messages. Raises WeightsError if the state dict is not S3FD's or does not fit.
    """
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
