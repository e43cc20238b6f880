"""Wav2Lip's networks: generator, lip-sync expert and quality discriminator.

The entry names are those of the published checkpoints. Faces are BGR, 0-1, 96x96. Windows of the mel spectrogram are
(80,16), -4...4 (`features/mel.py`). The generator takes six planes: the face to redraw with its lower half (rows 48-95)
zero, then a whole reference face. Sequences are (B,C,T,96,96) with mel (B,T,1,80,16). They are computed time-major. A
`width` below 1 narrows every hidden layer, so that a laptop can run the same networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.baselines.fused import FusedBlock, folded, ready, replace
from lse_bench.baselines.widths import SIZE, Widths
from lse_bench.precision import widened

WINDOW_FRAMES = 5  # frames of one window of the expert
COLUMNS = 16  # mel columns of a window: 0.2 s


class Block(nn.Module):
    """A convolution, BatchNorm and ReLU. `residual`: the input is added before the ReLU.

    `transposed`: the convolution is a transposed one, which uses `output_padding`.
    """

    def __init__(
        self,
        wide: int,
        out: int,
        kernel: int,
        stride: int | tuple[int, int] = 1,
        padding: int = 0,
        *,
        residual: bool = False,
        transposed: bool = False,
        output_padding: int = 0,
    ) -> None:
        super().__init__()
        convolution: nn.Module = (
            nn.ConvTranspose2d(wide, out, kernel, stride, padding, output_padding)
            if transposed
            else nn.Conv2d(wide, out, kernel, stride, padding)
        )
        self.conv_block = nn.Sequential(convolution, nn.BatchNorm2d(out))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return F.relu(y + x if self.residual else y)


class PlainBlock(nn.Module):
    """A convolution and LeakyReLU with slope 0.01, without normalisation."""

    def __init__(self, wide: int, out: int, kernel: int, stride: int | tuple[int, int] = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(wide, out, kernel, stride, padding))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv_block(x), 0.01)


def _residuals(width: int, count: int) -> list[Block]:
    return [Block(width, width, 3, 1, 1, residual=True) for _ in range(count)]


def _audio_encoder(residuals_at_256: int, c: Widths) -> nn.Sequential:
    return nn.Sequential(
        Block(1, c(32), 3, 1, 1),
        *_residuals(c(32), 2),
        Block(c(32), c(64), 3, (3, 1), 1),
        *_residuals(c(64), 2),
        Block(c(64), c(128), 3, 3, 1),
        *_residuals(c(128), 2),
        Block(c(128), c(256), 3, (3, 2), 1),
        *_residuals(c(256), residuals_at_256),
        Block(c(256), c(512), 3),
        Block(c(512), c(512), 1),
    )


class Generator(nn.Module):
    """The generator of Wav2Lip and Wav2Lip+GAN. It has 352 entries and, at full width, 36,298,035 parameters."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = Widths(width)
        stages = [(6, 16, 0), (16, 32, 2), (32, 64, 3), (64, 128, 2), (128, 256, 2), (256, 512, 1)]
        encoder = [
            nn.Sequential(
                Block(c(wide), c(out), 7, 1, 3) if wide == 6 else Block(c(wide), c(out), 3, 2, 1),
                *_residuals(c(out), count),
            )
            for wide, out, count in stages
        ]
        self.face_encoder_blocks = nn.ModuleList(
            [*encoder, nn.Sequential(Block(c(512), c(512), 3), Block(c(512), c(512), 1))]
        )
        self.audio_encoder = _audio_encoder(1, c)
        ups = [(1024, 512), (768, 384), (512, 256), (320, 128), (160, 64)]
        self.face_decoder_blocks = nn.ModuleList(
            [
                nn.Sequential(Block(c(512), c(512), 1)),
                nn.Sequential(Block(c(1024), c(512), 3, transposed=True), *_residuals(c(512), 1)),
                *(
                    nn.Sequential(
                        Block(c(wide), c(out), 3, 2, 1, transposed=True, output_padding=1), *_residuals(c(out), 2)
                    )
                    for wide, out in ups
                ),
            ]
        )
        self.output_block = nn.Sequential(Block(c(80), c(32), 3, 1, 1), nn.Conv2d(c(32), 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """Return faces (N,3,96,96), 0-1, drawn from mel (N,1,80,16) and faces (N,6,96,96).

        Sequences are accepted too: mel (B,T,1,80,16) and faces (B,6,T,96,96) give faces (B,3,T,96,96).
        """
        frames = faces.shape[2] if faces.dim() == 5 else 0
        if frames:
            mel = mel.transpose(0, 1).flatten(0, 1)
            faces = time_major(faces)
        features = []
        for encode in self.face_encoder_blocks:
            faces = encode(faces)
            features.append(faces)
        x = self.audio_encoder(mel)
        for decode in self.face_decoder_blocks:
            x = torch.cat([decode(x), features.pop()], dim=1)
        drawn: Tensor = self.output_block[2](widened(self.output_block[:2](x)))
        return drawn.reshape(frames, -1, *drawn.shape[1:]).permute(1, 2, 0, 3, 4) if frames else drawn


class Expert(nn.Module):
    """Wav2Lip's lip-sync expert, with 217 entries. It is used in training only. It is not SyncNet, the scorer."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = Widths(width)
        self.face_encoder = nn.Sequential(
            Block(3 * WINDOW_FRAMES, c(32), 7, 1, 3),
            Block(c(32), c(64), 5, (1, 2), 1),
            *_residuals(c(64), 2),
            Block(c(64), c(128), 3, 2, 1),
            *_residuals(c(128), 3),
            Block(c(128), c(256), 3, 2, 1),
            *_residuals(c(256), 2),
            Block(c(256), c(512), 3, 2, 1),
            *_residuals(c(512), 2),
            Block(c(512), c(512), 3, 2, 1),
            Block(c(512), c(512), 3),
            Block(c(512), c(512), 1),
        )
        self.audio_encoder = _audio_encoder(2, c)

    def embed(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of `forward` before their normalisation to unit length. They are not negative."""
        return self.audio_encoder(mel).flatten(1), self.face_encoder(faces).flatten(1)

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings of unit length, (N,512) at full width, of sound and of faces.

        `mel`: (N,1,80,16). `faces`: lower halves (N,15,48,96), 0-1, in the order t0 B, G, R, t1 …
        """
        sound, face = self.embed(mel, faces)
        return F.normalize(sound), F.normalize(face)


class QualityDiscriminator(nn.Module):
    """Wav2Lip+GAN's quality discriminator of lower-half faces, with 28 entries."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = Widths(width)
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(PlainBlock(3, c(32), 7, 1, 3)),
                nn.Sequential(PlainBlock(c(32), c(64), 5, (1, 2), 2), PlainBlock(c(64), c(64), 5, 1, 2)),
                nn.Sequential(PlainBlock(c(64), c(128), 5, 2, 2), PlainBlock(c(128), c(128), 5, 1, 2)),
                nn.Sequential(PlainBlock(c(128), c(256), 5, 2, 2), PlainBlock(c(256), c(256), 5, 1, 2)),
                nn.Sequential(PlainBlock(c(256), c(512), 3, 2, 1), PlainBlock(c(512), c(512), 3, 1, 1)),
                nn.Sequential(PlainBlock(c(512), c(512), 3, 2, 1), PlainBlock(c(512), c(512), 3, 1, 1)),
                nn.Sequential(PlainBlock(c(512), c(512), 3), PlainBlock(c(512), c(512), 1)),
            ]
        )
        self.binary_pred = nn.Sequential(nn.Conv2d(c(512), 1, 1), nn.Sigmoid())

    def forward(self, faces: Tensor) -> Tensor:
        """Return the probability that each face is real, (T·B,1) time-major, for whole faces (B,3,T,96,96), 0-1."""
        x = time_major(faces)[:, :, SIZE // 2 :]
        for encode in self.face_encoder_blocks:
            x = encode(x)
        convolve, squash = self.binary_pred
        # In full precision: a bfloat16 sigmoid is 1 for inputs above 6.5, and the logarithm of 1 gives no gradient.
        judged: Tensor = squash(widened(convolve(x)))
        return judged.flatten(1)


def time_major(sequence: Tensor) -> Tensor:
    """Reshape (B,C,T,H,W) to (T·B,C,H,W). Item t·B + b is frame t of sequence b."""
    return sequence.permute(2, 0, 1, 3, 4).flatten(0, 1)


def masked(faces: Tensor) -> Tensor:
    """Return a copy of faces (…,96,96) with the lower half zero."""
    copy = faces.clone()
    copy[..., SIZE // 2 :, :] = 0
    return copy


def fast(network: Generator, device: str = "cpu") -> Generator:
    """Return a faster inference form of `network` (`baselines/fused.py`). Changes `network` in place."""
    ready(network, device)
    for block in [module for module in network.modules() if isinstance(module, Block)]:
        convolution = folded(block.conv_block[0], block.conv_block[1])
        replace(network, block, ready(FusedBlock(convolution, device, block.residual), device))
    return network
