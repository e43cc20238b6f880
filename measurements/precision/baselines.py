"""The baselines' errors against the original systems, as the second table of docs/precision.md.

Networks are read from files in the official formats, filled by formula. Run by `bootstrap.py precision`.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile

from measurements.precision.scorer import row

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # the golden files and the writers of checkpoints are there

from checkpoints import GOLDEN, filled, write_dagnn, write_lipgan, write_wav2lip  # noqa: E402

from lse_bench.baselines.lipgan.model import BRANCHES  # noqa: E402
from lse_bench.baselines.lipgan.model import fast as fast_lipgan  # noqa: E402
from lse_bench.baselines.lipgan.weights import load_generator  # noqa: E402
from lse_bench.baselines.speech2vid.alignment import aligned, canvas_warp  # noqa: E402
from lse_bench.baselines.speech2vid.model import (  # noqa: E402
    deblur_layers,
    entry_shapes,
    generator_layers,
    net_of,
)
from lse_bench.baselines.speech2vid.weights import load_deblurring, load_network  # noqa: E402
from lse_bench.baselines.wav2lip.model import Expert, QualityDiscriminator  # noqa: E402
from lse_bench.baselines.wav2lip.model import fast as fast_wav2lip  # noqa: E402
from lse_bench.baselines.wav2lip.weights import load_network as load_wav2lip  # noqa: E402
from lse_bench.features.htk_mfcc import htk_mfcc  # noqa: E402
from lse_bench.features.mel import mel_spectrogram  # noqa: E402
from lse_bench.weights.formula import formula_weights  # noqa: E402

GENERATORS, SPEECH2VID = GOLDEN / "generators", GOLDEN / "speech2vid"


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def largest(ours: object, theirs: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours) - theirs).max())


def sound() -> None:
    samples = wavfile.read(SPEECH2VID / "synthetic_16k.wav")[1]
    with np.load(GENERATORS / "wav2lip_melspectrogram_synthetic.npz") as held:
        row("mel spectrogram", "librosa, reflected edges", largest(mel_spectrogram(samples), held["mel"]), "of 8")
    with np.load(SPEECH2VID / "audio_mfcc.npz") as held:
        wanted = held["synthetic_mfcc"]
        known = np.isfinite(wanted)
        row("MATLAB MFCC", "the scripts under Octave", largest(htk_mfcc(samples)[known], wanted[known]), "largest")


def wav2lip_networks(folder: Path) -> None:
    with np.load(GENERATORS / "wav2lip_generator_forward.npz") as held:
        faces, mel, wanted = tensor(held["face_4d"]), tensor(held["mel_4d"]), held["out_4d_tempered"]
    for form in ("zip", "older", "script"):
        network = load_wav2lip(write_wav2lip(folder / f"{form}.pth", form), trust=True)  # type: ignore[arg-type]
        row(f"Wav2Lip, {form} file", "original code", largest(network(mel, faces).numpy(), wanted), "of 1")
    row("Wav2Lip, fused", "original code", largest(fast_wav2lip(network)(mel, faces).numpy(), wanted), "of 1")
    for name, kind in (("syncnet", Expert), ("disc_qual", QualityDiscriminator)):
        network = kind().eval()
        network.load_state_dict(filled(network))
        with np.load(GENERATORS / f"wav2lip_{name}_forward.npz") as held:
            if name == "syncnet":
                error = largest(network(tensor(held["mel"]), tensor(held["face"]))[1].numpy(), held["face_embedding"])
            else:
                error = largest(network(tensor(held["face"])).numpy(), held["out"])
        row({"syncnet": "lip-sync expert", "disc_qual": "quality discriminator"}[name], "original code", error, "of 1")


def lipgan_networks(folder: Path) -> None:
    random = np.random.Generator(np.random.PCG64([0, 20]))
    target, reference = (random.random((4, 96, 96, 3)).astype(np.float32) for _ in range(2))
    sounds = {
        "master": (5 * random.standard_normal((4, 12, 35, 1))).astype(np.float32),
        "fully_pythonic": random.uniform(-4, 4, (4, 80, 27, 1)).astype(np.float32),
    }
    target[:, 48:] = 0
    faces = tensor(np.concatenate([reference, target], axis=3).transpose(0, 3, 1, 2))
    for branch in BRANCHES:
        heard = tensor(sounds[branch].transpose(0, 3, 1, 2))
        with np.load(GENERATORS / f"lipgan_{branch}_forward.npz") as held:
            for size, name in (("basic", "basic_out"), ("residual", "residual_out_tempered")):
                network = load_generator(write_lipgan(folder / "lipgan.h5", f"{branch}_{size}"))
                error = largest(network(faces, heard).permute(0, 2, 3, 1).numpy(), held[name])
                row(f"LipGAN, {branch}, {size}", "Keras 2.2.4", error, "of 1")
        error = largest(fast_lipgan(network)(faces, heard).permute(0, 2, 3, 1).numpy(), held_of(branch))
        row(f"LipGAN, {branch}, residual, fused", "Keras 2.2.4", error, "of 1")


def held_of(branch: str) -> np.ndarray:
    with np.load(GENERATORS / f"lipgan_{branch}_forward.npz") as held:
        return np.asarray(held["residual_out_tempered"])


def speech2vid_networks(folder: Path) -> None:
    random = np.random.Generator(np.random.PCG64([0, 20170502]))
    heard = random.standard_normal((2, 12, 35)).astype(np.float32)[:, None]
    faces = random.standard_normal((2, 15, 112, 112)).astype(np.float32)
    lips = random.uniform(0, 1, (2, 3, 109, 109)).astype(np.float32)
    paths = {}
    for name, layers in (("v201", generator_layers()), ("v114", deblur_layers())):
        paths[name] = write_dagnn(folder / f"{name}.mat", net_of(layers, formula_weights(entry_shapes(layers))))
    generator = load_network(paths["v201"])
    silent = heard.copy()
    silent[..., :10] = np.nan
    with np.load(SPEECH2VID / "official_shape_forward.npz") as held:
        given = {"input_audio": tensor(heard), "input_face": tensor(faces)}
        row("Speech2Vid", "MatConvNet's kernels", largest(generator(given).numpy(), held["prediction"]), "of 1")
        drawn = generator(given | {"input_audio": tensor(silent)}).numpy()[:1]
        row("Speech2Vid, digital silence", "MatConvNet's kernels", largest(drawn, held["prediction_nan"]), "of 1")
        residual = load_deblurring(paths["v114"])({"input_lip": tensor(lips)}).numpy()
        row("deblurring network", "MatConvNet's kernels", largest(residual, held["deblur_residual"]), "of 1")
    with np.load(SPEECH2VID / "face_alignment.npz") as held:
        warps = [canvas_warp(points) for points in held["landmarks68"]]
        row("alignment, 68 landmarks", "closed form", largest(warps, held["warp_240"]), "pixels")
        face = aligned(held["image"], held["landmarks68"][0]).astype(int)
        row(
            "aligned face without its border",
            "the definition",
            largest(face[4:-4, 4:-4], held["face_112"][4:-4, 4:-4].astype(int)),
            "grey levels",
        )


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    print("\n| step | against | error | unit |\n|---|---|---|---|")
    sound()
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        wav2lip_networks(Path(name))
        lipgan_networks(Path(name))
        speech2vid_networks(Path(name))


if __name__ == "__main__":
    main()
