"""A step of every trainer on a device, in every precision; a run that was cut off and goes on; a card that is full."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import checkout  # noqa: F401 - first
import torch
from lightning_fabric import Fabric
from parts import NARROW, Row, Setting, filled, uniform, whole

from lse_bench.baselines.lipgan import passes as lipgan
from lse_bench.baselines.lipgan.keras_adam import KerasAdam
from lse_bench.baselines.lipgan.model import SOUND_SHAPE, Discriminator
from lse_bench.baselines.lipgan.model import Generator as LipGan
from lse_bench.baselines.speech2vid import passes as speech2vid
from lse_bench.baselines.speech2vid.model import DEBLURRED, PREDICTION, deblur_layers, generator_layers
from lse_bench.baselines.wav2lip import passes as wav2lip
from lse_bench.baselines.wav2lip.model import Expert, Generator, QualityDiscriminator
from lse_bench.errors import UsageError
from lse_bench.training import pairs
from lse_bench.training.checkpoints import read_checkpoint, write_checkpoint
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.steps import Batch, Pass, Trained, set_up, take_step

_RATE = 1e-4
_SHARE = 0.02  # of the card's memory, for the part that fills it


@dataclass(frozen=True, slots=True)
class Made:
    """What one trainer's step needs."""

    networks: dict[str, torch.nn.Module]
    passes: list[Pass]
    batch: Batch


def syncnet(device: str, width: float, size: int) -> Made:
    """SyncNet by InfoNCE."""
    batch = {"frames": whole(size, 15, 112, 112), "mfcc": uniform(size, 1, 13, 20, low=-20, high=20)}
    return Made({pairs.NETWORK: filled(pairs.Pairs(width))}, [pairs.matching_pass("infonce", 1.0)], batch)


def expert(device: str, width: float, size: int) -> Made:
    """Wav2Lip's expert, the released loss."""
    networks = {wav2lip.EXPERT: filled(wav2lip.ListeningExpert(width, infonce=False, guided=False))}
    in_sync = (torch.arange(size) % 2).float()[:, None]
    batch = {"faces": uniform(size, 15, 48, 96), "mel": uniform(size, 1, 80, 16, low=-4, high=4), "in_sync": in_sync}
    return Made(networks, [Pass(wav2lip.EXPERT, wav2lip.matching_loss)], batch)


def drawing(gan: bool) -> Callable[[str, float, int], Made]:
    """Wav2Lip's generator with its expert, and with the quality discriminator."""

    def make(device: str, width: float, size: int) -> Made:
        judge = filled(Expert(width)).eval().requires_grad_(False).to(device)
        networks: dict[str, torch.nn.Module] = {wav2lip.GENERATOR: filled(Generator(width))}
        if gan:
            networks[wav2lip.JUDGE] = filled(QualityDiscriminator(width))
        batch = {name: uniform(size, 3, 5, 96, 96) for name in ("target", "reference")}
        batch |= {"mels": uniform(size, 5, 1, 80, 16, low=-4, high=4), "mel": uniform(size, 1, 80, 16, low=-4, high=4)}
        return Made(networks, wav2lip.passes_of(judge, 0.03, 0.07 if gan else None), batch)

    return make


def lip_gan(device: str, width: float, size: int) -> Made:
    """LipGAN against its discriminator."""
    networks = {
        lipgan.GENERATOR: filled(LipGan("master", "residual", width)),
        lipgan.JUDGE: filled(Discriminator("master", width)),
    }
    batch = {name: whole(size, 96, 96, 3) for name in ("target", "reference")}
    batch |= {"sound": uniform(size, 1, *SOUND_SHAPE["master"], low=-4, high=4), "coin": torch.ones(())}
    return Made(networks, lipgan.passes_of(0.01, roll=1), batch)


def speech2vid_batch(size: int) -> Batch:
    """Faces and MFCC."""
    faces = {"target": whole(size, 112, 112, 3), "identity": whole(size, 5, 112, 112, 3)}
    return faces | {"sound": uniform(size, 1, 12, 35, low=-5, high=5)}


def speech_to_vid(device: str, width: float, size: int) -> Made:
    """Speech2Vid's generator by its error alone."""
    torch.manual_seed(0)
    networks: dict[str, torch.nn.Module] = {speech2vid.GENERATOR: speech2vid.fresh(generator_layers(width), PREDICTION)}
    return Made(networks, [speech2vid.drawing_pass(None, 0.0, mask_zeros=False)], speech2vid_batch(size))


def deblur(device: str, width: float, size: int) -> Made:
    """The network that sharpens Speech2Vid's faces."""
    torch.manual_seed(0)
    networks: dict[str, torch.nn.Module] = {speech2vid.DEBLUR: speech2vid.fresh(deblur_layers(width), DEBLURRED)}
    return Made(networks, [speech2vid.sharpening_pass(speech2vid.wanted_of, "mse")], speech2vid_batch(size))


# Each with the batch that its released configuration has, and one that a CPU does in seconds.
TRAINERS: dict[str, tuple[Callable[[str, float, int], Made], int, int]] = {
    "train-syncnet": (syncnet, 64, 4),
    "train-expert": (expert, 64, 8),
    "train-wav2lip": (drawing(gan=False), 16, 2),
    "train-wav2lip-gan": (drawing(gan=True), 16, 2),
    "train-lipgan": (lip_gan, 96, 4),
    "train-speech2vid": (speech_to_vid, 64, 4),
    "train-speech2vid-deblur": (deblur, 64, 4),
}


def laid_out(network: torch.nn.Module) -> torch.nn.Module:
    """Channels last, as trainers have it, but SyncNet, whose published convolutions have five dimensions."""
    five = any(value.dim() == 5 for value in network.parameters())
    return network if five else network.to(memory_format=torch.channels_last)


def started(device: str, precision: str, made: Made, compiled: bool = False) -> tuple[Fabric, Trained, Batch]:
    """As the loop of training sets up."""
    fabric: Fabric = launch(Hardware(device.split(":")[0], precision=precision))  # type: ignore[arg-type]
    networks = {name: laid_out(one.train()) for name, one in made.networks.items()}
    optimizers: dict[str, Any] = {name: KerasAdam(one.parameters(), _RATE) for name, one in networks.items()}
    trained = set_up(fabric, networks, optimizers, compiled)
    return fabric, trained, {name: value.to(fabric.device) for name, value in made.batch.items()}


def trainer(name: str, setting: Setting, compiled: bool = False) -> list[Row]:
    """A step in each precision; the loss of the first step against that of the CPU in float32."""
    make, released, few = TRAINERS[name]
    width, size = (NARROW, 3) if setting.small else (1.0, released if setting.cuda else few)
    rows: list[Row] = []
    on_cpu: float | None = None
    if setting.cuda:
        made = make("cpu", width, size)
        fabric, trained, batch = started("cpu", "fp32", made)
        on_cpu = take_step(fabric, trained, made.passes, [batch])["loss"]
    precisions = ("fp32", "bf16", "fp16") if setting.cuda and not compiled else ("fp32", "bf16")
    for precision in precisions:
        with setting.peak() as gib:
            made = make(setting.device, width, size)
            fabric, trained, batch = started(setting.device, precision, made, compiled)
            began = time.perf_counter()
            loss = take_step(fabric, trained, made.passes, [batch])["loss"]
            first = time.perf_counter() - began
            seconds = setting.seconds(lambda f=fabric, t=trained, m=made, b=batch: take_step(f, t, m.passes, [b]))  # type: ignore[misc]
            more: dict[str, float | str] = {"ms": seconds * 1e3, "loss": loss}
            error = None if on_cpu is None else abs(loss - on_cpu) / abs(on_cpu)
            if compiled:
                more["first_step_s"] = first
            rows.append(Row(precision, size, size / seconds, "samples", error, gib(), more))
    return rows


def resumed(setting: Setting) -> list[Row]:
    """Of every trainer four steps at once, and two, a checkpoint, a fresh start from it, two more: how far the weights
    are apart."""
    rows = []
    names = ["train-wav2lip-gan"] if setting.small else list(TRAINERS)
    for which, precision in itertools.product(names, ("fp32", "fp16" if setting.cuda else "bf16")):
        make, width, size, steps = TRAINERS[which][0], (NARROW if setting.small else 0.5), 4, 4
        with TemporaryDirectory() as folder:
            path, ends = Path(folder, "last.ckpt"), list[dict[str, torch.Tensor]]()
            for cut in (steps, steps // 2):
                made = make(setting.device, width, size)
                fabric, trained, batch = started(setting.device, precision, made)
                for _ in range(cut):
                    take_step(fabric, trained, made.passes, [batch])
                if cut < steps:
                    scaler = fabric.strategy.precision.state_dict()
                    write_checkpoint(path, trained.plain, trained.optimizers, cut, {}, {}, scaler)
                    state, made = read_checkpoint(path), make(setting.device, width, size)
                    for name, network in made.networks.items():
                        network.load_state_dict(state["networks"][name])
                    fabric, trained, batch = started(setting.device, precision, made)
                    for name, optimizer in trained.optimizers.items():
                        optimizer.load_state_dict(state["optimizers"][name])
                    fabric.strategy.precision.load_state_dict(state["precision"])
                    for _ in range(steps - cut):
                        take_step(fabric, trained, made.passes, [batch])
                ends.append({f"{n}.{k}": v for n, one in trained.plain.items() for k, v in one.state_dict().items()})
        apart = max(float((ends[0][name].double() - value.double()).abs().max()) for name, value in ends[1].items())
        rows.append(Row(precision, size, more={"trainer": which.removeprefix("train-"), "weights_differ_by": apart}))
    return rows


def full(setting: Setting) -> list[Row]:
    """What a step says that does not fit: nothing on a CPU, whose memory this leaves alone."""
    if not setting.cuda:
        return []
    torch.cuda.set_per_process_memory_fraction(_SHARE)
    make, released, _ = TRAINERS["train-wav2lip"]
    made = make(setting.device, 1.0, released)
    fabric, trained, batch = started(setting.device, "fp32", made)
    try:
        take_step(fabric, trained, made.passes, [batch])
    except UsageError as error:
        return [Row("fp32", released, more={"says": str(error)})]
    return [Row("fp32", released, more={"says": "nothing: it fitted"})]
