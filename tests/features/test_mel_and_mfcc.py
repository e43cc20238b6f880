"""Sound as the baselines hear it, against librosa 0.7 and the MATLAB scripts."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from checkpoints import GOLDEN
from conftest import shared_file
from scipy.io import wavfile
from scipy.signal import lfilter

from lse_bench.features.htk_mfcc import htk_columns, htk_mfcc
from lse_bench.features.mel import mel_columns, mel_spectrogram, slaney_filters


def synthetic() -> np.ndarray:
    return np.asarray(wavfile.read(GOLDEN / "speech2vid" / "synthetic_16k.wav")[1])


@pytest.mark.original
def test_mel_of_a_synthetic_sound() -> None:
    sound = synthetic()
    with np.load(GOLDEN / "generators" / "wav2lip_melspectrogram_synthetic.npz") as held:
        mel = mel_spectrogram(sound)
        assert mel.dtype == np.float32 and mel.shape[1] == mel_columns(len(sound))
        np.testing.assert_allclose(mel, held["mel"], atol=5e-6)


@pytest.mark.original
def test_mel_of_speech() -> None:
    folder = ("golden", "generators")
    sound = wavfile.read(shared_file(*folder, "speech_2s_16k.wav"))[1]
    with np.load(shared_file(*folder, "wav2lip_melspectrogram.npz")) as held:
        np.testing.assert_allclose(mel_spectrogram(sound), held["mel"], atol=5e-6)
        np.testing.assert_allclose(slaney_filters(), held["mel_basis"], atol=1e-8)


@pytest.mark.original
def test_librosas_own_padding_is_not_the_published_one() -> None:
    """The trap: with zeros beyond the ends, librosa's default since 0.9, the first and last columns move."""
    sound = synthetic()
    samples = lfilter([1, -0.97], [1], sound / 32768)
    shown = {}
    for mode in ("reflect", "constant"):
        spectrum = np.abs(librosa.stft(samples, n_fft=800, hop_length=200, pad_mode=mode))
        decibels = 20 * np.log10(np.maximum(1e-5, slaney_filters() @ spectrum)) - 20
        shown[mode] = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
    assert np.abs(mel_spectrogram(sound) - shown["reflect"]).max() < 1e-6
    moved = np.abs(shown["constant"] - shown["reflect"]).max(axis=0)
    assert moved[[0, -1]].max() > 0.1 and moved[2:-2].max() < 1e-6


def test_long_sound_is_worked_on_in_blocks() -> None:
    sound = np.tile(synthetic(), 30)  # 45 s: two blocks
    mel, piece = mel_spectrogram(sound), mel_spectrogram(sound[16000 * 20 : 16000 * 40])
    np.testing.assert_allclose(mel[:, 80 * 20 + 5 : 80 * 40 - 5], piece[:, 5:-6], atol=1e-4)
    # Across the edge of a block, column 2,048; the first column of the part begins with another pre-emphasis.
    np.testing.assert_allclose(htk_mfcc(sound)[:, 2001:2090], htk_mfcc(sound[160 * 2000 :])[:, 1:90], atol=1e-8)
    with pytest.raises(ValueError, match="needs more than 400"):
        mel_spectrogram(sound[:400])


@pytest.mark.original
def test_mfcc_of_a_synthetic_sound_with_silence() -> None:
    with np.load(GOLDEN / "speech2vid" / "audio_mfcc.npz") as held:
        mfcc, wanted = htk_mfcc(synthetic()), held["synthetic_mfcc"]
    assert mfcc.shape == wanted.shape == (13, htk_columns(len(synthetic())))
    assert np.array_equal(np.isnan(mfcc), np.isnan(wanted)) and np.array_equal(np.isinf(mfcc), np.isinf(wanted))
    np.testing.assert_allclose(mfcc[np.isfinite(wanted)], wanted[np.isfinite(wanted)], atol=1e-8)


@pytest.mark.original
def test_mfcc_of_speech() -> None:
    sound = wavfile.read(shared_file("golden", "speech2vid", "speech_2s_16k.wav"))[1]
    with np.load(GOLDEN / "speech2vid" / "audio_mfcc.npz") as held:
        np.testing.assert_allclose(htk_mfcc(sound), held["mfcc"], atol=1e-8)
        padded = htk_mfcc(np.concatenate([np.zeros(16000), sound, np.zeros(16000)]))
        assert np.array_equal(np.isnan(padded), np.isnan(held["padded_mfcc"]))
        np.testing.assert_allclose(padded[1:, 100:135], held["chunk_25"], atol=1e-3)
    other = wavfile.read(shared_file("golden", "generators", "speech_2s_16k.wav"))[1]
    with np.load(GOLDEN / "generators" / "lipgan_mfcc.npz") as held:
        np.testing.assert_allclose(htk_mfcc(other)[1:], held["mfcc"], atol=1e-4)


def test_sound_too_short_for_a_column() -> None:
    assert htk_mfcc(np.ones(399)).shape == (13, 0)
