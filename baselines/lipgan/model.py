"""LipGAN's networks: the generator in four forms and the discriminator. They compute what the Keras models compute.

The published code has two branches, `master` (sound as MFCC, 12x35) and `fully_pythonic` (mel spectrogram, 80x27), and
two sizes, `residual` (the default) and `basic`. Faces are BGR, 0-1, 96x96. The generator takes six planes: a whole
reference face, then the face to redraw with its lower half zero. Wav2Lip has the opposite order. The layers are created
in the order of the published code, because `weights.py` matches the published files by that order. A `width` below 1
narrows every hidden layer, so that a laptop can run the same networks.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.baselines.fused import FusedBlock, folded, ready, replace
from lse_bench.baselines.widths import Widths
from lse_bench.precision import widened

Branch = Literal["master", "fully_pythonic"]
Size = Literal["residual", "basic"]
BRANCHES: tuple[Branch, ...] = get_args(Branch)
SIZES: tuple[Size, ...] = get_args(Size)
SOUND_SHAPE: dict[Branch, tuple[int, int]] = {"master": (12, 35), "fully_pythonic": (80, 27)}
_EPSILON, _MOMENTUM = 1e-3, 0.2  # Keras's momentum 0.8 is torch's 0.2
_NORM_EPSILON = 1e-3  # added to the standard deviation, not the variance
Kernel = int | tuple[int, int]


def _pair(value: Kernel) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's `same` padding. It gives ceil(n / stride) outputs.

    If the padding is odd, the extra pixel is at the bottom or right.
    """

    def __init__(self, wide: int, out: int, kernel: Kernel, stride: Kernel = 1) -> None:
        super().__init__(wide, out, _pair(kernel), _pair(stride))

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return F.conv2d(x, self.weight, self.bias, self.stride, (pads[2], pads[0]))
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride)


class SameTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with TensorFlow's `same` padding.

    The output has `stride` times the size of the input. Rows and columns beyond that are cut at the bottom and right.
    """

    def __init__(self, wide: int, out: int, stride: int) -> None:
        super().__init__(wide, out, 3, stride)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        height, width = (side * self.stride[0] for side in x.shape[2:])
        whole: Tensor = super().forward(x)
        return whole[..., :height, :width]


class KerasBatchNorm(nn.BatchNorm2d):
    """BatchNorm with the moving statistics of Keras 2.2.4 on TensorFlow 1.

    The moving statistics are corrected for the bias towards their initial values, so after the first training step
    they are those of its batch. The variance of a batch enters them N/(N-1.001) times larger than in torch, where N is
    the number of values of a channel. The outputs, in training and in evaluation, are those of torch.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.momentum is not None and self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum / (1 - (1 - self.momentum) ** int(self.num_batches_tracked))
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        y = F.batch_norm(x, mean, variance, self.weight, self.bias, True, share, self.eps)
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.copy_(mean)
            kept = (1 - share) * self.running_var
            self.running_var.copy_(kept + (variance - kept) * (count / (count - 1.001)))
        return y


class Block(nn.Module):
    """A convolution, BatchNorm and ReLU. `convolution`: a plain one or one of those above."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = KerasBatchNorm(convolution.out_channels, _EPSILON, _MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(x)))


class Residual(nn.Module):
    """Two blocks in sequence. The input is added to their output, and a ReLU follows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_same(width, width, 3), _same(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.blocks(x) + x)


def _same(wide: int, out: int, kernel: Kernel, stride: Kernel = 1) -> Block:
    return Block(SameConv2d(wide, out, kernel, stride))


def _valid(wide: int, out: int, kernel: Kernel) -> Block:
    return Block(nn.Conv2d(wide, out, kernel))


def _residuals(width: int, count: int) -> list[Residual]:
    return [Residual(width) for _ in range(count)]


def _face_encoder(size: Size, c: Widths) -> nn.ModuleList:
    first = 7 if size == "residual" else 11
    kernels = (5, 3, 3, 3) if size == "residual" else (7, 5, 3, 3)
    counts = (2, 3, 2, 2) if size == "residual" else (0, 0, 0, 0)
    stages = [nn.Sequential(_same(6, c(32), first))]
    wide = 32
    for out, kernel, count in zip((64, 128, 256, 512), kernels, counts, strict=True):
        stages.append(nn.Sequential(_same(c(wide), c(out), kernel, 2), *_residuals(c(out), count)))
        wide = out
    stages.append(nn.Sequential(_same(c(512), c(512), 3, 2)))
    stages.append(nn.Sequential(_valid(c(512), c(512), 3), _same(c(512), c(512) if size == "residual" else c(256), 1)))
    return nn.ModuleList(stages)


def _sound_encoder(branch: Branch, size: Size, c: Widths) -> nn.Sequential:
    top = nn.ZeroPad2d((0, 0, 1, 0))
    if branch == "master" and size == "residual":
        return nn.Sequential(
            *(
                _same(1, c(128), 3),
                *_residuals(c(128), 3),
                top,
                _same(c(128), c(256), 3, (1, 2)),
                *_residuals(c(256), 2),
            ),
            *(_same(c(256), c(512), 3, 2), *_residuals(c(512), 2), _same(c(512), c(512), 3, 2), *_residuals(c(512), 1)),
            *(_valid(c(512), c(512), (4, 5)), _same(c(512), c(512), 1)),
        )
    if branch == "master":
        return nn.Sequential(
            *(
                _same(1, c(128), 3),
                top,
                _same(c(128), c(256), 3, (1, 2)),
                _same(c(256), c(256), 3),
                _same(c(256), c(256), 3, 2),
            ),
            *(_same(c(256), c(512), 3, 2), _valid(c(512), c(512), (4, 5)), _same(c(512), c(256), 1)),
        )
    layers: list[nn.Module] = []
    wide = 1
    for out, stride in ((32, 1), (64, 3), (128, (3, 1)), (256, 3)):
        layers.append(_same(c(wide), c(out), 3, stride))
        layers += _residuals(c(out), 2) if size == "residual" else [_same(c(out), c(out), 3) for _ in range(2)]
        wide = out
    return nn.Sequential(*layers, _valid(c(256), c(512), 3), _same(c(512), c(512), 1))


class Generator(nn.Module):
    """LipGAN's generator. It draws faces (N,3,96,96), 0-1, from faces (N,6,96,96) and their sound.

    The sound is (N,1,12,35) for the branch `master` and (N,1,80,27) for `fully_pythonic`.
    """

    def __init__(self, branch: Branch = "master", size: Size = "residual", width: float = 1.0) -> None:
        super().__init__()
        c = Widths(width)
        self.branch, self.size = branch, size
        self.face_encoder = _face_encoder(size, c)
        self.sound_encoder = _sound_encoder(branch, size, c)
        face_wide = 512 if size == "residual" else 256
        sound_wide = 256 if (branch, size) == ("master", "basic") else 512
        count = 2 if size == "residual" else 0
        stages = [nn.Sequential(Block(SameTranspose2d(c(face_wide + sound_wide), c(512), 3)))]
        for wide, out in ((1024, 512), (1024, 256), (512, 128), (256, 64)):
            stages.append(nn.Sequential(Block(SameTranspose2d(c(wide), c(out), 2)), *_residuals(c(out), count)))
        stages.append(nn.Sequential(Block(SameTranspose2d(c(128), c(32), 2))))
        self.decoder = nn.ModuleList(stages)
        self.head = nn.Sequential(_same(c(64), c(16), 3), _same(c(16), c(16), 3), SameConv2d(c(16), 3, 1))

    def logits(self, faces: Tensor, sound: Tensor) -> Tensor:
        """Return the output before the sigmoid, (N,3,96,96)."""
        skips = []
        for encode in self.face_encoder:
            faces = encode(faces)
            skips.append(faces)
        x = torch.cat([skips.pop(), self.sound_encoder(sound)], dim=1)
        for decode in self.decoder:
            x = torch.cat([skips.pop(), decode(x)], dim=1)
        drawn: Tensor = self.head(x)
        return drawn

    def forward(self, faces: Tensor, sound: Tensor) -> Tensor:
        return torch.sigmoid(widened(self.logits(faces, sound)))


class InstanceNorm(nn.Module):
    """The instance normalisation of keras-contrib with axis None.

    It normalises over height, width and channels together and divides by (std + 1e-3). It has one scale and one bias.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3), keepdim=True)
        std = x.var((1, 2, 3), correction=0, keepdim=True).sqrt()
        return (x - mean) / (std + _NORM_EPSILON) * self.weight + self.bias


class JudgeBlock(nn.Module):
    """A convolution, InstanceNorm and LeakyReLU with slope 0.2."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = InstanceNorm()

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(x)), 0.2)


class Discriminator(nn.Module):
    """LipGAN's discriminator. It returns the distance between each face and its sound, (N,1), 0-2.

    It takes whole faces (N,3,96,96), 0-1, and the sound of the generator.
    """

    def __init__(self, branch: Branch = "master", width: float = 1.0) -> None:
        super().__init__()
        c = Widths(width)

        def judge(wide: int, out: int, kernel: Kernel, stride: Kernel = 1) -> JudgeBlock:
            return JudgeBlock(SameConv2d(wide, out, kernel, stride))

        self.face = nn.Sequential(
            *(
                judge(3, c(64), 7, 2),
                judge(c(64), c(128), 5, 2),
                judge(c(128), c(256), 3, 2),
                judge(c(256), c(512), 3, 2),
            ),
            *(judge(c(512), c(512), 3, 2), nn.Conv2d(c(512), c(512), 3)),
        )
        if branch == "master":
            self.sound = nn.Sequential(
                *(
                    judge(1, c(64), 3),
                    judge(c(64), c(128), 3),
                    nn.ZeroPad2d((0, 0, 1, 0)),
                    judge(c(128), c(256), 3, (1, 2)),
                ),
                *(
                    judge(c(256), c(256), 3),
                    judge(c(256), c(256), 3, 2),
                    judge(c(256), c(512), 3, 2),
                    nn.Conv2d(c(512), c(512), (4, 5)),
                ),
            )
        else:
            self.sound = nn.Sequential(
                *(
                    judge(1, c(32), 3),
                    judge(c(32), c(64), 3, 3),
                    judge(c(64), c(128), 3, (3, 1)),
                    judge(c(128), c(256), 3, 3),
                ),
                *(JudgeBlock(nn.Conv2d(c(256), c(512), 3)), judge(c(512), c(512), 1)),
            )

    def forward(self, faces: Tensor, sound: Tensor) -> Tensor:
        face, heard = (self._length_one(x.flatten(1)) for x in (self.face(faces), self.sound(sound)))
        return (face - heard).square().sum(1, keepdim=True).sqrt()

    @staticmethod
    def _length_one(x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().sum(1, keepdim=True).clamp(min=1e-12))


def contrastive_loss(distance: Tensor, label: Tensor) -> Tensor:
    """Return the mean of (1-y) d² + y max(0, 1-d)². Label y is 0 for real and in sync, 1 for drawn or out of sync."""
    return ((1 - label) * distance.square() + label * (1 - distance).clamp(min=0).square()).mean()


def fast(network: Generator, device: str = "cpu") -> Generator:
    """Return a faster inference form of `network` (`baselines/fused.py`). Changes `network` in place."""
    ready(network, device)
    for block in [module for module in network.modules() if isinstance(module, Block)]:
        replace(network, block, ready(FusedBlock(folded(block.convolution, block.norm), device), device))
    return network
