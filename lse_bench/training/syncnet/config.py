"""The configuration of a SyncNet training run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lse_bench.training.config import RunConfig, Section
from lse_bench.training.corpus_config import CorpusConfig


class BatchConfig(Section):
    """The composition of a batch: `windows` windows from each of `clips` clips.

    Windows of the same clip are the hard negatives.
    """

    clips: int = Field(gt=0)
    windows: int = Field(gt=0)


class ChangeConfig(Section):
    """The augmentation of a batch, drawn once for each clip.

    `crop`: the smallest share of the frame's side that is kept. `brightness`: the range of the gain. `offset`: the
    largest change of all pixel values, of 255. `colour`: the largest relative gain of a colour channel. `shadow`: the
    largest relative gain of a smooth shadow. `noise`: the largest standard deviation of pixel noise. `blur`, `cover`:
    the probability of a blur, and of rectangles over the upper face. `energy`: the largest change of MFCC 0. `timbre`:
    the standard deviation of a constant change of MFCC 1-12.
    """

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
    """The guide's weight at the first step. It falls linearly to 0 over `steps`; 0 steps switch the guide off."""

    weight: float = Field(ge=0)
    steps: int = Field(ge=0)

    def at(self, step: int) -> float:
        """Return the guide's weight at a step. Steps count from 0."""
        return self.weight * max(0.0, 1 - step / self.steps) if self.steps else 0.0


class TrainConfig(RunConfig):
    """All settings of a SyncNet training run.

    `width`: a factor on the channel counts of the published network. `margin`: only for the contrastive loss. `rate`:
    the learning rate of AdamW. `validation_clips`: the largest number of held-out clips in a validation.
    """

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
