"""Where there is speech in a sound: Silero VAD 6 from its parameters, as a module of our own.

The network gives the probability of speech for each block of 512 samples at 16 kHz. Speech begins at 0.5 and ends when
the probability stays below 0.35 for 100 ms; shorter speech than 250 ms is dropped, and 30 ms are added on both sides.
These are the defaults of the package silero-vad 6.2.3.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.devices import exactly
from lse_bench.errors import WeightsError
from lse_bench.weights.readers import read_torch

VERSION = 1
WEIGHTS = "silero_vad"
BEGIN, END = 0.5, 0.35  # probabilities
SETTINGS = f"{BEGIN:g}-{END:g}"
_RATE = 16000
_BLOCK, _CONTEXT = 512, 64  # samples
_TILE = 16  # blocks that are transformed at once: half a second
_QUIET, _SHORTEST, _PAD = (_RATE * ms // 1000 for ms in (100, 250, 30))
_REMEMBERED = 1024  # blocks: half a minute
_REAL = 129  # channels of the transform's real part

_State = tuple[Tensor, Tensor]


class SileroVad(nn.Module):
    """The network for 16 kHz, with the entry names of `silero_vad_16k.safetensors`.

    `heard`: answers and states by a digest of everything that was heard up to there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard: OrderedDict[bytes, tuple[float, _State]] = OrderedDict()
        self.stft_conv = nn.Conv1d(1, 2 * _REAL, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(_REAL, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def heard_as(self, sound: Tensor) -> Tensor:
        """Return the features (N,128) of blocks.

        `sound`: (N,576), -1 to 1: 64 samples of the block before, then the block.
        """
        x = self.stft_conv(F.pad(sound, (0, _CONTEXT), mode="reflect")[:, None])
        x = (x[:, :_REAL].square() + x[:, _REAL:].square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = layer(x).relu()
        features: Tensor = x[:, :, 0]
        return features

    def forward(self, features: Tensor, state: _State | None) -> tuple[Tensor, _State]:
        """Return the probability of speech (N,) in the next block of N sounds, and the state for the one after it.

        `features`: (N,128), of the block. `state`: None at the start.
        """
        state = self.lstm_cell(features, state)
        return self.final_conv(state[0].relu()[:, :, None]).sigmoid()[:, 0, 0], state


@lru_cache(maxsize=1)
def load_vad(path: Path) -> SileroVad:
    """Return the network of a file; it is read once in a process. Raises WeightsError if the file is another one."""
    network = SileroVad()
    try:
        network.load_state_dict(read_torch(path))
    except RuntimeError as error:
        raise WeightsError(f"{path}: these are not the entries of Silero VAD: {str(error)[:200]}") from None
    return network.eval().requires_grad_(False)


class VoiceStream:
    """Finds speech in samples that come piece by piece. Of the sound only half a second is in memory.

    A network remembers its answers for the last 1,024 blocks, because copies of a clip often share a sound.
    """

    def __init__(self, network: SileroVad) -> None:
        self._network = network
        self._before = b""  # a digest of everything before
        self._rest = np.zeros(0, np.int16)
        self._context = np.zeros(_CONTEXT, np.int16)
        self._state: _State | None = None
        self._found: list[float] = []
        self._count = 0

    def push(self, samples: NDArray[np.int16]) -> None:
        """Take the next samples: int16, 16 kHz, mono."""
        self._count += len(samples)
        held = np.concatenate([self._rest, samples])
        whole = len(held) // (_TILE * _BLOCK) * _TILE * _BLOCK
        for start in range(0, whole, _TILE * _BLOCK):
            self._look(held[start : start + _TILE * _BLOCK])
        self._rest = held[whole:]

    def finish(self) -> NDArray[np.float64]:
        """Return the speech (N,2): start and end of each piece, in seconds. Call it once, after the last sample."""
        if len(self._rest):
            self._look(np.pad(self._rest, (0, -len(self._rest) % _BLOCK)))
        pieces = speech_of(np.array(self._found), self._count)
        return np.array(pieces, np.float64).reshape(-1, 2) / _RATE

    @exactly()
    @torch.inference_mode()
    def _look(self, sound: NDArray[np.int16]) -> None:
        """Take the next blocks, a whole number of them up to a tile."""
        heard, features = self._network.heard, None
        for number, block in enumerate(sound.reshape(-1, _BLOCK)):
            self._before = hashlib.blake2b(self._before + block.tobytes()).digest()
            known = heard.get(self._before)
            if known is None:
                if features is None:
                    features = self._network.heard_as(self._tile(sound))
                probability, state = self._network(features[number : number + 1], self._state)
                known = float(probability), state
                heard[self._before] = known
                while len(heard) > _REMEMBERED:
                    heard.popitem(last=False)
            self._found.append(known[0])
            self._state = known[1]
        self._context = sound[-_CONTEXT:]

    def _tile(self, sound: NDArray[np.int16]) -> Tensor:
        """Return blocks as the network takes them: (16,576). Zeros fill it, because other sizes round differently."""
        held = np.zeros(_CONTEXT + _TILE * _BLOCK, np.int16)
        held[: _CONTEXT + len(sound)] = np.concatenate([self._context, sound])
        return (torch.from_numpy(held).float() / 32768).unfold(0, _CONTEXT + _BLOCK, _BLOCK)


def speech_of(probabilities: NDArray[np.float64], samples: int) -> list[tuple[int, int]]:
    """Return start and end of each piece of speech, in samples, from the probabilities (N,) of its blocks.

    `samples`: the length of the sound.
    """
    pieces: list[tuple[int, int]] = []
    start: int | None = None
    quiet: int | None = None  # where the probability fell below END
    for number, probability in enumerate(probabilities):
        at = number * _BLOCK
        if probability >= BEGIN:
            start, quiet = at if start is None else start, None
        elif start is not None and probability < END:
            quiet = at if quiet is None else quiet
            if at - quiet >= _QUIET:
                pieces.append((start, quiet))
                start = quiet = None
    if start is not None:
        pieces.append((start, samples))
    kept = [piece for piece in pieces if piece[1] - piece[0] > _SHORTEST]
    return _padded(kept, samples)


def _padded(pieces: list[tuple[int, int]], samples: int) -> list[tuple[int, int]]:
    """Return the pieces with 30 ms more on both sides. Neighbours share a shorter silence."""
    starts, ends = [piece[0] for piece in pieces], [piece[1] for piece in pieces]
    if pieces:
        starts[0], ends[-1] = max(0, starts[0] - _PAD), min(samples, ends[-1] + _PAD)
    for number in range(len(pieces) - 1):
        pad = min(_PAD, (starts[number + 1] - ends[number]) // 2)
        ends[number] += pad
        starts[number + 1] -= pad
    return list(zip(starts, ends, strict=True))
