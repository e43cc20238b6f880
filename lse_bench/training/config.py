"""What a SyncNet training run follows from: a TOML file, checked field by field."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lse_bench.errors import UsageError
from lse_bench.minilrs.plan import Spec
from lse_bench.training.loop import Precision, Schedule


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusConfig(_Section):
    """The MiniLRS corpus that is made when no other is given; see `minilrs.plan.Spec`."""

    flavour: Literal["lrs2", "lrs3", "lrw"]
    speakers: int
    clips: int
    seed: int
    style: Literal["plain", "marked", "mixed"]
    frames: int | None = None

    def spec(self) -> Spec:
        """The same as a specification."""
        return Spec(**self.model_dump())


class BatchConfig(_Section):
    """`clips` times `windows` of each make a batch; windows of one clip are the hard negatives."""

    clips: int = Field(gt=0)
    windows: int = Field(gt=0)


class ChangeConfig(_Section):
    """Augmentation, drawn for each clip of a batch (ranges) or as a chance."""

    crop: float = Field(gt=0, le=1)
    brightness: tuple[float, float]
    offset: float
    colour: float
    shadow: float
    noise: float
    blur: float = Field(ge=0, le=1)
    cover: float = Field(ge=0, le=1)
    energy: float
    timbre: float


class GuideConfig(_Section):
    """The weight of the guide at the start; it falls to 0 over `steps`, which may be 0."""

    weight: float = Field(ge=0)
    steps: int = Field(ge=0)

    def at(self, step: int) -> float:
        """The weight at a step, counted from 0."""
        return self.weight * max(0.0, 1 - step / self.steps) if self.steps else 0.0


class TrainConfig(_Section):
    """Everything that a training run follows from."""

    width: float = Field(gt=0, le=1)
    loss: Literal["infonce", "contrastive"]
    margin: float
    seed: int
    precision: Precision
    steps: int = Field(gt=0)
    rate: float = Field(gt=0)
    warm_up: int
    floor: float
    weight_decay: float
    clip_gradient: float
    validate_every: int = Field(gt=0)
    validation_clips: int = Field(gt=0)
    save_every: int = Field(gt=0)
    batch: BatchConfig
    guide: GuideConfig
    change: ChangeConfig
    corpus: CorpusConfig

    def changed(self, values: dict[str, object]) -> TrainConfig:
        """A copy with some fields replaced. Raises UsageError for values that make no sense."""
        return _checked("option", self.model_dump() | values)

    def schedule(self) -> Schedule:
        """The part that the loop needs."""
        return Schedule(
            steps=self.steps,
            rate=self.rate,
            warm_up=self.warm_up,
            floor=self.floor,
            weight_decay=self.weight_decay,
            clip_gradient=self.clip_gradient,
            validate_every=self.validate_every,
            save_every=self.save_every,
        )


def load_config(name_or_path: str) -> TrainConfig:
    """A config of this package by name, or a TOML file. Raises UsageError naming the field that is wrong."""
    path = Path(name_or_path)
    packaged = files("lse_bench.training").joinpath("configs", f"{name_or_path}.toml")
    if path.suffix != ".toml" and packaged.is_file():
        text = packaged.read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        folder = files("lse_bench.training").joinpath("configs")
        names = ", ".join(sorted(item.name.removesuffix(".toml") for item in folder.iterdir()))
        raise UsageError(f"no config called {name_or_path}, and no such file. There are: {names}")
    try:
        return _checked(name_or_path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name_or_path}: not TOML: {error}") from None


def _checked(source: str, fields: dict[str, Any]) -> TrainConfig:
    try:
        return TrainConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
