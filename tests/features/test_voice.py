"""The voice activity detector: the network against one written out, pieces of any size, and the rules for speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import speech
from safetensors.torch import save_file

from lse_bench.errors import WeightsError
from lse_bench.features.voice import SileroVad, VoiceStream, load_vad, speech_of

BLOCK = 512


@pytest.fixture(scope="module")
def network() -> SileroVad:
    torch.manual_seed(5)
    return SileroVad().eval().requires_grad_(False)


def convolved(x: np.ndarray, layer: torch.nn.Conv1d, stride: int) -> np.ndarray:
    """A convolution of (channels, length) with one zero at both ends."""
    weight, bias = layer.weight.numpy().astype(float), layer.bias.numpy().astype(float)
    x = np.pad(x, ((0, 0), (1, 1)))
    steps = range(0, x.shape[1] - 2, stride)
    return np.stack([np.einsum("oik,ik->o", weight, x[:, at : at + 3]) + bias for at in steps], axis=1)


def written_out(network: SileroVad, sound: np.ndarray) -> list[float]:
    """The probabilities of speech, step by step."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    h = c = np.zeros(128)
    sound = np.r_[np.zeros(64), np.pad(sound, (0, -len(sound) % BLOCK)) / 32768]
    found = []
    basis = network.stft_conv.weight.numpy()[:, 0].astype(float)
    cell = {name: value.numpy().astype(float) for name, value in network.lstm_cell.named_parameters()}
    for start in range(0, len(sound) - 64, BLOCK):
        part = sound[start : start + 64 + BLOCK]
        part = np.r_[part, part[-2:-66:-1]]  # mirrored without the last sample
        parts = np.stack([basis @ part[at : at + 256] for at in range(0, len(part) - 255, 128)], axis=1)
        x = np.hypot(parts[:129], parts[129:])
        for layer, stride in ((network.conv1, 1), (network.conv2, 2), (network.conv3, 2), (network.conv4, 1)):
            x = np.maximum(convolved(x, layer, stride), 0)
        gates = cell["weight_ih"] @ x[:, 0] + cell["bias_ih"] + cell["weight_hh"] @ h + cell["bias_hh"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        last = network.final_conv.weight.numpy()[0, :, 0] @ np.maximum(h, 0) + network.final_conv.bias.numpy()[0]
        found.append(float(sigmoid(last)))
    return found


def test_the_network_is_the_one_written_out(network: SileroVad) -> None:
    sound = speech(0.5)[:7000]
    stream = VoiceStream(network)
    stream.push(sound)
    stream.finish()
    assert stream._found == pytest.approx(written_out(network, sound), abs=2e-6)


def test_pieces_of_any_size_give_the_same(network: SileroVad) -> None:
    sound, found = speech(1.0), []
    for step in (37, 512, 5000, len(sound)):
        stream = VoiceStream(network)
        for start in range(0, len(sound), step):
            stream.push(sound[start : start + step])
        stream.finish()
        found.append(stream._found)
    assert found[0] == found[1] == found[2] == found[3]


def blocks(*runs: tuple[float, int]) -> np.ndarray:
    return np.concatenate([np.full(count, value) for value, count in runs])


def test_speech_begins_and_ends_by_the_rules() -> None:
    """A block is 32 ms; 30 ms are added; 100 ms of quiet end speech; 250 ms are the least."""
    samples = 100 * BLOCK
    assert speech_of(blocks((0.1, 100)), samples) == []
    assert speech_of(blocks((0.1, 10), (0.9, 20), (0.1, 70)), samples) == [(10 * BLOCK - 480, 30 * BLOCK + 480)]
    assert speech_of(blocks((0.1, 10), (0.9, 7), (0.1, 83)), samples) == [], "224 ms are too short"
    bridged = blocks((0.1, 10), (0.9, 20), (0.1, 3), (0.9, 20), (0.1, 47))
    assert speech_of(bridged, samples) == [(10 * BLOCK - 480, 53 * BLOCK + 480)], "a gap below 100 ms"
    between = blocks((0.1, 10), (0.9, 20), (0.4, 20), (0.1, 50))
    assert speech_of(between, samples) == [(10 * BLOCK - 480, 50 * BLOCK + 480)], "0.4 neither begins nor ends"
    assert speech_of(blocks((0.9, 100)), samples) == [(0, samples)], "to the end of the sound, and not beyond"
    two = blocks((0.9, 20), (0.1, 5), (0.9, 75))
    assert speech_of(two, samples) == [(0, 20 * BLOCK + 480), (25 * BLOCK - 480, samples)]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "vad.safetensors")
    with pytest.raises(WeightsError, match=r"vad\.safetensors.*Silero"):
        load_vad(tmp_path / "vad.safetensors")
