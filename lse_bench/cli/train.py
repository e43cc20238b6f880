"""The command `lse-bench train`, with one subcommand for each method."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lse_bench.cli.common import MAKE, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.errors import UsageError
from lse_bench.reporting import Report
from lse_bench.tasks.declared import FetchOptions
from lse_bench.tasks.options import Flag
from lse_bench.versions import require

if TYPE_CHECKING:
    from lse_bench.training.config import RunConfig
    from lse_bench.training.hardware import Hardware
    from lse_bench.training.loop import Method

    Config = TypeVar("Config", bound=RunConfig)

train = typer.Typer(
    no_args_is_help=True,
    help="Train a network: the scorer SyncNet, Wav2Lip's expert, or a generator.",
    rich_markup_mode="markdown",
)
app.add_typer(train, name="train", rich_help_panel=MAKE)

Data = Annotated[Path, typer.Option(help="Folder of prepared clips from `lse-bench prepare`.")]
Init = Annotated[
    Path | None, typer.Option(help="Initial weights: a released checkpoint, or one from `lse-bench train`.")
]
Expert = Annotated[
    Path | None, typer.Option(help="Weights of the expert. They are needed if the config sets a sync weight.")
]
Scorer = Annotated[
    str, typer.Option(help="SyncNet's weights for LSE during training: a file or a name from `lse-bench weights list`.")
]

_AFTER = """
The run directory holds `weights.safetensors`, `run.json`, `log.csv`, `validation.csv`, `samples/`, `tensorboard/`,
`last.ckpt` and `best.ckpt`. On several machines: `torchrun --nnodes 2 --nproc-per-node 8 -m lse_bench train … --nodes 2
--devices 8`.
"""


def _examples(*lines: str) -> str:
    return "\n**Examples**\n\n" + "".join(f"    {line}\n\n" for line in lines) + _AFTER


@dataclass(frozen=True, kw_only=True)
class Settings(FetchOptions):
    """The options of every training method."""

    out: Annotated[Path, Flag("The run directory.")]
    seed: Annotated[int | None, Flag("Random seed. Default: the one in the config.")] = None
    steps: Annotated[int | None, Flag("Number of training steps. Default: the one in the config.", least=1)] = None
    precision: Annotated[
        str | None, Flag("fp32, bf16, fp16, or auto, which takes bf16 if it is faster. Default: the one in the config.")
    ] = None
    device: Annotated[str, Flag("Device that networks train on: auto, cpu or cuda.")] = "auto"
    devices: Annotated[int, Flag("Number of devices on each machine.", least=1)] = 1
    nodes: Annotated[int, Flag("Number of machines, started by torchrun.", least=1)] = 1
    loaders: Annotated[
        int, Flag("Number of processes that prepare batches. It does not change the result.", least=0)
    ] = 1
    compile: Annotated[bool, Flag("Use torch.compile to make the networks faster.")] = False
    resume: Annotated[bool, Flag("Continue the run in --out.")] = False

    def config(self, name: str, kind: type[Config], package: str) -> Config:
        """Return the config called `name`, with the seed, steps and precision of the options."""
        from lse_bench.training.config import load_config

        changes = {"seed": self.seed, "steps": self.steps, "precision": self.precision}
        return load_config(name, kind, package).changed({k: v for k, v in changes.items() if v is not None})

    def hardware(self) -> Hardware:
        """Return the hardware to train on."""
        from lse_bench.training.hardware import Hardware

        return Hardware(self.device, self.devices, self.nodes, loaders=self.loaders, compiled=self.compile)


def method(name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a function the subcommand `name`. Its parameter `settings` becomes all options of
    Settings.

    `examples`: command lines for the help text. Raises UsageError if the extra `train` is not installed.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**options: Any) -> None:
            for module in ("lightning_fabric", "tensorboard"):
                require(module, "train", "training")
            function(**options)

        train.command(name, epilog=_examples(*examples))(offers(Settings, "settings")(command))
        return function

    return register


@method(
    "syncnet",
    "lse-bench train syncnet --out runs/mini",
    "lse-bench train syncnet --corpus /data/lrs2 --config my.toml --device cuda --devices 4 --out runs/lrs2",
)
def syncnet(
    settings: Settings,
    config: Annotated[str, typer.Option(help="A TOML file, or the name of a packaged config.")] = "syncnet-mini",
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="A corpus, any folder of videos, a list or a manifest. Default: the MiniLRS of the config, in --out."
        ),
    ] = None,
) -> None:
    """Train SyncNet, the scorer, on clips whose picture and sound are synchronised."""
    with ConsoleReport().importing():
        from lse_bench.training.syncnet.config import TrainConfig
        from lse_bench.training.syncnet.run import train_syncnet

    chosen = settings.config(config, TrainConfig, "lse_bench.training.syncnet")
    hardware = settings.hardware()

    def run(report: Report) -> tuple[dict[str, float], list[Path]]:
        return train_syncnet(chosen, hardware, settings.out, corpus, settings.resume, report)

    _report(settings.out, run)


@method(
    "inception",
    "lse-bench train inception --out runs/inception-mini",
    "lse-bench train inception --steps 200 --corpus minilrs/ --out runs/short",
)
def inception(
    settings: Settings,
    config: Annotated[str, typer.Option(help="A TOML file, or the name of a packaged config.")] = "inception-mini",
    corpus: Annotated[
        Path | None, typer.Option(help="A MiniLRS corpus. Default: the one of the config, in --out.")
    ] = None,
) -> None:
    """Train a narrow Inception, the network of FID (mini), on frames of MiniLRS with known damage."""
    with ConsoleReport().importing():
        from lse_bench.training.inception.config import InceptionConfig
        from lse_bench.training.inception.run import train_inception

    chosen = settings.config(config, InceptionConfig, "lse_bench.training.inception")
    hardware = settings.hardware()

    def run(report: Report) -> tuple[dict[str, float], list[Path]]:
        return train_inception(chosen, hardware, settings.out, corpus, settings.resume, report)

    _report(settings.out, run)


@method(
    "expert",
    "lse-bench train expert --config mini --data prepared/mini --out runs/expert",
    "lse-bench train expert --config released --data prepared/lrs2 --device cuda --out runs/expert",
)
def expert(
    settings: Settings,
    data: Data,
    config: Annotated[str, typer.Option(help="A TOML file, or the packaged config mini, released or paper.")] = "mini",
    init: Init = None,
) -> None:
    """Train Wav2Lip's lip-sync expert. Wav2Lip's generator needs it for the sync loss."""
    with ConsoleReport().importing():
        from lse_bench.baselines.wav2lip import expert as trainer

    chosen = settings.config(_of("expert", config), trainer.ExpertConfig, _WAV2LIP)
    make = functools.partial(trainer.ExpertTraining, chosen, data, init)
    _prepared("expert", settings, chosen, data, make, trainer.export, {"init": init})


@method(
    "wav2lip",
    "lse-bench train wav2lip --config mini --data prepared/mini --expert runs/expert/weights.safetensors "
    "--out runs/wav2lip",
    "lse-bench train wav2lip --config l1-mini --data prepared/mini --out runs/l1",
    "lse-bench train wav2lip --config released --data prepared/lrs2 --expert lipsync_expert.pth --device cuda "
    "--sync-weights syncnet_v2 --out runs/wav2lip",
)
def wav2lip(
    settings: Settings,
    data: Data,
    config: Annotated[
        str, typer.Option(help="A TOML file, or the packaged config mini, l1-mini, released or paper.")
    ] = "mini",
    expert: Expert = None,
    init: Init = None,
    sync_weights: Scorer = "syncnet-mini",
) -> None:
    """Train Wav2Lip's generator with an L1 loss and the expert's sync loss."""
    _wav2lip("wav2lip", settings, data, config, expert, init, sync_weights)


@method(
    "wav2lip-gan",
    "lse-bench train wav2lip-gan --config mini --data prepared/mini --expert runs/expert/weights.safetensors "
    "--init runs/wav2lip/weights.safetensors --out runs/gan",
)
def wav2lip_gan(
    settings: Settings,
    data: Data,
    config: Annotated[str, typer.Option(help="A TOML file, or the packaged config mini, released or paper.")] = "mini",
    expert: Expert = None,
    init: Init = None,
    sync_weights: Scorer = "syncnet-mini",
) -> None:
    """Train Wav2Lip's generator with a visual quality discriminator as a third loss."""
    _wav2lip("wav2lip-gan", settings, data, config, expert, init, sync_weights)


@method(
    "lipgan",
    "lse-bench train lipgan --config mini --data prepared/mini --out runs/lipgan",
    "lse-bench train lipgan --config released --data prepared/lrs2 --device cuda --sync-weights syncnet_v2 "
    "--out runs/lipgan",
)
def lipgan(
    settings: Settings,
    data: Data,
    config: Annotated[
        str, typer.Option(help="A TOML file, or the packaged config mini, released or unet-released.")
    ] = "mini",
    init: Init = None,
    sync_weights: Scorer = "syncnet-mini",
) -> None:
    """Train LipGAN's generator. The config decides whether it trains against a discriminator."""
    with ConsoleReport().importing():
        from lse_bench.baselines.lipgan import train as trainer

    chosen = settings.config(_of("lipgan", config), trainer.LipGanConfig, "lse_bench.baselines.lipgan")
    listener = _scorer(sync_weights, chosen.lse_clips, settings)
    make = functools.partial(trainer.LipGanTraining, chosen, data, listener, init)
    _prepared("lipgan", settings, chosen, data, make, trainer.export, {"init": init, "scorer": listener})


@method(
    "speech2vid",
    "lse-bench train speech2vid --config mini --data prepared/mini-aligned --out runs/speech2vid",
    "lse-bench train speech2vid --config full --data prepared/lrs2-aligned --device cuda --out runs/speech2vid",
)
def speech2vid(
    settings: Settings,
    data: Data,
    config: Annotated[str, typer.Option(help="A TOML file, or the packaged config mini, full or finetune.")] = "mini",
    init: Init = None,
    content: Annotated[
        Path | None, typer.Option(help="Encoder of the content loss: v201.mat or another MatConvNet file.")
    ] = None,
    sync_weights: Scorer = "syncnet-mini",
) -> None:
    """Train Speech2Vid's generator on clips that were prepared with --crop aligned."""
    with ConsoleReport().importing():
        from lse_bench.baselines.speech2vid import train as trainer

    chosen = settings.config(_of("speech2vid", config), trainer.Speech2VidConfig, _SPEECH2VID)
    listener = _scorer(sync_weights, chosen.lse_clips, settings)
    make = functools.partial(trainer.Speech2VidTraining, chosen, data, listener, content, init)
    weights = {"init": init, "scorer": listener, "content": content}
    _prepared("speech2vid", settings, chosen, data, make, trainer.export, weights)


@method(
    "speech2vid-deblur",
    "lse-bench train speech2vid-deblur --config mini --data prepared/mini-aligned "
    "--generator runs/speech2vid/weights.safetensors --out runs/deblur",
)
def speech2vid_deblur(
    settings: Settings,
    data: Data,
    config: Annotated[str, typer.Option(help="A TOML file, or the packaged config mini or full.")] = "mini",
    generator: Annotated[Path | None, typer.Option(help="Weights of the generator whose faces are sharpened.")] = None,
    init: Init = None,
) -> None:
    """Train the network that sharpens the faces of Speech2Vid's generator."""
    with ConsoleReport().importing():
        from lse_bench.baselines.speech2vid import train as trainer

    chosen = settings.config(_of("speech2vid-deblur", config), trainer.DeblurConfig, _SPEECH2VID)
    make = functools.partial(trainer.DeblurTraining, chosen, data, generator, init)
    weights = {"generator": generator, "init": init}
    _prepared("speech2vid-deblur", settings, chosen, data, make, trainer.export, weights)


_WAV2LIP, _SPEECH2VID = "lse_bench.baselines.wav2lip", "lse_bench.baselines.speech2vid"


def _wav2lip(
    name: str,
    settings: Settings,
    data: Path,
    config: str,
    expert: Path | None,
    init: Path | None,
    sync_weights: str,
) -> None:
    with ConsoleReport().importing():
        from lse_bench.baselines.wav2lip import train as trainer

    chosen = settings.config(_of(name, config), trainer.GeneratorConfig, _WAV2LIP)
    if (chosen.judge is not None) != (name == "wav2lip-gan"):
        raise UsageError(
            f"{config}: this config is for {'wav2lip-gan' if chosen.judge is not None else 'wav2lip'}, not for {name}"
        )
    listener = _scorer(sync_weights, chosen.lse_clips, settings)
    make = functools.partial(trainer.GeneratorTraining, chosen, data, expert, listener, init)
    weights = {"expert": expert, "init": init, "scorer": listener}
    _prepared(name, settings, chosen, data, make, trainer.export, weights)


def _of(name: str, config: str) -> str:
    """Return the full name of a config. Packaged configs are called METHOD-NAME. A TOML file keeps its name."""
    return config if config.endswith(".toml") else f"{name}-{config}"


def _scorer(name: str, clips: int, settings: Settings) -> Path | None:
    """Return SyncNet's weights, or None if no clip is scored during training. `clips`: number of clips to score."""
    return ConsoleReport().weights(name, settings.offline, settings.trust) if clips else None


def _prepared(
    name: str,
    settings: Settings,
    config: RunConfig,
    data: Path,
    make: Callable[[], Method],
    export: Any,
    weights: dict[str, Path | None],
) -> None:
    with ConsoleReport().importing():
        from lse_bench.training.run import train_prepared

    hardware = settings.hardware()

    def run(report: Report) -> tuple[dict[str, float], list[Path]]:
        where = (settings.out, data, weights, settings.resume)
        return train_prepared(name, make, export, config, hardware, *where, report)

    _report(settings.out, run)


class _FirstSpeaks(ConsoleReport):
    """A report that only the first of several processes prints."""

    def say(self, text: str) -> None:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            super().say(text)


def _report(out: Path, run: Callable[[Report], tuple[dict[str, float], list[Path]]]) -> None:
    report = _FirstSpeaks()
    try:
        measures, files = run(report)
    except KeyboardInterrupt:
        report.say(f"stopped. --resume with --out {out} continues from the last checkpoint")
        raise typer.Exit(130) from None
    if not files:  # this is not the first of several processes
        return
    figures = ", ".join(f"{name} {value:.4f}" for name, value in measures.items())
    written = ", ".join(str(file) for file in files)
    report.say(f"validation: {figures}\nweights: {written}")
