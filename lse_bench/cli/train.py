"""`train`: one subcommand for each method."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lse_bench.cli.common import app, find_weights, make_console, progress_bar
from lse_bench.errors import UsageError

if TYPE_CHECKING:
    from lse_bench.training.config import RunConfig
    from lse_bench.training.loop import Hardware, Method

    Config = TypeVar("Config", bound=RunConfig)

train = typer.Typer(
    no_args_is_help=True,
    help="Train a network: syncnet, the scorer; expert, Wav2Lip's; or a generator.",
    rich_markup_mode="markdown",
)
app.add_typer(train, name="train")

Out = Annotated[Path, typer.Option(help="Run directory.")]
Data = Annotated[Path, typer.Option(help="Prepared clips: a folder of `lse-bench prepare`.")]
Seed = Annotated[int | None, typer.Option(help="In place of the config's.")]
Steps = Annotated[int | None, typer.Option(min=1, help="In place of the config's.")]
Precision = Annotated[str | None, typer.Option(help="fp32, bf16 or fp16, in place of the config's.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Devices = Annotated[int, typer.Option(min=1, help="How many on each machine.")]
Nodes = Annotated[int, typer.Option(min=1, help="How many machines, started by torchrun.")]
Loaders = Annotated[int, typer.Option(min=0, help="Processes that prepare batches; never changes a number.")]
Compile = Annotated[bool, typer.Option("--compile", help="Let torch.compile make the networks faster; needs a GPU.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
Init = Annotated[Path | None, typer.Option(help="Weights to begin with: a released checkpoint, or our own.")]
Expert = Annotated[Path | None, typer.Option(help="The expert's weights; needed where the config has a sync weight.")]
Scorer = Annotated[
    str, typer.Option(help="SyncNet's weights, for LSE during training: a file or a name of `lse-bench weights list`.")
]

_AFTER = """
The run's folder gets `weights.safetensors`, `run.json`, `log.csv`, `validation.csv`, `samples/`, `tensorboard/`,
`last.ckpt` and `best.ckpt`. Several machines: `torchrun --nnodes 2 --nproc-per-node 8 -m lse_bench train … --nodes 2
--devices 8`.
"""


def _examples(*lines: str) -> str:
    return "\n**Examples**\n\n" + "".join(f"    {line}\n\n" for line in lines) + _AFTER


@train.command(
    epilog=_examples(
        "lse-bench train syncnet --out runs/mini",
        "lse-bench train syncnet --corpus /data/lrs2 --config my.toml --device cuda --devices 4 --out runs/lrs2",
    )
)
def syncnet(
    out: Out,
    config: Annotated[str, typer.Option(help="A TOML file, or the name of a packaged config.")] = "syncnet-mini",
    corpus: Annotated[
        Path | None, typer.Option(help="LRS2, LRS3, LRW or MiniLRS; default: the config's MiniLRS, made in --out.")
    ] = None,
    seed: Seed = None,
    steps: Steps = None,
    precision: Precision = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    loaders: Loaders = 1,
    compile_: Compile = False,
    resume: Resume = False,
) -> None:
    """Train SyncNet, the scorer, on clips whose picture and sound are in step."""
    _need_extra()
    from lse_bench.training.config import TrainConfig
    from lse_bench.training.syncnet_run import train_syncnet

    chosen = _config(config, TrainConfig, "lse_bench.training", seed, steps, precision)
    hardware = _hardware(chosen, device, devices, nodes, loaders, compile_)
    _report(out, lambda bar: train_syncnet(chosen, hardware, out, corpus, resume, bar))


@train.command(
    epilog=_examples(
        "lse-bench train expert --config mini --data prepared/mini --out runs/expert",
        "lse-bench train expert --config released --data prepared/lrs2 --device cuda --out runs/expert",
    )
)
def expert(
    data: Data,
    out: Out,
    config: Annotated[str, typer.Option(help="A TOML file, or mini, released or paper.")] = "mini",
    init: Init = None,
    seed: Seed = None,
    steps: Steps = None,
    precision: Precision = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    loaders: Loaders = 1,
    compile_: Compile = False,
    resume: Resume = False,
) -> None:
    """Train Wav2Lip's lip-sync expert, which its generator needs."""
    _need_extra()
    from lse_bench.baselines.wav2lip import expert as method

    chosen = _config(_of("expert", config), method.ExpertConfig, _WAV2LIP, seed, steps, precision)
    hardware = _hardware(chosen, device, devices, nodes, loaders, compile_)
    _prepared(
        "expert",
        lambda: method.ExpertTraining(chosen, data, init),
        method.export,
        chosen,
        hardware,
        out,
        data,
        {"init": init},
        resume,
    )


@train.command(
    epilog=_examples(
        "lse-bench train wav2lip --config mini --data prepared/mini --expert runs/expert/weights.safetensors --out "
        "runs/wav2lip",
        "lse-bench train wav2lip --config l1-mini --data prepared/mini --out runs/l1",
        "lse-bench train wav2lip --config released --data prepared/lrs2 --expert lipsync_expert.pth --device cuda "
        "--scorer syncnet_v2 --out runs/wav2lip",
    )
)
def wav2lip(
    data: Data,
    out: Out,
    config: Annotated[str, typer.Option(help="A TOML file, or mini, l1-mini, released or paper.")] = "mini",
    expert: Expert = None,
    init: Init = None,
    scorer: Scorer = "syncnet-mini",
    seed: Seed = None,
    steps: Steps = None,
    precision: Precision = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    loaders: Loaders = 1,
    compile_: Compile = False,
    resume: Resume = False,
) -> None:
    """Train Wav2Lip's generator: L1 and the expert's opinion of sync."""
    settings = (device, devices, nodes, loaders, compile_)
    _wav2lip("wav2lip", data, out, config, expert, init, scorer, (seed, steps, precision), settings, resume)


@train.command(
    "wav2lip-gan",
    epilog=_examples(
        "lse-bench train wav2lip-gan --config mini --data prepared/mini --expert runs/expert/weights.safetensors "
        "--init runs/wav2lip/weights.safetensors --out runs/gan",
    ),
)
def wav2lip_gan(
    data: Data,
    out: Out,
    config: Annotated[str, typer.Option(help="A TOML file, or mini, released or paper.")] = "mini",
    expert: Expert = None,
    init: Init = None,
    scorer: Scorer = "syncnet-mini",
    seed: Seed = None,
    steps: Steps = None,
    precision: Precision = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    loaders: Loaders = 1,
    compile_: Compile = False,
    resume: Resume = False,
) -> None:
    """Train Wav2Lip's generator against the quality discriminator too."""
    settings = (device, devices, nodes, loaders, compile_)
    _wav2lip("wav2lip-gan", data, out, config, expert, init, scorer, (seed, steps, precision), settings, resume)


@train.command(
    epilog=_examples(
        "lse-bench train lipgan --config mini --data prepared/mini --out runs/lipgan",
        "lse-bench train lipgan --config released --data prepared/lrs2 --device cuda --scorer syncnet_v2 "
        "--out runs/lipgan",
    )
)
def lipgan(
    data: Data,
    out: Out,
    config: Annotated[str, typer.Option(help="A TOML file, or mini, released or unet-released.")] = "mini",
    init: Init = None,
    scorer: Scorer = "syncnet-mini",
    seed: Seed = None,
    steps: Steps = None,
    precision: Precision = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    loaders: Loaders = 1,
    compile_: Compile = False,
    resume: Resume = False,
) -> None:
    """Train LipGAN's generator, alone or against its discriminator, as the config says."""
    _need_extra()
    from lse_bench.baselines.lipgan import train as method

    chosen = _config(_of("lipgan", config), method.LipGanConfig, "lse_bench.baselines.lipgan", seed, steps, precision)
    hardware = _hardware(chosen, device, devices, nodes, loaders, compile_)
    listener = _scorer(scorer) if chosen.lse_clips else None
    _prepared(
        "lipgan",
        lambda: method.LipGanTraining(chosen, data, listener, init),
        method.export,
        chosen,
        hardware,
        out,
        data,
        {"init": init, "scorer": listener},
        resume,
    )


_SPEECH2VID = "lse_bench.baselines.speech2vid"


@train.command(
    epilog=_examples(
        "lse-bench train speech2vid --config mini --data prepared/mini-aligned --out runs/speech2vid",
        "lse-bench train speech2vid --config full --data prepared/lrs2-aligned --device cuda --out runs/speech2vid",
    )
)
def speech2vid(
    data: Data,
    out: Out,
    config: Annotated[str, typer.Option(help="A TOML file, or mini, full or finetune.")] = "mini",
    init: Init = None,
    content: Annotated[
        Path | None, typer.Option(help="v201.mat, or another MatConvNet file: the content loss's encoder.")
    ] = None,
    scorer: Scorer = "syncnet-mini",
    seed: Seed = None,
    steps: Steps = None,
    precision: Precision = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    loaders: Loaders = 1,
    compile_: Compile = False,
    resume: Resume = False,
) -> None:
    """Train Speech2Vid's generator, on clips prepared with --crop aligned."""
    _need_extra()
    from lse_bench.baselines.speech2vid import train as method

    chosen = _config(_of("speech2vid", config), method.Speech2VidConfig, _SPEECH2VID, seed, steps, precision)
    hardware = _hardware(chosen, device, devices, nodes, loaders, compile_)
    listener = _scorer(scorer) if chosen.lse_clips else None
    _prepared(
        "speech2vid",
        lambda: method.Speech2VidTraining(chosen, data, listener, content, init),
        method.export,
        chosen,
        hardware,
        out,
        data,
        {"init": init, "scorer": listener, "content": content},
        resume,
    )


@train.command(
    "speech2vid-deblur",
    epilog=_examples(
        "lse-bench train speech2vid-deblur --config mini --data prepared/mini-aligned "
        "--generator runs/speech2vid/weights.safetensors --out runs/deblur",
    ),
)
def speech2vid_deblur(
    data: Data,
    out: Out,
    config: Annotated[str, typer.Option(help="A TOML file, or mini or full.")] = "mini",
    generator: Annotated[Path | None, typer.Option(help="The generator whose faces are sharpened.")] = None,
    init: Init = None,
    seed: Seed = None,
    steps: Steps = None,
    precision: Precision = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    loaders: Loaders = 1,
    compile_: Compile = False,
    resume: Resume = False,
) -> None:
    """Train the network that sharpens Speech2Vid's faces."""
    _need_extra()
    from lse_bench.baselines.speech2vid import train as method

    chosen = _config(_of("speech2vid-deblur", config), method.DeblurConfig, _SPEECH2VID, seed, steps, precision)
    hardware = _hardware(chosen, device, devices, nodes, loaders, compile_)
    _prepared(
        "speech2vid-deblur",
        lambda: method.DeblurTraining(chosen, data, generator, init),
        method.export,
        chosen,
        hardware,
        out,
        data,
        {"generator": generator, "init": init},
        resume,
    )


_WAV2LIP = "lse_bench.baselines.wav2lip"


def _wav2lip(
    name: str,
    data: Path,
    out: Path,
    config: str,
    expert: Path | None,
    init: Path | None,
    scorer: str,
    changes: tuple[int | None, int | None, str | None],
    settings: tuple[str, int, int, int, bool],
    resume: bool,
) -> None:
    _need_extra()
    from lse_bench.baselines.wav2lip import train as method

    chosen = _config(_of(name, config), method.GeneratorConfig, _WAV2LIP, *changes)
    if (chosen.judge is not None) != (name == "wav2lip-gan"):
        raise UsageError(
            f"{config}: a config of {'wav2lip-gan' if chosen.judge is not None else 'wav2lip'}, not {name}"
        )
    hardware = _hardware(chosen, *settings)
    listener = _scorer(scorer) if chosen.lse_clips else None
    weights = {"expert": expert, "init": init, "scorer": listener}
    _prepared(
        name,
        lambda: method.GeneratorTraining(chosen, data, expert, listener, init),
        method.export,
        chosen,
        hardware,
        out,
        data,
        weights,
        resume,
    )


def _need_extra() -> None:
    for module in ("lightning_fabric", "tensorboard"):
        if find_spec(module) is None:
            raise UsageError(f"training needs {module}: pip install 'lse-bench[train]'")


def _of(method: str, config: str) -> str:
    """Packaged configs are called METHOD-NAME; a file keeps its name."""
    return config if config.endswith(".toml") else f"{method}-{config}"


def _config(
    name: str, kind: type[Config], package: str, seed: int | None, steps: int | None, precision: str | None
) -> Config:
    from lse_bench.training.config import load_config

    changes: dict[str, object] = {"seed": seed, "steps": steps, "precision": precision}
    return load_config(name, kind, package).changed({key: value for key, value in changes.items() if value is not None})


def _hardware(config: RunConfig, device: str, devices: int, nodes: int, loaders: int, compiled: bool) -> Hardware:
    from lse_bench.training.loop import Hardware

    return Hardware(device, devices, nodes, config.precision, loaders, compiled)


def _scorer(name: str) -> Path:
    return find_weights(make_console(), name, False, False)


def _prepared(
    name: str,
    make: Callable[[], Method],
    export: Any,
    config: RunConfig,
    hardware: Hardware,
    out: Path,
    data: Path,
    weights: dict[str, Path | None],
    resume: bool,
) -> None:
    from lse_bench.training.run import train_prepared

    _report(out, lambda bar: train_prepared(name, make, export, config, hardware, out, data, weights, resume, bar))


def _report(out: Path, run: Callable[[Any], tuple[dict[str, float], list[Path]]]) -> None:
    console = make_console()

    def bar(label: str, total: int):  # type: ignore[no-untyped-def]
        return progress_bar(console, label, total)

    try:
        measures, files = run(bar)
    except KeyboardInterrupt:
        console.print(f"stopped; --resume with --out {out} goes on from the last checkpoint", highlight=False)
        raise typer.Exit(130) from None
    if not files:  # not the first of several processes
        return
    figures = ", ".join(f"{name} {value:.4f}" for name, value in measures.items())
    written = ", ".join(str(file) for file in files)
    console.print(f"validation: {figures}\nweights: {written}", highlight=False, markup=False)
