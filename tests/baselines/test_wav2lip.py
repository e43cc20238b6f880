"""Wav2Lip against the outputs of the original, through its adapter's own loading code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import torch
from checkpoints import GOLDEN, filled, wav2lip_state, write_lipgan, write_wav2lip

from lse_bench.baselines.masked_faces import network_input
from lse_bench.baselines.wav2lip.adapter import Wav2Lip
from lse_bench.baselines.wav2lip.model import Expert, Generator, QualityDiscriminator, fast, masked
from lse_bench.baselines.wav2lip.weights import load_network
from lse_bench.errors import ClipError, WeightsError
from lse_bench.faces.s3fd_network import S3fdNetwork
from lse_bench.features.mel import window_starts
from lse_bench.generators.interface import FaceCrop, Options
from lse_bench.generators.paste import paste
from lse_bench.weights.readers import read_torch

FOLDER = GOLDEN / "generators"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as held:
        return dict(held)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def draw(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([0, seed]))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wav2lip")
    return {form: write_wav2lip(folder / f"{form}.pth", form) for form in ("plain", "zip", "older", "script")}


@pytest.mark.parametrize(
    ("name", "network"),
    [("generator", Generator), ("syncnet", Expert), ("disc_qual", QualityDiscriminator)],
)
def test_entries_are_the_published_ones(name: str, network: type[torch.nn.Module]) -> None:
    entries = json.loads((FOLDER / f"wav2lip_{name}_entries.json").read_text())
    rows = entries["entries"] if isinstance(entries, dict) else entries
    wanted = [(row["name"], row["shape"]) if isinstance(row, dict) else (row[0], row[1]) for row in rows]
    assert [(name, list(value.shape)) for name, value in network().state_dict().items()] == wanted


@pytest.mark.original
@pytest.mark.parametrize("form", ["plain", "zip", "older", "script"])
def test_generator_from_every_form_of_file(files: dict[str, Path], form: str) -> None:
    held = golden("wav2lip_generator_forward")
    network = load_network(files[form], trust=form == "script")
    with torch.no_grad():
        drawn = network(tensor(held["mel_4d"]), tensor(held["face_4d"])).numpy()
    np.testing.assert_allclose(drawn, held["out_4d_tempered"], atol=1e-5)


@pytest.mark.original
def test_generator_sequences_and_untempered() -> None:
    held = golden("wav2lip_generator_forward")
    random = draw(2)
    faces = random.random((2, 6, 3, 96, 96)).astype(np.float32)
    mel = random.uniform(-4, 4, (2, 3, 1, 80, 16)).astype(np.float32)
    network = Generator().eval()
    network.load_state_dict(wav2lip_state())
    with torch.no_grad():
        np.testing.assert_allclose(network(tensor(mel), tensor(faces)).numpy(), held["out_b2t3_tempered"], atol=1e-5)
        out = network(tensor(held["mel_5d"]), tensor(held["face_5d"])).numpy()
        np.testing.assert_allclose(out, held["out_5d_tempered"], atol=1e-5)
        network.load_state_dict(wav2lip_state(tempered=False))
        out = network(tensor(held["mel_4d"]), tensor(held["face_4d"])).numpy()
        np.testing.assert_allclose(out, held["out_4d"], atol=4e-3)
        sound = network.audio_encoder(tensor(held["mel_4d"])).numpy()
        np.testing.assert_allclose(sound, held["audio_embedding_4d"], atol=3e-3)


@pytest.mark.original
def test_fast_form_is_the_same_function() -> None:
    held = golden("wav2lip_generator_forward")
    network = Generator().eval()
    network.load_state_dict(wav2lip_state())
    with torch.no_grad():
        drawn = fast(network)(tensor(held["mel_4d"]), tensor(held["face_4d"])).numpy()
    np.testing.assert_allclose(drawn, held["out_4d_tempered"], atol=1e-5)


@pytest.mark.original
def test_expert_and_discriminator() -> None:
    held = golden("wav2lip_syncnet_forward")
    expert = Expert().eval()
    expert.load_state_dict(filled(expert))
    judge = QualityDiscriminator().eval()
    judge.load_state_dict(filled(judge))
    with torch.no_grad():
        sound, face = expert(tensor(held["mel"]), tensor(held["face"]))
        np.testing.assert_allclose(sound.numpy(), held["audio_embedding"], atol=3e-6)
        np.testing.assert_allclose(face.numpy(), held["face_embedding"], atol=3e-6)
        np.testing.assert_allclose((sound * face).sum(1).numpy(), held["cosine"], atol=3e-6)
        seen = golden("wav2lip_disc_qual_forward")
        np.testing.assert_allclose(judge(tensor(seen["face"])).numpy(), seen["out"], atol=3e-6)


@pytest.mark.original
def test_masking_is_the_lower_half() -> None:
    held = golden("wav2lip_generator_forward")
    faces = tensor(held["face_4d"])
    assert torch.equal(masked(faces)[:, :3], faces[:, :3])  # stored masked
    assert faces[:, 3:, 48:].any() and not masked(faces)[:, :, 48:].any()
    assert torch.equal(masked(faces)[:, :, :48], faces[:, :, :48])


@pytest.mark.original
def test_batches_as_the_original_makes_them() -> None:
    held = golden("wav2lip_datagen_paste")
    top, bottom, left, right = (int(number) for number in held["box_y1y2x1x2"])
    wanted = np.concatenate([held["batch0_images"], held["batch1_images"]])
    crops = [
        FaceCrop(held["frames"][number % 2][top:bottom, left:right], (left, top, right, bottom)) for number in range(5)
    ]
    np.testing.assert_allclose(network_input(crops, masked_first=True).permute(0, 2, 3, 1).numpy(), wanted, atol=1e-6)


@pytest.mark.original
def test_paste_as_wav2lip_and_as_lipgan() -> None:
    held = golden("wav2lip_datagen_paste")
    top, bottom, left, right = (int(number) for number in held["box_y1y2x1x2"])
    box, frame = (left, top, right, bottom), held["frames"][0]
    cut_first = paste(frame, FaceCrop(held["pred_96"].astype(np.uint8), box))
    cut_last = paste(frame, FaceCrop(held["pred_96"].astype(np.float32), box))
    assert np.array_equal(cut_first, held["pasted_wav2lip"])
    assert np.array_equal(cut_last, held["pasted_lipgan"])


@pytest.mark.original
@pytest.mark.parametrize("fps", ["23.976", "24", "25", "29.97", "30", "50", "60"])
def test_windows_of_sound(fps: str) -> None:
    held = golden("alignment")
    rate = {"23.976": 24000 / 1001, "29.97": 30000 / 1001}.get(fps, float(fps))
    assert np.array_equal(window_starts(801, 16, rate, last=True), held[f"inference_fps{fps}"])
    assert np.array_equal(window_starts(801, 16, rate), held[f"filelist_fps{fps}"])
    assert np.array_equal(window_starts(801, 27, rate), held[f"lipgan_fully_pythonic_fps{fps}"])


@pytest.mark.original
def test_frames_follow_the_rule_of_each_script(files: dict[str, Path]) -> None:
    samples = 160 * 200  # 161 columns
    held = golden("alignment")
    now, legacy = (Wav2Lip(Options(files["zip"], legacy=legacy)) for legacy in (False, True))
    assert now.frames_for(samples) == len(held["inference_fps25_161cols"])
    assert legacy.frames_for(samples) == len(held["filelist_fps25_161cols"])
    assert now.pads == (0, 10, 0, 0) and legacy.pads == (0, 0, 0, 0)


def test_adapter_draws_what_the_network_draws(files: dict[str, Path]) -> None:
    generator = Wav2Lip(Options(files["zip"]))
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (11, 96, 96, 3), dtype=np.uint8)
    sound = random.integers(-9000, 9000, 16000, dtype=np.int16)
    crops = [FaceCrop(face, (5, 5, 101, 101)) for face in pixels]
    answers = list(generator.generate(iter(crops), sound, 0))
    assert [answer.box for answer in answers] == [crop.box for crop in crops]
    network = Generator().eval()
    network.load_state_dict(wav2lip_state())
    from lse_bench.features.mel import mel_spectrogram

    mel = mel_spectrogram(sound)
    with torch.no_grad():
        drawn = network(
            tensor(mel[None, None, :, int(9 * 3.2) : int(9 * 3.2) + 16]), network_input(crops[9:10], masked_first=True)
        )
    wanted = (drawn[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    clips.assert_same_picture(answers[9].pixels, wanted)
    with pytest.raises(ClipError, match="Wav2Lip needs"):
        list(generator.generate(iter(crops), sound[:1000], 0))


@pytest.mark.slow
def test_wrong_files_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    expert, judge, larger = tmp_path / "expert.pth", tmp_path / "judge.pth", tmp_path / "288.pth"
    torch.save({"state_dict": filled(Expert())}, expert)
    torch.save({"state_dict": filled(QualityDiscriminator())}, judge)
    fork = wav2lip_state() | {"face_encoder_blocks.7.0.conv_block.0.weight": torch.zeros(1)}
    torch.save({"state_dict": fork}, larger)
    detector = tmp_path / "s3fd.pth"
    torch.save(S3fdNetwork().state_dict(), detector)
    truncated = tmp_path / "cut.pth"
    truncated.write_bytes(files["zip"].read_bytes()[:-100_000])
    older = tmp_path / "cut_older.pth"
    older.write_bytes(files["older"].read_bytes()[:-100_000])
    keras = write_lipgan(tmp_path / "lipgan.h5", "master_disc")
    for path, words in {
        expert: "lip-sync expert",
        judge: "visual quality discriminator",
        larger: "fork for 288 pixels",
        detector: "face detector S3FD",
        truncated: "truncated",
        older: "ends early or is damaged",
        keras: "HDF5 file",
    }.items():
        with pytest.raises(WeightsError, match=words):
            load_network(path)


def test_script_needs_trust(files: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match=r"TorchScript archive, which contains code.*--trust"):
        read_torch(files["script"])


def test_boxes_reach_the_network_as_opencv_resizes_them() -> None:
    face = np.random.default_rng(1).integers(0, 256, (131, 77, 3), dtype=np.uint8)
    seen = network_input([FaceCrop(face, (0, 0, 77, 131))], masked_first=True)[0, 3:].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(seen, cv2.resize(face, (96, 96)), atol=1e-3)


@pytest.mark.command
def test_half_precision_needs_no_special_processor() -> None:
    """oneDNN packs bf16 weights only for processors with such units; the plain operators serve the others."""
    code = (
        "import torch\nfrom torch import nn\nfrom lse_bench.baselines.fused import FusedBlock\n"
        "block = FusedBlock(nn.Conv2d(8, 8, 3, padding=1).to(torch.bfloat16), 'cpu', residual=True)\n"
        "with torch.no_grad():\n    print(block(torch.zeros(1, 8, 9, 9, dtype=torch.bfloat16)).dtype)"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ended.stdout.strip() == "torch.bfloat16", ended.stderr
