"""The configuration of a training run: a TOML file that is checked field by field."""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from torch.optim import Optimizer

from lse_bench.errors import UsageError
from lse_bench.precision import Asked
from lse_bench.storage import parse_toml, read_text
from lse_bench.training.loop import Schedule

# A factor on the channel counts of the published networks. It is a multiple of 1/16 because their narrowest hidden
# layer has 16 channels.
Width = Annotated[float, Field(gt=0, le=1, multiple_of=1 / 16)]


class Section(BaseModel):
    """A table of a configuration. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerConfig(Section):
    """The settings of an optimiser. Only SGD uses `momentum`; only Adam and AdamW use `betas`."""

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    weight_decay: float = 0.0

    def of(self, network: nn.Module) -> Optimizer:
        """Return an optimiser of all parameters of `network`."""
        parameters = list(network.parameters())
        if self.kind == "sgd":
            return torch.optim.SGD(parameters, self.rate, self.momentum, weight_decay=self.weight_decay)
        kind = torch.optim.Adam if self.kind == "adam" else torch.optim.AdamW
        return kind(parameters, self.rate, self.betas, weight_decay=self.weight_decay)


class RunConfig(Section):
    """The settings that every training run has; `loop.Schedule` describes most of them.

    `export`: the checkpoint that the exported weights come from. `precision`: `auto` takes bf16 if the hardware
    computes it faster than fp32, and fp32 otherwise.
    """

    seed: int
    precision: Asked
    steps: int = Field(gt=0)
    accumulate: int = Field(default=1, gt=0)
    warm_up: int = Field(default=0, ge=0)
    floor: float = Field(default=1.0, ge=0, le=1)
    clip_gradient: float = Field(default=0.0, ge=0)
    validate_every: int = Field(gt=0)
    save_every: int = Field(gt=0)
    patience: int = Field(default=0, ge=0)
    export: Literal["last", "best"] = "last"

    def changed(self, values: dict[str, object]) -> Self:
        """Return a copy with the fields in `values` replaced. Raises UsageError if a value is invalid."""
        return checked(type(self), "option", self.model_dump() | values)

    def schedule(self) -> Schedule:
        """Return the fields that the loop needs."""
        return Schedule(**{field.name: getattr(self, field.name) for field in fields(Schedule)})


Config = TypeVar("Config", bound=RunConfig)


def load_config(name_or_path: str, kind: type[Config], package: str) -> Config:
    """Read a configuration from the folder `configs` of `package` by name, or from a TOML file.

    Raises UsageError if neither exists, if the file is not TOML, or if a field is wrong. The message names the field.
    """
    path = Path(name_or_path)
    folder = files(package).joinpath("configs")
    packaged = folder.joinpath(f"{name_or_path}.toml")
    if path.suffix != ".toml" and packaged.is_file():
        text = packaged.read_text(encoding="utf-8")
    elif path.is_file():
        text = read_text(path)
    else:
        names = ", ".join(sorted(item.name.removesuffix(".toml") for item in folder.iterdir()))
        raise UsageError(f"no config and no file is called {name_or_path}. There are: {names}")
    return checked(kind, name_or_path, parse_toml(text, name_or_path))


def checked(kind: type[Config], source: str, values: dict[str, Any]) -> Config:
    """Return a configuration of type `kind`. Raises UsageError that names `source` and the first wrong field."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = min(error.errors(), key=lambda found: found["type"] == "missing")  # wrong fields before missing ones
        raise UsageError(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
