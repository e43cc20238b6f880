"""Steps of training against the original code's own, with its settings, from formula weights.

Where the frozen expert is left in training mode, as released, only the first step is well-conditioned: BatchNorm over
four values makes the rest depend on rounding (golden README).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import GOLDEN, filled, lipgan_inputs, write_lipgan
from lse_bench.baselines.lipgan import train as lipgan
from lse_bench.baselines.lipgan.keras_adam import KerasAdam
from lse_bench.baselines.lipgan.model import BRANCHES, Branch, Discriminator
from lse_bench.baselines.lipgan.weights import fill, load_generator
from lse_bench.baselines.wav2lip import expert as experts
from lse_bench.baselines.wav2lip import train as wav2lip
from lse_bench.baselines.wav2lip.losses import sync_loss
from lse_bench.baselines.wav2lip.model import Expert, Generator, QualityDiscriminator

from lse_bench.training.loop import Hardware, launch
from lse_bench.training.steps import Batch, Pass, set_up, take_step
from lse_bench.weights.keras import read_keras

FOLDER = GOLDEN / "generators"
BATCH4: dict[str, Any] = json.loads((FOLDER / "wav2lip_training.json").read_text())["batch4"]
LIPGAN: dict[str, Any] = json.loads((FOLDER / "lipgan_training.json").read_text())
THREE_STEPS = "wav2lip_wt0.03_expert_eval"  # well-conditioned; the others take half a minute each
FIRST = 1e-5
# After the first step rounding grows. Limits are three times the largest distance from the original's figures under
# oneDNN's instruction sets SSE4.1, AVX2, AVX-512 and AMX with one and two threads: 2.3e-5 for Wav2Lip's `recon`, 3.1e-3
# for `sync`; 1.3e-4, 1.6e-4, 7.3e-4 and 3.0e-3 for LipGAN's four. From step to step these figures fall by far more.
LATER = {"recon": 1e-4, "sync": 1e-2, "perceptual": 5e-3, "disc_real": 5e-3, "disc_fake": 5e-3}
RELEASED_QUALITY_WEIGHT, RELEASED_PENALTY = 0.07, 0.01
LIPGAN_LATER = {"mae": 4e-4, "total": 5e-4, "sync_loss": 2.2e-3, "adv": 9e-3}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """The figures of later steps depend on rounding, and rounding on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def ready(network: torch.nn.Module) -> Any:
    network.load_state_dict(filled(network))
    return network.train()


def adam(network: torch.nn.Module, first: float = 0.9) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), 1e-4, (first, 0.999))


def steps(
    networks: dict[str, torch.nn.Module],
    optimizers: dict[str, torch.optim.Optimizer],
    passes: list[Pass],
    batches: list[Batch],
) -> list[dict[str, float]]:
    """What the loop's steps log, one batch each."""
    fabric = launch(Hardware("cpu"))
    trained = set_up(fabric, networks, optimizers)
    return [take_step(fabric, trained, passes, [batch]) for batch in batches]


def generator_batch() -> Batch:
    random = np.random.Generator(np.random.PCG64([0, 10]))
    target, reference = (torch.from_numpy(random.random((4, 3, 5, 96, 96)).astype(np.float32)) for _ in range(2))
    mels = torch.from_numpy(random.uniform(-4, 4, (4, 5, 1, 80, 16)).astype(np.float32))
    mel = torch.from_numpy(random.uniform(-4, 4, (4, 1, 80, 16)).astype(np.float32))
    return {"target": target, "reference": reference, "mels": mels, "mel": mel}


def test_expert() -> None:
    random = np.random.Generator(np.random.PCG64([0, 11]))
    faces = torch.from_numpy(random.random((4, 15, 48, 96)).astype(np.float32))
    mel = torch.from_numpy(random.uniform(-4, 4, (4, 1, 80, 16)).astype(np.float32))
    batch = {"faces": faces, "mel": mel, "in_sync": torch.tensor([[1.0], [0.0], [1.0], [0.0]])}
    network = experts.ListeningExpert(1.0, infonce=False, guided=False)
    ready(network.expert)
    rows = steps(
        {experts.NAME: network}, {experts.NAME: adam(network)}, [Pass(experts.NAME, experts.matching_loss)], [batch] * 3
    )
    found = [row["loss"] for row in rows]
    wanted = BATCH4["syncnet"]["sync"]
    assert found[0] == pytest.approx(wanted[0], abs=FIRST)
    assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("run", [name for name in BATCH4 if name != "syncnet"])
def test_wav2lip(run: str) -> None:
    wanted = BATCH4[run]
    weight = float(run.split("wt")[1].split("_")[0])
    gan = run.startswith("hq")
    networks: dict[str, torch.nn.Module] = {wav2lip.GENERATOR: ready(Generator())}
    expert = ready(Expert()).requires_grad_(False).train(wanted["expert_in_train_mode"])
    optimizers = {wav2lip.GENERATOR: adam(networks[wav2lip.GENERATOR], 0.5 if gan else 0.9)}
    if gan:
        networks[wav2lip.JUDGE] = ready(QualityDiscriminator())
        optimizers[wav2lip.JUDGE] = adam(networks[wav2lip.JUDGE], 0.5)
    passes = wav2lip.passes_of(expert, weight, RELEASED_QUALITY_WEIGHT if gan else None)
    rows = steps(networks, optimizers, passes, [generator_batch()] * (3 if run == THREE_STEPS else 1))
    for step, found in enumerate(rows):
        for name in LATER:
            if name in wanted:
                limit = FIRST if step == 0 else LATER[name]
                assert found[name] == pytest.approx(wanted[name][step], abs=limit), (step, name)


def lipgan_batch(branch: Branch, drawn: bool = True) -> Batch:
    given = lipgan_inputs()
    coin = torch.tensor(float(drawn))
    return {"faces": given["face"], "target": given["target"], "sound": given[branch], "coin": coin}


@pytest.fixture(scope="module", params=BRANCHES)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Branch, Path, Path]:
    """A branch's residual generator, as Keras leaves it untempered, and its discriminator."""
    folder = tmp_path_factory.mktemp("lipgan")
    branch: Branch = request.param
    generator = write_lipgan(folder / "generator.h5", f"{branch}_residual", tempered=False)
    return branch, generator, write_lipgan(folder / "judge.h5", f"{branch}_disc")


def test_lipgan_by_error_alone(files: tuple[Branch, Path, Path]) -> None:
    branch, path, _ = files
    generator = load_generator(path).train()
    optimizers: dict[str, torch.optim.Optimizer] = {lipgan.GENERATOR: KerasAdam(generator.parameters(), 1e-3)}
    batches = [lipgan_batch(branch)] * (3 if branch == "master" else 1)
    rows = steps({lipgan.GENERATOR: generator}, optimizers, lipgan.passes_of(None), batches)
    wanted = LIPGAN["generator_only"][branch]["mae"]
    # The other branch is 2.5e-4 and 4.5e-4 off at steps 2 and 3, in float64 too: at the edge of the port's own 4e-4.
    for row, value, limit in zip(rows, wanted, (FIRST, 2e-4, 4e-4), strict=False):
        assert row["mae"] == pytest.approx(value, abs=limit)


def test_lipgan_against_its_discriminator(files: tuple[Branch, Path, Path]) -> None:
    branch, path, judge_path = files
    networks = {lipgan.GENERATOR: load_generator(path).train(), lipgan.JUDGE: Discriminator(branch)}
    fill(networks[lipgan.JUDGE], read_keras(judge_path), judge_path)
    optimizers: dict[str, torch.optim.Optimizer] = {
        name: KerasAdam(network.parameters(), 1e-4) for name, network in networks.items()
    }
    golden = LIPGAN["gan"][branch]["steps"]
    batches = [lipgan_batch(branch, wanted["branch"].startswith("train on generated")) for wanted in golden]
    rows = steps(networks, optimizers, lipgan.passes_of(RELEASED_PENALTY), batches)
    for step, (found, wanted) in enumerate(zip(rows, golden, strict=True)):
        for name, limit in LIPGAN_LATER.items():
            # What follows the discriminator's own step of step 1 (adv) has the later steps' tolerance.
            first = step == 0 and name != "adv"
            value = found["loss" if name == "total" else name]
            assert value == pytest.approx(wanted[name], abs=FIRST if first else limit), (step, name)


def test_keras_adam_by_hand() -> None:
    """Two steps of one number, epsilon added before the bias correction."""
    value = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = KerasAdam([value], lr=0.1, eps=1e-2)
    m = v = 0.0
    wanted = 1.0
    for count, gradient in enumerate((0.5, -0.2), 1):
        value.grad = torch.tensor([gradient])
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        wanted -= 0.1 * (1 - 0.999**count) ** 0.5 / (1 - 0.9**count) * m / (v**0.5 + 1e-2)
    assert value.item() == pytest.approx(wanted, abs=1e-6)


def test_the_gentle_loss_is_bounded_where_the_released_one_is_not() -> None:
    def expert(mel: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    drawn = torch.zeros(2, 3, 5, 96, 96)
    assert float(sync_loss(expert, torch.zeros(2), drawn, gentle=True)) == pytest.approx(np.log(2) / 2)
    assert float(sync_loss(expert, torch.zeros(2), drawn)) == pytest.approx(50)  # torch holds -log(0) at 100


def test_the_generator_can_begin_with_the_experts_ear() -> None:
    torch.manual_seed(0)
    generator, expert = Generator(1 / 16), Expert(1 / 16)
    before = generator.face_encoder_blocks[0][0].conv_block[0].weight.clone()
    wav2lip.hear_like(generator, expert)
    ours, theirs = list(generator.audio_encoder), list(expert.audio_encoder)
    assert len(theirs) == len(ours) + 1
    for one, other in ((ours[0], theirs[0]), (ours[10], theirs[10]), (ours[11], theirs[12]), (ours[12], theirs[13])):
        assert torch.equal(one.conv_block[0].weight, other.conv_block[0].weight)
    assert torch.equal(generator.face_encoder_blocks[0][0].conv_block[0].weight, before)
