"""What several measurements compare with: a pipeline written as the original works, pytorch-fid by formula weights.

After the description of Wav2Lip's calculate_scores_LRS.py over syncnet_python: JPEG files and a WAV by the ffmpeg
program, the whole video in memory, 3-D convolutions in batches of 20, pairwise distances in float32.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
import scipy
import torch
import torchvision
from pytorch_fid import inception as theirs
from scipy.io import wavfile

from lse_bench.features.syncnet_mfcc import mfcc
from lse_bench.sync.syncnet import SyncNet
from lse_bench.weights.formula import formula_weights

BATCH = 20
SHIFT = 15


def ffmpeg_program() -> str:
    """The ffmpeg inside the imageio-ffmpeg wheel."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def published_features(
    network: SyncNet, video: torch.Tensor, cepstrum: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of every window of `video` (1,3,T,224,224) and `cepstrum` (1,1,13,C)."""
    windows = min(video.shape[2], cepstrum.shape[3] // 4) - 5
    lips, sounds = [], []
    for start in range(0, windows, BATCH):
        rows = range(start, min(windows, start + BATCH))
        lips.append(network.lip(torch.cat([video[:, :, row : row + 5] for row in rows])))
        sounds.append(network.sound(torch.cat([cepstrum[:, :, :, 4 * row : 4 * row + 20] for row in rows])))
    return torch.cat(lips), torch.cat(sounds)


@torch.no_grad()
def score_as_original(network: SyncNet, clip: Path) -> tuple[float, float, int]:
    """LSE-D, LSE-C and offset of a clip."""
    with tempfile.TemporaryDirectory() as folder:
        run = [ffmpeg_program(), "-loglevel", "error", "-y", "-i", str(clip)]
        subprocess.run([*run, "-threads", "1", "-f", "image2", f"{folder}/%06d.jpg"], check=True)
        sound = f"{folder}/audio.wav"
        subprocess.run([*run, "-ac", "1", "-vn", "-acodec", "pcm_s16le", "-ar", "16000", sound], check=True)
        frames = [cv2.resize(cv2.imread(str(name)), (224, 224)) for name in sorted(Path(folder).glob("*.jpg"))]
        _, samples = wavfile.read(sound)
    video = torch.from_numpy(np.stack(frames, axis=3)[None].transpose(0, 3, 4, 1, 2).astype(np.float32))
    cepstrum = torch.from_numpy(mfcc(samples)[None, None].astype(np.float32))
    lips, sounds = published_features(network, video, cepstrum)
    padded = torch.nn.functional.pad(sounds, (0, 0, SHIFT, SHIFT))
    distances = [
        torch.nn.functional.pairwise_distance(lips[[i]].repeat(2 * SHIFT + 1, 1), padded[i : i + 2 * SHIFT + 1])
        for i in range(len(lips))
    ]
    curve = torch.stack(distances, 1).mean(1)
    value, best = torch.min(curve, 0)
    return float(value), float(curve.median() - value), SHIFT - int(best)


def pytorch_fid_runs() -> bool:
    """Whether pytorch-fid's distance runs here: it passes an option that SciPy 1.18 no longer has. Says so if not."""
    runs = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 18)
    if not runs:
        print(f"left out: pytorch-fid 0.3.0 does not run with SciPy {scipy.__version__}; on Python 3.11 it does")
    return runs


def inception_state() -> dict[str, torch.Tensor]:
    """Formula weights under pytorch-fid's names."""
    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    network.Mixed_7b, network.Mixed_7c = theirs.FIDInceptionE_1(1280), theirs.FIDInceptionE_2(2048)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return {name: torch.from_numpy(np.asarray(value)) for name, value in formula_weights(shapes, seed=3).items()}
