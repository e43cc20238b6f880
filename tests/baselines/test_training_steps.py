"""Steps of training against the original code's own, with its settings, from formula weights.

Where the frozen expert is left in training mode, as released, only the first step is well-conditioned: BatchNorm over
four values makes the rest depend on rounding (golden README).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import GOLDEN, filled, lipgan_inputs, write_lipgan
from lse_bench.baselines.lipgan import losses as lipgan
from lse_bench.baselines.lipgan.model import BRANCHES, Branch, Discriminator
from lse_bench.baselines.lipgan.weights import fill, load_generator
from lse_bench.baselines.wav2lip import losses as wav2lip
from lse_bench.baselines.wav2lip.model import Expert, Generator, QualityDiscriminator, masked

from lse_bench.weights.keras import read_keras

FOLDER = GOLDEN / "generators"
BATCH4: dict[str, Any] = json.loads((FOLDER / "wav2lip_training.json").read_text())["batch4"]
LIPGAN: dict[str, Any] = json.loads((FOLDER / "lipgan_training.json").read_text())
THREE_STEPS = "wav2lip_wt0.03_expert_eval"  # well-conditioned; the others take half a minute each
FIRST = 1e-5
LATER = {"recon": 1e-4, "sync": 2e-3, "perceptual": 5e-3, "disc_real": 5e-3, "disc_fake": 5e-3}
LIPGAN_LATER = {"mae": 2e-4, "total": 2e-4, "sync_loss": 3e-4, "adv": 4e-3}


def ready(network: torch.nn.Module) -> Any:
    network.load_state_dict(filled(network))
    return network.train()


def adam(network: torch.nn.Module, first: float = 0.9) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), 1e-4, (first, 0.999))


def generator_batch() -> wav2lip.GeneratorBatch:
    random = np.random.Generator(np.random.PCG64([0, 10]))
    target, reference = (torch.from_numpy(random.random((4, 3, 5, 96, 96)).astype(np.float32)) for _ in range(2))
    mels = torch.from_numpy(random.uniform(-4, 4, (4, 5, 1, 80, 16)).astype(np.float32))
    mel = torch.from_numpy(random.uniform(-4, 4, (4, 1, 80, 16)).astype(np.float32))
    return wav2lip.GeneratorBatch(torch.cat([masked(target), reference], dim=1), target, mels, mel)


def test_expert() -> None:
    random = np.random.Generator(np.random.PCG64([0, 11]))
    faces = torch.from_numpy(random.random((4, 15, 48, 96)).astype(np.float32))
    mel = torch.from_numpy(random.uniform(-4, 4, (4, 1, 80, 16)).astype(np.float32))
    labels = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    expert = ready(Expert())
    optimizer = adam(expert)
    found = [wav2lip.expert_step(expert, optimizer, mel, faces, labels)["sync"] for _ in range(3)]
    wanted = BATCH4["syncnet"]["sync"]
    assert found[0] == pytest.approx(wanted[0], abs=FIRST)
    assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("run", [name for name in BATCH4 if name != "syncnet"])
def test_wav2lip(run: str) -> None:
    wanted = BATCH4[run]
    weight = float(run.split("wt")[1].split("_")[0])
    gan = run.startswith("hq")
    batch = generator_batch()
    generator, expert = ready(Generator()), ready(Expert()).requires_grad_(False)
    if not wanted["expert_in_train_mode"]:
        expert.eval()
    optimizer = adam(generator, 0.5 if gan else 0.9)
    judge = ready(QualityDiscriminator())
    judge_optimizer = adam(judge, 0.5)
    for step in range(3 if run == THREE_STEPS else 1):
        if gan:
            found = wav2lip.gan_step(generator, expert, judge, optimizer, judge_optimizer, batch, weight)
        else:
            found = wav2lip.generator_step(generator, expert, optimizer, batch, weight)
        for name in LATER:
            if name in wanted:
                limit = FIRST if step == 0 else LATER[name]
                assert found[name] == pytest.approx(wanted[name][step], abs=limit), (step, name)


def lipgan_batch(branch: Branch) -> lipgan.LipGanBatch:
    given = lipgan_inputs()
    return lipgan.LipGanBatch(given["face"], given["target"], given[branch])


@pytest.fixture(scope="module", params=BRANCHES)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Branch, Path, Path]:
    """A branch's residual generator, as Keras leaves it untempered, and its discriminator."""
    folder = tmp_path_factory.mktemp("lipgan")
    branch: Branch = request.param
    generator = write_lipgan(folder / "generator.h5", f"{branch}_residual", tempered=False)
    return branch, generator, write_lipgan(folder / "judge.h5", f"{branch}_disc")


def test_lipgan_by_error_alone(files: tuple[Branch, Path, Path]) -> None:
    branch, path, _ = files
    generator = load_generator(path)
    optimizer = lipgan.KerasAdam(generator.parameters(), 1e-3)
    found = lipgan.error_step(generator, optimizer, lipgan_batch(branch))["mae"]
    assert found == pytest.approx(LIPGAN["generator_only"][branch]["mae"][0], abs=FIRST)


def test_lipgan_against_its_discriminator(files: tuple[Branch, Path, Path]) -> None:
    branch, path, judge_path = files
    generator, judge = load_generator(path), Discriminator(branch)
    fill(judge, read_keras(judge_path), judge_path)
    optimizer, judge_optimizer = (lipgan.KerasAdam(network.parameters(), 1e-4) for network in (generator, judge))
    for step, wanted in enumerate(LIPGAN["gan"][branch]["steps"]):
        train_on: lipgan.Branch = "drawn" if wanted["branch"].startswith("train on generated") else "unsynced"
        found = lipgan.gan_step(generator, judge, optimizer, judge_optimizer, lipgan_batch(branch), train_on)
        for name, limit in LIPGAN_LATER.items():
            # What follows the discriminator's own step of step 1 (adv) has the later steps' tolerance.
            first = step == 0 and name != "adv"
            assert found[name] == pytest.approx(wanted[name], abs=FIRST if first else limit), (step, name)


def test_keras_adam_by_hand() -> None:
    """Two steps of one number, epsilon added before the bias correction."""
    value = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = lipgan.KerasAdam([value], lr=0.1, eps=1e-2)
    m = v = 0.0
    wanted = 1.0
    for count, gradient in enumerate((0.5, -0.2), 1):
        value.grad = torch.tensor([gradient])
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        wanted -= 0.1 * (1 - 0.999**count) ** 0.5 / (1 - 0.9**count) * m / (v**0.5 + 1e-2)
    assert value.item() == pytest.approx(wanted, abs=1e-6)
