"""`train`: one subcommand for each method."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import app, make_console, progress_bar
from lse_bench.errors import UsageError

train = typer.Typer(no_args_is_help=True, help="Train a network: syncnet, the scorer.", rich_markup_mode="markdown")
app.add_typer(train, name="train")

_SYNCNET_EXAMPLES = """
**Examples**

    lse-bench train syncnet --out runs/mini

    lse-bench train syncnet --corpus /data/lrs2 --config my.toml --device cuda --devices 4 --out runs/lrs2

    torchrun --nnodes 2 --nproc-per-node 8 -m lse_bench train syncnet --nodes 2 --devices 8 --device cuda --out runs/big

Without --corpus the config's MiniLRS corpus is made first. The run's folder gets `weights.safetensors` (for
`lse-bench score --weights`), `run.json`, `log.csv`, `validation.csv`, `tensorboard/` and `last.ckpt`.
"""


@train.command(epilog=_SYNCNET_EXAMPLES)
def syncnet(
    out: Annotated[Path, typer.Option(help="Run directory.")],
    config: Annotated[str, typer.Option(help="A TOML file, or the name of a packaged config.")] = "syncnet-mini",
    corpus: Annotated[
        Path | None, typer.Option(help="LRS2, LRS3, LRW or MiniLRS; default: the config's MiniLRS, made in --out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the config's.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="In place of the config's.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16, in place of the config's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many on each machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="How many machines, started by torchrun.")] = 1,
    loaders: Annotated[int, typer.Option(min=0, help="Processes that prepare batches; never changes a number.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train SyncNet on clips whose picture and sound are in step."""
    for module in ("lightning_fabric", "tensorboard"):
        if find_spec(module) is None:
            raise UsageError(f"training needs {module}: pip install 'lse-bench[train]'")
    from lse_bench.training.config import load_config
    from lse_bench.training.loop import Hardware
    from lse_bench.training.run import train_syncnet

    console = make_console()
    chosen = load_config(config)
    changes = {"seed": seed, "steps": steps, "precision": precision}
    chosen = chosen.changed({name: value for name, value in changes.items() if value is not None})
    hardware = Hardware(device, devices, nodes, chosen.precision, loaders)

    def bar(label: str, total: int):  # type: ignore[no-untyped-def]
        return progress_bar(console, label, total)

    try:
        measures = train_syncnet(chosen, hardware, out, corpus, resume, bar)
    except KeyboardInterrupt:
        console.print(f"stopped; --resume with --out {out} goes on from the last checkpoint", highlight=False)
        raise typer.Exit(130) from None
    figures = ", ".join(f"{name} {value:.4f}" for name, value in measures.items())
    console.print(f"validation: {figures}\nweights: {out / 'weights.safetensors'}", highlight=False, markup=False)
