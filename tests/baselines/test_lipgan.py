"""LipGAN against the outputs of the original under Keras, from files as Keras writes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from checkpoints import GOLDEN, lipgan_inputs, write_dagnn, write_lipgan, write_wav2lip

from lse_bench.baselines.lipgan.adapter import LipGan, mfcc_starts
from lse_bench.baselines.lipgan.model import BRANCHES, Branch, Discriminator, Size, contrastive_loss, fast
from lse_bench.baselines.lipgan.weights import fill, load_generator
from lse_bench.baselines.speech2vid.model import deblur_layers, entry_shapes, net_of
from lse_bench.errors import ClipError, UsageError, WeightsError
from lse_bench.generators.interface import FaceCrop, Options
from lse_bench.weights.formula import formula_weights
from lse_bench.weights.keras import read_keras

FOLDER = GOLDEN / "generators"


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize(("size", "form"), [("residual", "save"), ("basic", "save_weights")])
def test_generator(branch: Branch, size: Size, form: str, tmp_path: Path) -> None:
    path = write_lipgan(tmp_path / "lipgan.h5", f"{branch}_{size}", form)  # type: ignore[arg-type]
    network = load_generator(path)
    assert (network.branch, network.size) == (branch, size)
    given = lipgan_inputs()
    with np.load(FOLDER / f"lipgan_{branch}_forward.npz") as held, torch.no_grad():
        wanted = held["basic_out" if size == "basic" else "residual_out_tempered"]
        drawn = network(given["face"], given[branch]).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(drawn, wanted, atol=1e-5)
        quick = fast(network)(given["face"], given[branch]).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(quick, wanted, atol=1e-5)


@pytest.mark.parametrize("branch", BRANCHES)
def test_discriminator(branch: Branch, tmp_path: Path) -> None:
    judge = Discriminator(branch)
    path = write_lipgan(tmp_path / "disc.h5", f"{branch}_disc")
    fill(judge, read_keras(path), path)
    given = lipgan_inputs()
    with np.load(FOLDER / f"lipgan_{branch}_forward.npz") as held, torch.no_grad():
        distance = judge(given["target"], given[branch])
        np.testing.assert_allclose(distance.numpy(), held["disc_distance"], atol=1e-6)
    with pytest.raises(WeightsError, match="LipGAN's discriminator"):
        load_generator(path)


def test_contrastive_loss_by_hand() -> None:
    distance, label = torch.tensor([0.3, 0.2, 1.4, 1.1]), torch.tensor([0.0, 1.0, 1.0, 0.0])
    # (0.3² + (1 - 0.2)² + 0 + 1.1²) / 4
    assert contrastive_loss(distance, label).item() == pytest.approx(0.485, abs=1e-6)


def test_layers_are_told_by_rank_not_by_number_or_place(tmp_path: Path) -> None:
    """A file made later in one process counts on, and Keras versions order the layers differently."""
    path = write_lipgan(tmp_path / "first.h5", "master_basic")
    moved = tmp_path / "moved.h5"
    with h5py.File(path) as old, h5py.File(moved, "w") as new:
        names = [name.decode() for name in old.attrs["layer_names"]]
        renamed = {}
        for name in names:
            kind, _, number = name.rpartition("_")
            renamed[name] = f"{kind}_{int(number) + 90}" if number.isdigit() else name
        new.attrs["layer_names"] = np.array([renamed[name] for name in reversed(names)], dtype="S")
        for name in names:
            group = new.create_group(renamed[name])
            stored = [weight.decode() for weight in old[name].attrs["weight_names"]]
            group.attrs["weight_names"] = np.array([w.replace(name, renamed[name]) for w in stored], dtype="S")
            for weight in stored:
                group.create_dataset(weight.replace(name, renamed[name]), data=old[name][weight])
    first, second = load_generator(path).state_dict(), load_generator(moved).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_wrong_files_are_named(tmp_path: Path) -> None:
    master = write_lipgan(tmp_path / "master.h5", "master_basic")
    with pytest.raises(WeightsError, match=r"branch master \(MFCC, 12x35\), but the branch fully_pythonic"):
        load_generator(master, "fully_pythonic")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(master.read_bytes()[: master.stat().st_size // 2])
    with pytest.raises(WeightsError, match="truncated"):
        load_generator(cut)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("numbers", data=np.zeros(3))
    with pytest.raises(WeightsError, match="cannot be read as Keras weights"):
        load_generator(tmp_path / "other.h5")
    with pytest.raises(WeightsError, match="pickle"):
        load_generator(write_wav2lip(tmp_path / "wav2lip.pth", "older"))
    layers = deblur_layers()
    speech2vid = write_dagnn(tmp_path / "v114.mat", net_of(layers, formula_weights(entry_shapes(layers))))
    with pytest.raises(WeightsError, match="MatConvNet"):
        load_generator(speech2vid)
    with pytest.raises(UsageError, match="--set branch=mel"):
        LipGan(Options(master, settings={"branch": "mel"}))


def test_windows_of_the_published_inference() -> None:
    with np.load(FOLDER / "alignment.npz") as held:
        wanted = held["lipgan_master_inference_mfcc_start_fps25"]
        assert np.array_equal(mfcc_starts(998, legacy=True), wanted)
        frames = held["lipgan_preprocess_video_frame_of_saved_index_100frames"]
    # In training picture i, video frame i + 4, goes with columns from 4 i on: the frame is in the window's middle.
    middle = mfcc_starts(398)
    assert all(middle[frame] == 4 * saved for saved, frame in enumerate(frames[:90]))
    assert len(middle) == 100 and middle[0] == 0 and middle[-1] == 398 - 35


def test_adapter_answers_every_face_and_refuses_silence(tmp_path: Path) -> None:
    generator = LipGan(Options(write_lipgan(tmp_path / "lipgan.h5", "master_basic")))
    random = np.random.default_rng(0)
    crops = [FaceCrop(face, (1, 2, 41, 52)) for face in random.integers(0, 256, (25, 50, 40, 3), dtype=np.uint8)]
    sound = random.integers(-9000, 9000, 16000, dtype=np.int16)
    answers = list(generator.generate(iter(crops), sound, 0))
    assert len(answers) == generator.frames_for(len(sound)) == 25
    assert answers[0].pixels.dtype == np.float32 and answers[0].pixels.shape == (96, 96, 3)
    sound[4000:9000] = 0
    with pytest.raises(ClipError, match="digital silence"):
        list(generator.generate(iter(crops), sound, 0))
