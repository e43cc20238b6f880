"""A complete training run of any method: `run.json`, the training loop, and the exported weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from lse_bench.devices import choose_device
from lse_bench.errors import LseBenchError, UsageError
from lse_bench.precision import Choice, choose_precision
from lse_bench.reporting import Report
from lse_bench.storage import json_bytes, refuse_another, write_atomically
from lse_bench.training.checkpoints import read_checkpoint
from lse_bench.training.config import Config
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.loop import BEST, LAST, Method, refuse_to_overwrite, train
from lse_bench.training.memory import limited_memory
from lse_bench.training.prepared import PreparedClips
from lse_bench.versions import joined, surroundings
from lse_bench.weights.readers import file_digest

RUN_FILE = "run.json"
_GIVEN = "as the config or --precision says"
Export = Callable[[dict[str, nn.Module], Config, Path], list[Path]]


def with_precision(
    config: Config, hardware: Hardware, out: Path, resume: bool, tell: Callable[[str], None]
) -> tuple[Config, Hardware]:
    """Return the config and the hardware with a fixed precision instead of `auto`.

    A precision in the config has priority. Otherwise a resumed run keeps its precision, and `choose_precision` decides
    for a new run. `tell`: receives a line with the precision and the reason. Raises UsageError if the hardware is
    missing, or if the run to resume is damaged or is no training run.
    """
    begun = _begun(out) if resume else None
    if config.precision != "auto":
        choice = Choice(config.precision, _GIVEN)
    elif begun is not None:
        choice = Choice(begun["config"]["precision"], begun["hardware"].get("precision_reason", _GIVEN))
    else:
        choice = choose_precision(choose_device(hardware.accelerator), hardware.devices * hardware.nodes)
    tell(f"precision: {choice.precision} ({choice.reason})")
    hardware = dataclasses.replace(hardware, precision=choice.precision, reason=choice.reason)
    return config.changed({"precision": choice.precision}), hardware


def _begun(out: Path) -> dict[str, Any] | None:
    """Return the content of `run.json` in `out`, or None if that file does not exist.

    Raises UsageError if the file is damaged or belongs to a run of another command.
    """
    path = out / RUN_FILE
    if not path.exists():
        return None
    try:
        there: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind = there["kind"]
        complete = kind != "train" or {"config", "hardware", "method"} <= there.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        complete, kind = False, None
    if not complete:
        raise UsageError(f"{path}: damaged, so the settings of this run are unknown; choose another --out")
    if kind != "train":
        raise UsageError(f"{out}: holds a run of another command ({kind}), not a training run; choose another --out")
    return there


def train_prepared(
    name: str,
    make: Callable[[], Method],
    export: Export[Config],
    config: Config,
    hardware: Hardware,
    out: Path,
    data: Path,
    weights: Mapping[str, Path | None],
    resume: bool,
    report: Report,
) -> tuple[dict[str, float], list[Path]]:
    """Train a method on prepared clips, into the run directory `out`.

    `name`: the method's name in `run.json`. `make`: returns the method. `export`: writes the weights of the trained
    networks. `data`: the folder of prepared clips. `weights`: weight files that the method uses, by role, for example
    `expert`; None for a role without a file. `resume`: continue the run in `out`. Returns the measures of the last
    validation and the files that `export` wrote; other processes than the first return no files. Raises UsageError if
    the hardware is missing, the data cannot be used, or `out` holds another run.
    """
    refuse_to_overwrite(out, resume)
    method = make()
    config, hardware = with_precision(config, hardware, out, resume, report.say)
    fabric = launch(hardware)
    index = PreparedClips(data).about
    about = {
        "data": {"digest": index.digest, "settings": index.settings},
        "weights": {use: None if path is None else file_digest(path) for use, path in weights.items()},
    }
    on_first(fabric, lambda: describe(out, name, config, hardware, about, resume))
    return train_and_export(fabric, method, export, config, hardware, out, report)


def train_and_export(
    fabric: Fabric,
    method: Method,
    export: Export[Config],
    config: Config,
    hardware: Hardware,
    out: Path,
    report: Report,
) -> tuple[dict[str, float], list[Path]]:
    """Run the training loop, and return the last validation and the files that `export` wrote on the first process."""
    measures = _run_loop(fabric, method, config, hardware, out, report)
    files: list[Path] = []
    if fabric.is_global_zero:
        files = export(trained_networks(method, config, out), config, out)
    fabric.barrier()
    return measures, files


def _run_loop(
    fabric: Fabric, method: Method, config: Config, hardware: Hardware, out: Path, report: Report
) -> dict[str, float]:
    """Run the training loop and return the last validation. Only the first process reports progress."""
    with (report if fabric.is_global_zero else Report()).counting("training", config.steps) as counter:
        for _step in range(_steps_done(out)):
            counter.advance("training")

        def on_step(step: int, row: dict[str, float]) -> None:
            best = None if method.best is None else method.best[0]
            shown = f"loss {row['loss']:.3f}"
            if best in row:
                shown += f", {best} {row[best]:.3f}"
            counter.advance(shown)

        schedule = config.schedule()
        # A full GPU raises an error without this limit, and its driver maps more memory than the machine has.
        with limited_memory() if fabric.device.type == "cpu" else nullcontext():
            return train(fabric, method, schedule, out, config.seed, hardware.loaders, on_step, hardware.compiled)


def trained_networks(method: Method, config: Config, out: Path) -> dict[str, nn.Module]:
    """Return the networks of `best.ckpt` if `config.export` is `best` and it exists, or else of `last.ckpt`."""
    best = out / BEST
    networks = method.networks()
    state = read_checkpoint(best if config.export == "best" and best.exists() else out / LAST)
    for name, network in networks.items():
        network.load_state_dict(state["networks"][name])
    return networks


def on_first(fabric: Fabric, work: Callable[[], None]) -> None:
    """Call `work` on the first process while the others wait.

    An LseBenchError of `work` becomes a UsageError on all processes.
    """
    reason = ""
    if fabric.is_global_zero:
        try:
            work()
        except LseBenchError as error:
            reason = str(error)
    reason = fabric.broadcast(reason)
    if reason:
        raise UsageError(reason)


def _steps_done(out: Path) -> int:
    last = out / LAST
    return int(read_checkpoint(last)["step"]) if last.exists() else 0


def describe(out: Path, method: str, config: Config, hardware: Hardware, about: dict[str, Any], resume: bool) -> None:
    """Write `run.json` into `out`.

    `about`: further facts that identify the run, such as the digest of its data. A resumed run must have the same
    method, config and `about`; the versions and machine on which it continues are added. Raises UsageError if they
    differ, or if `run.json` is damaged or belongs to another command.
    """
    path = out / RUN_FILE
    now = surroundings("lightning-fabric", "safetensors")
    described = {"config": config.model_dump(mode="json"), **about}
    description = {
        "schema": 1,
        "kind": "train",
        "method": method,
        **described,
        "hardware": {
            **{name: getattr(hardware, name) for name in ("accelerator", "devices", "nodes", "precision")},
            "precision_reason": hardware.reason,
        },
        **now,
    }
    there = _begun(out)
    if there is not None and resume:
        ours = {"method": method, **described}
        refuse_another(out, "a training run", {name: there.get(name) for name in ours}, ours)
        description = there | joined(there, now)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json_bytes(description))
