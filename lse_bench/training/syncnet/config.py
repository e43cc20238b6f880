"""The config of SyncNet's training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lse_bench.minilrs.plan import Spec
from lse_bench.training.config import RunConfig, Section


class CorpusConfig(Section):
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


class BatchConfig(Section):
    """`clips` times `windows` of each make a batch; windows of one clip are the hard negatives."""

    clips: int = Field(gt=0)
    windows: int = Field(gt=0)


class ChangeConfig(Section):
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


class GuideConfig(Section):
    """The weight of the guide at the start; it falls to 0 over `steps`, which may be 0."""

    weight: float = Field(ge=0)
    steps: int = Field(ge=0)

    def at(self, step: int) -> float:
        """The weight at a step, counted from 0."""
        return self.weight * max(0.0, 1 - step / self.steps) if self.steps else 0.0


class TrainConfig(RunConfig):
    """Everything that a training run of SyncNet follows from."""

    width: float = Field(gt=0, le=1)
    loss: Literal["infonce", "contrastive"]
    margin: float
    rate: float = Field(gt=0)
    weight_decay: float
    validation_clips: int = Field(gt=0)
    batch: BatchConfig
    guide: GuideConfig
    change: ChangeConfig
    corpus: CorpusConfig
