"""LipGAN as a generator for the common runner.

It loads the published Keras files of both branches and both sizes, and the files of `lse-bench train lipgan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lse_bench.baselines.lipgan.model import BRANCHES, SOUND_SHAPE, Branch, fast
from lse_bench.baselines.lipgan.weights import load_generator
from lse_bench.baselines.masked_faces import network_input, redrawn
from lse_bench.devices import exactly, loading
from lse_bench.errors import ClipError
from lse_bench.features.htk_mfcc import htk_columns, htk_mfcc
from lse_bench.features.mel import COLUMNS_PER_SECOND, mel_columns, mel_spectrogram, window_starts
from lse_bench.generators.interface import FaceCrop, FaceGenerator, Options
from lse_bench.media.audio import Sound
from lse_bench.rates import FPS, SAMPLES_PER_FRAME
from lse_bench.weights.readers import read_metadata

MFCC_PER_FRAME = 4  # MFCC columns of one frame
MIDDLE = 4  # frames from the start of an MFCC window to the frame that it was trained with


def mfcc_starts(columns: int, legacy: bool = False, offset: int = 0) -> NDArray[np.int64]:
    """Return the first MFCC column of each frame's window of 35 columns, int64.

    The frame is in the middle of its window, as in training. At both ends of the sound the window is moved to stay
    inside. `columns`: MFCC columns of the sound; below 35 there are no frames. `legacy`: the window starts at the
    frame, as in the published inference, whose pictures come four frames early. It then has only frames whose window
    lies inside the sound. `offset`: frames by which all windows move; positive values mean later sound.
    """
    wide = SOUND_SHAPE["master"][1]
    if columns < wide:
        return np.zeros(0, np.int64)
    if legacy:
        frames = np.arange((columns - wide) // MFCC_PER_FRAME + 1)
        starts = (frames + offset) * MFCC_PER_FRAME
    else:
        frames = np.arange((columns + 2) // MFCC_PER_FRAME)  # 2: MFCC are computed on 400 samples every 160
        starts = (frames - MIDDLE + offset) * MFCC_PER_FRAME
    return np.asarray(np.clip(starts, 0, columns - wide), dtype=np.int64)


class LipGan(FaceGenerator):
    """The LipGAN generator, trained with a discriminator of faces and sound.

    The file of weights determines the branch: `master` takes MFCC, `fully_pythonic` a mel spectrogram. As published, it
    redraws the largest face, does not smooth the bounding boxes, and resizes pictures before it truncates them to whole
    numbers.
    """

    name: ClassVar[str] = "lipgan"
    weights: ClassVar[str | None] = "lipgan_residual_mel"
    packages: ClassVar[tuple[str, ...]] = ("librosa",)
    settings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"branch": "master or fully_pythonic: refuse files of the other branch"}
    )
    smoothing = "none"
    choice = "largest"

    @loading()
    def __init__(self, options: Options) -> None:
        path = options.needed_checkpoint(self.name)
        asked = options.setting("branch", "any", (*BRANCHES, "any"))
        network = load_generator(path, None if asked == "any" else cast(Branch, asked))
        self.branch, self.size = network.branch, network.size
        self._network = fast(network, options.device)
        self._device = options.device
        self._legacy, self._offset = options.legacy, options.sound_offset
        # A file of our training states where a frame's window of sound starts, in frames from the frame.
        trained = read_metadata(path).get("window_offset")
        self._trained = None if trained is None else int(trained)

    def description(self) -> dict[str, object]:
        return {
            "branch": self.branch,
            "size": self.size,
            "window": self._window(),
            "sound_offset": self._offset,
        }

    def _window(self) -> str:
        if self._trained is not None:
            return f"starts {self._trained:+d} frames from the frame, as trained"
        return "starts at the frame" if self._legacy or self.branch != "master" else "middle at the frame"

    def frames_for(self, samples: int) -> int:
        if self._trained is not None:
            return samples // SAMPLES_PER_FRAME
        if self.branch == "master":
            return len(mfcc_starts(htk_columns(samples), self._legacy))
        return len(window_starts(mel_columns(samples), SOUND_SHAPE[self.branch][1], FPS))

    def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
        features, starts = self._hear(sound)
        if self._trained is not None:
            per_frame = MFCC_PER_FRAME if self.branch == "master" else COLUMNS_PER_SECOND / FPS
            frames = np.arange(self.frames_for(len(sound))) + self._trained + self._offset
            starts = np.clip((frames * per_frame).astype(np.int64), 0, starts[-1])
        yield from redrawn(faces, features, starts, SOUND_SHAPE[self.branch][1], self.draw)

    def draw(self, crops: list[FaceCrop], sound: Tensor) -> NDArray[np.float32]:
        """Return the drawn faces, float32 (n,96,96,3) BGR, 0-255, of n crops and their sound (n,1,rows,columns)."""
        with exactly(), torch.inference_mode():
            faces = network_input(crops, masked_first=False)
            faces = faces.to(self._device, memory_format=torch.channels_last)
            drawn = self._network(faces, sound.to(self._device)) * 255
            return np.ascontiguousarray(drawn.permute(0, 2, 3, 1).cpu().numpy())

    def _hear(self, sound: Sound) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self.branch == "master":
            mfcc = htk_mfcc(sound)[1:].astype(np.float32)
            if not np.isfinite(mfcc).all():
                silent = int((~np.isfinite(mfcc)).any(axis=0).sum())
                raise ClipError(
                    "the sound",
                    "generator_failed",
                    f"digital silence makes {silent} of {mfcc.shape[1]} MFCC columns non-finite, and LipGAN skips such "
                    "sound. Use --nan-sound noise to add noise of one bit to it",
                )
            return mfcc, mfcc_starts(mfcc.shape[1], self._legacy, self._offset)
        mel = mel_spectrogram(sound)
        wide = SOUND_SHAPE[self.branch][1]
        shift = round(self._offset * COLUMNS_PER_SECOND / FPS)
        starts = window_starts(mel.shape[1], wide, FPS)
        return mel, np.clip(starts + shift, 0, mel.shape[1] - wide)
