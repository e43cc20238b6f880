"""Wav2Lip as a generator for the common runner.

It loads the published checkpoints (`.pth` or TorchScript) and the files of `lse-bench train`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lse_bench.baselines.masked_faces import network_input, redrawn
from lse_bench.baselines.wav2lip.model import COLUMNS, fast
from lse_bench.baselines.wav2lip.weights import load_network
from lse_bench.devices import exactly, loading
from lse_bench.errors import ClipError
from lse_bench.features.mel import COLUMNS_PER_SECOND, mel_columns, mel_spectrogram, window_starts
from lse_bench.generators.interface import FaceCrop, FaceGenerator, Options
from lse_bench.media.audio import Sound
from lse_bench.rates import FPS
from lse_bench.weights.readers import read_metadata


class Wav2Lip(FaceGenerator):
    """The Wav2Lip generator, trained with the lip-sync expert only.

    By default it follows `inference.py`: bounding boxes are 10 pixels longer at the bottom, and the window of one last
    frame ends with the sound. With `legacy` it follows the evaluation scripts: boxes are as detected, and there is no
    such last frame.
    """

    name: ClassVar[str] = "wav2lip"
    weights: ClassVar[str | None] = "wav2lip"
    packages: ClassVar[tuple[str, ...]] = ("librosa",)

    @loading()
    def __init__(self, options: Options) -> None:
        path = options.needed_checkpoint(self.name)
        self._network = fast(load_network(path, trust=options.trust), options.device)
        self._device = options.device
        self._last = not options.legacy
        # A file of our training states where a frame's window of sound starts, in frames from the frame. Published
        # networks start it at the frame: 0.
        self._trained = int(read_metadata(path).get("window_offset", 0))
        self._offset = options.sound_offset
        self.pads = (0, 0, 0, 0) if options.legacy else (0, 10, 0, 0)

    def description(self) -> dict[str, object]:
        return {"last_window": self._last, "sound_offset": self._offset + self._trained}

    def frames_for(self, samples: int) -> int:
        return len(window_starts(mel_columns(samples), COLUMNS, FPS, self._last))

    def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
        if len(sound) < COLUMNS * 200:
            raise ClipError("the sound", "generator_failed", f"{len(sound)} samples; Wav2Lip needs {COLUMNS * 200}")
        mel = mel_spectrogram(sound)
        starts = window_starts(mel.shape[1], COLUMNS, FPS, self._last)
        if self._trained:  # the same rounding as in training
            frames = np.arange(len(starts)) + self._trained
            starts = (frames * (COLUMNS_PER_SECOND / FPS)).astype(np.int64)
        shift = round(self._offset * COLUMNS_PER_SECOND / FPS)
        starts = np.clip(starts + shift, 0, mel.shape[1] - COLUMNS)
        yield from redrawn(faces, mel, starts, COLUMNS, self.draw)

    def draw(self, crops: list[FaceCrop], mel: Tensor) -> NDArray[np.uint8]:
        """Return the drawn faces, uint8 (n,96,96,3) BGR, of n crops and their mel windows (n,1,80,16).

        Values are truncated, not rounded, as in the published code.
        """
        with exactly(), torch.inference_mode():
            faces = network_input(crops, masked_first=True)
            faces = faces.to(self._device, memory_format=torch.channels_last)
            drawn = self._network(mel.to(self._device), faces)
            return np.asarray((drawn * 255).permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8))


class Wav2LipGan(Wav2Lip):
    """The Wav2Lip+GAN generator: the same network, trained with the expert and the quality discriminator."""

    name = "wav2lip-gan"
    weights = "wav2lip_gan"
