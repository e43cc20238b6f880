"""Every trainer: three steps in every precision, exact resume, two processes, what stops a run, what it exports."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
import torch
from commands import with_path
from torch import Tensor, nn
from trainers import METHODS, config_of, export_of, method_of, run, weights_for

from lse_bench.baselines.lipgan.weights import load_generator
from lse_bench.baselines.speech2vid import weights as speech2vid_weights
from lse_bench.baselines.wav2lip.model import Expert, Generator
from lse_bench.baselines.wav2lip.passes import GENERATOR
from lse_bench.baselines.wav2lip.weights import load_expert, load_network, write_official
from lse_bench.errors import UsageError, WeightsError
from lse_bench.training.checkpoints import read_checkpoint
from lse_bench.training.export import write_weights
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.loop import Method
from lse_bench.training.run import trained_networks
from lse_bench.training.steps import Batch, Pass, set_up, take_step
from lse_bench.weights.readers import read_metadata, read_torch


@pytest.fixture(scope="module")
def data(prepared_clips: Path) -> Path:
    return prepared_clips


@pytest.fixture(scope="module")
def weights(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return weights_for(data, tmp_path_factory.mktemp("weights"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_every_trainer_takes_three_steps_and_exports(
    name: str, precision: str, data: Path, weights: dict[str, Path], tmp_path: Path
) -> None:
    config = config_of(name, precision=precision)
    method = method_of(name, config, data, weights)
    measures = run(method, config, tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert measures[method.best[0]] > 0 if method.best else True
    networks = trained_networks(method, config, tmp_path)
    torch.manual_seed(config.seed)
    fresh = method.networks()
    moved = [
        not torch.equal(value, fresh[key].state_dict()[entry])
        for key, network in networks.items()
        for entry, value in network.state_dict().items()
        if entry.endswith("weight")
    ]
    assert np.mean(moved) > 0.9  # a dead layer of a network this narrow may stay
    path = export_of(name, networks, config, tmp_path)
    readers: dict[str, Any] = {
        "expert": load_expert,
        "lipgan": load_generator,
        "speech2vid": speech2vid_weights.load_network,
        "speech2vid-deblur": speech2vid_weights.load_deblurring,
    }
    read: nn.Module = readers.get(name, load_network)(path)
    trained = next(iter(networks.values()))
    held = trained.expert if name == "expert" else trained
    for entry, value in held.state_dict().items():
        if "num_batches" not in entry:
            assert torch.allclose(value, read.state_dict()[entry], atol=1e-6), entry
    if name not in ("expert", "speech2vid-deblur"):
        assert (tmp_path / "samples" / "step-0000003.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wav2lip-gan", "lipgan"])
def test_a_stopped_run_resumes_to_the_same_weights(
    name: str, data: Path, weights: dict[str, Path], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"steps": 4, "validate_every": 1, "save_every": 1}
    if name == "wav2lip-gan":  # the weight is switched on by validation, and must stay on
        changes["sync"] = {"weight": 0.03, "threshold": 1e9}
    config = config_of(name, **changes)

    def stop(step: int, row: dict[str, float]) -> None:
        if step == 2:
            raise KeyboardInterrupt

    run(method_of(name, config, data, weights), config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(method_of(name, config, data, weights), config, tmp_path / "parts", on_step=stop)
    run(method_of(name, config, data, weights), config, tmp_path / "parts")
    whole, parts = (read_checkpoint(tmp_path / part / "last.ckpt") for part in ("whole", "parts"))
    assert whole["kept"] == parts["kept"]
    for key, network in whole["networks"].items():
        for entry, value in network.items():
            torch.testing.assert_close(parts["networks"][key][entry], value, atol=1e-6, rtol=0)
    if name == "wav2lip-gan":
        sync = [float(row["sync"]) for row in csv.DictReader((tmp_path / "parts" / "log.csv").open())]
        assert sync[0] == 0
        assert min(sync[1:]) > 0
        assert whole["kept"]["sync_on"] == 1


_TWO = """
import sys, torch
from pathlib import Path
from trainers import config_of, method_of
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.steps import set_up, take_step
data, expert, out = (Path(argument) for argument in sys.argv[1:])
fabric = launch(Hardware("cpu", devices=2))
config = config_of("wav2lip-gan")
torch.manual_seed(0)
method = method_of("wav2lip-gan", config, data, {"expert": expert})
networks = method.networks()
trained = set_up(fabric, networks, method.optimizers(networks))
method.place(fabric.device)
take_step(fabric, trained, method.passes(2), [method.batch(0, fabric.global_rank)])
if fabric.is_global_zero:
    torch.save({f"{n}.{k}": p.grad for n, net in networks.items() for k, p in net.named_parameters()}, out)
fabric.barrier()
"""


@pytest.mark.command
@pytest.mark.slow
def test_two_processes_average_the_gradients_of_both_halves(
    data: Path, weights: dict[str, Path], tmp_path: Path
) -> None:
    script = tmp_path / "two.py"
    script.write_text(_TWO)
    found = tmp_path / "gradients.pt"
    environment = with_path(Path(__file__).parents[1])
    command = [sys.executable, str(script), str(data), str(weights["expert"]), str(found)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    config = config_of("wav2lip-gan")
    torch.manual_seed(0)
    method = method_of("wav2lip-gan", config, data, weights)
    networks = method.networks()
    fabric = launch(Hardware("cpu"))
    trained = set_up(fabric, networks, method.optimizers(networks))
    method.place(fabric.device)
    take_step(fabric, trained, method.passes(2), [method.batch(0, 0), method.batch(0, 1)])
    two = torch.load(found, weights_only=True)
    largest = 0.0
    for name, network in networks.items():
        for entry, parameter in network.named_parameters():
            assert parameter.grad is not None
            largest = max(largest, float(parameter.grad.abs().max()))
            torch.testing.assert_close(two[f"{name}.{entry}"], parameter.grad, atol=1e-5, rtol=1e-5)
    assert largest > 1e-2


@pytest.mark.slow
def test_bf16_and_fp32_agree_in_the_mean_loss(data: Path, weights: dict[str, Path]) -> None:
    means = []
    for precision in ("fp32", "bf16"):
        config = config_of("wav2lip", precision=precision, sync={"weight": 0})
        method = method_of("wav2lip", config, data, weights)
        fabric = launch(Hardware("cpu", precision=config.precision))
        torch.manual_seed(0)
        networks = method.networks()
        trained = set_up(fabric, networks, method.optimizers(networks))
        rows = [take_step(fabric, trained, method.passes(step), [method.batch(step, 0)]) for step in range(20)]
        means.append(float(np.mean([row["recon"] for row in rows])))
    assert means[1] == pytest.approx(means[0], rel=0.02)


class _Broken(Method):
    """One number that is to become 0; its second batch is none."""

    best = ("value", "min")

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def networks(self) -> dict[str, nn.Module]:
        return {"one": nn.Linear(1, 1)}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, torch.optim.Optimizer]:
        return {"one": torch.optim.SGD(networks["one"].parameters(), 0.1)}

    def passes(self, step: int) -> list[Pass]:
        def loss(networks: Any, batch: Batch, memory: Any) -> tuple[Tensor, dict[str, Tensor]]:
            found = networks["one"](batch["x"]).square().mean()
            return found, {"loss": found}

        return [Pass("one", loss)]

    def batch(self, number: int, rank: int) -> Batch:
        return {"x": torch.tensor([[math.nan if number == 1 and not self.values else 1.0]])}

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        return {"value": self.values.pop(0) if self.values else 0.0}


def test_a_loss_that_is_no_number_stops_the_run_and_saves_its_batch(tmp_path: Path) -> None:
    config = config_of("wav2lip", steps=5)
    with pytest.raises(UsageError, match=r"loss became nan at step 2; the batch is in bad-batch-step-2-rank-0\.pt"):
        run(_Broken([]), config, tmp_path)
    saved = torch.load(tmp_path / "bad-batch-step-2-rank-0.pt", weights_only=True)
    assert torch.isnan(saved["x"]).all()


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(UsageError, match="fp16 is for GPUs"):
        launch(Hardware("cpu", precision="fp16"))


def test_patience_ends_a_run_and_the_best_is_kept(tmp_path: Path) -> None:
    config = config_of("wav2lip", steps=20, validate_every=1, save_every=20, patience=3, export="best")
    run(_Broken([0.5, 0.3, 0.4, 0.6, 0.35, 0.2]), config, tmp_path)
    assert read_checkpoint(tmp_path / "last.ckpt")["step"] == 5
    assert read_checkpoint(tmp_path / "best.ckpt")["step"] == 2
    assert read_checkpoint(tmp_path / "best.ckpt")["measures"] == {"value": 0.3}


def test_the_official_layout_is_what_the_released_files_have(tmp_path: Path) -> None:
    for network, golden in ((Generator(), "wav2lip_generator"), (Expert(), "wav2lip_syncnet")):
        state = network.state_dict()
        write_official(tmp_path / "official.pth", state, 7)
        content = torch.load(tmp_path / "official.pth", weights_only=True)
        entries = json.loads(
            (Path(__file__).parents[1] / "golden" / "generators" / f"{golden}_entries.json").read_text()
        )
        names = [[entry["name"], entry["shape"]] for entry in entries["entries"]]
        assert [[name, list(value.shape)] for name, value in content["state_dict"].items()] == names
        assert content["global_step"] == 7
    assert load_expert(tmp_path / "official.pth")
    with pytest.raises(WeightsError, match="this is"):
        load_network(tmp_path / "official.pth")


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    state = {"b": torch.randn(3, 2), "a": torch.full((2,), 1e6), "n": torch.tensor(3)}
    about = {name: name * 2 for name in ("zebra", "lse_bench", "width", "offset", "branch")}
    for number in range(8):
        write_weights(tmp_path / f"{number}.safetensors", state, about, half=True)
    assert len({(tmp_path / f"{number}.safetensors").read_bytes() for number in range(8)}) == 1
    read = read_torch(tmp_path / "0.safetensors")
    assert torch.equal(read["b"], state["b"].half()) and torch.equal(read["n"], state["n"])
    assert torch.equal(read["a"], state["a"])  # too large for half precision
    assert read_metadata(tmp_path / "0.safetensors") == about | {"format": "pt"}


def test_a_gradient_that_is_no_number_stops_the_run_too() -> None:
    network = nn.Linear(1, 1)
    nn.init.constant_(network.bias, 0)

    def loss(networks: Any, batch: Batch, memory: Any) -> tuple[Tensor, dict[str, Tensor]]:
        # The root's slope at 0 is infinite; times 0 it is no number, while the loss is 0.
        found = networks["one"](batch["x"]).mul(0).sqrt().mean()
        return found, {"loss": found}

    fabric = launch(Hardware("cpu"))
    trained = set_up(fabric, {"one": network}, {"one": torch.optim.SGD(network.parameters(), 0.1)})
    with pytest.raises(UsageError, match="one's gradient became nan"):
        take_step(fabric, trained, [Pass("one", loss)], [{"x": torch.ones(1, 1)}])


def test_digital_silence_leaves_speech2vid_whole(data: Path, weights: dict[str, Path]) -> None:
    config = config_of("speech2vid")
    method = method_of("speech2vid", config, data, weights)
    networks = method.networks()
    fabric = launch(Hardware("cpu"))
    trained = set_up(fabric, networks, method.optimizers(networks))
    batch = method.batch(0, 0)
    batch["sound"][0, :, :, 10:15] = math.nan
    networks["speech2vid"].train()
    for _ in range(2):
        row = take_step(fabric, trained, method.passes(0), [batch])
        assert math.isfinite(row["loss"])
    for name, value in networks["speech2vid"].state_dict().items():
        assert torch.isfinite(value).all(), name
    network = networks["speech2vid"].eval()
    from lse_bench.baselines.speech2vid.passes import inputs_of

    with torch.no_grad():
        first = network(inputs_of(batch))
        second = network(inputs_of(batch | {"sound": batch["sound"].roll(1, 0)}))
    assert float((first - second).abs().max()) > 0


def test_norms_over_what_is_known_are_torchs_where_all_is() -> None:
    from lse_bench.baselines.speech2vid.graph import BatchNorm

    x = torch.randn(4, 3, 5, 6)
    ours, theirs = BatchNorm(3).train(), nn.BatchNorm2d(3).train()
    with_silence = torch.cat([x, torch.full_like(x[:2], math.nan)])
    found, wanted = ours(with_silence), theirs(x)
    torch.testing.assert_close(found[:4], wanted)
    assert torch.isnan(found[4:]).all()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_what_does_not_fit_is_said_before_the_first_step(data: Path, weights: dict[str, Path], tmp_path: Path) -> None:
    from lse_bench.baselines.lipgan.train import LipGanTraining
    from lse_bench.baselines.speech2vid.train import DeblurTraining, Speech2VidTraining
    from lse_bench.baselines.wav2lip.train import GeneratorTraining

    with pytest.raises(UsageError, match="needs --expert"):
        GeneratorTraining(config_of("wav2lip"), data / "box")
    with pytest.raises(UsageError, match="--crop box"):
        GeneratorTraining(config_of("wav2lip"), data / "aligned", weights["expert"])
    with pytest.raises(UsageError, match="rolls every sound back"):
        LipGanTraining(config_of("lipgan", batch=5), data / "box")
    with pytest.raises(UsageError, match="--generator"):
        DeblurTraining(config_of("speech2vid-deblur"), data / "aligned", None)
    narrow: Any = method_of("wav2lip", config_of("wav2lip"), data, weights)
    other = export_of("wav2lip", narrow.networks(), config_of("wav2lip"), tmp_path)
    wider = GeneratorTraining(config_of("wav2lip", width=0.125), data / "box", weights["expert"], init=other)
    with pytest.raises(UsageError, match="another shape"):
        wider.networks()
    with pytest.raises(UsageError, match="multiple of"):
        config_of("wav2lip", width=0.3)
    with pytest.raises(UsageError, match="guide helps infonce only"):
        method_of("expert", config_of("expert", loss="bce"), data, weights)
    with pytest.raises(UsageError, match="--content"):
        Speech2VidTraining(config_of("speech2vid", content=1.0), data / "aligned")
    with pytest.raises(UsageError, match="lse-bench prepare"):
        GeneratorTraining(config_of("wav2lip"), data, weights["expert"])


@pytest.mark.parametrize("name", ["released", "paper"])
@pytest.mark.parametrize("method", ["expert", "wav2lip", "wav2lip-gan"])
def test_the_configs_of_paper_and_code_differ_where_they_should(method: str, name: str) -> None:
    config = config_of(method, name, width=1.0)
    rate = config.optimizer.rate
    if method == "expert":
        assert rate == {"released": 1e-4, "paper": 1e-3}[name]
        assert config.loss == "bce"
        return
    assert config.window_offset == {"released": -1, "paper": 0}[name]
    assert (config.judge is not None) == (method == "wav2lip-gan")


def test_the_sync_weight_starts_late_and_rises() -> None:
    sync = config_of("wav2lip", sync={"weight": 0.06, "start": 10, "ramp": 2}).sync
    assert [sync.weight_at(step) for step in (0, 9, 10, 11, 12, 50)] == pytest.approx([0, 0, 0.02, 0.04, 0.06, 0.06])
    assert config_of("wav2lip", sync={"weight": 0.06}).sync.weight_at(1000) == 0


def test_settled_norms_use_and_keep_their_running_statistics(data: Path, weights: dict[str, Path]) -> None:
    config = config_of("wav2lip", norm_start=1)
    method = method_of("wav2lip", config, data, weights)
    fabric = launch(Hardware("cpu"))
    networks = method.networks()
    trained = set_up(fabric, networks, method.optimizers(networks))
    method.place(fabric.device)

    def statistics() -> Tensor:
        norms = [module for module in networks[GENERATOR].modules() if isinstance(module, nn.BatchNorm2d)]
        return torch.cat([norm.running_mean for norm in norms if norm.running_mean is not None]).clone()

    seen = [statistics()]
    for step in range(3):
        take_step(fabric, trained, method.passes(step), [method.batch(step, 0)])
        seen.append(statistics())
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    assert torch.equal(seen[1], seen[3])


@pytest.mark.parametrize("offset", [0, -1])
def test_an_exported_generator_draws_what_it_drew_in_training(
    offset: int, data: Path, weights: dict[str, Path], tmp_path: Path
) -> None:
    from lse_bench.baselines.wav2lip.adapter import Wav2Lip
    from lse_bench.generators.interface import FaceCrop, Options

    config = config_of("wav2lip", window_offset=offset)
    method: Any = method_of("wav2lip", config, data, weights)
    run(method, config, tmp_path)
    networks = trained_networks(method, config, tmp_path)
    path = export_of("wav2lip", networks, config, tmp_path)
    store, clip = method._store, method.validation[0]
    with torch.no_grad():
        wanted = method.drawer(networks[GENERATOR].eval(), torch.device("cpu"))(clip, clip)
    faces = store.read(clip, "faces")
    crops = (FaceCrop(face, (0, 0, 96, 96)) for face in faces)
    found = list(Wav2Lip(Options(checkpoint=path)).generate(crops, store.read(clip, "sound"), 0))
    for number, crop in enumerate(found[: len(wanted)]):
        clips.assert_same_picture(crop.pixels, wanted[number])
