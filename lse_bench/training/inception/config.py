"""The configuration of an Inception training run."""

from __future__ import annotations

from pydantic import Field

from lse_bench.training.config import RunConfig, Section
from lse_bench.training.corpus_config import CorpusConfig


class BatchConfig(Section):
    """The composition of a batch of single frames.

    `frames`: their number. `size`: their side in pixels, before the network enlarges them. `faces`: the share of frames
    that are cut to the face. `damaged`: the share that is damaged; a third of these has a second damage.
    """

    frames: int = Field(gt=0)
    size: int = Field(gt=0)
    faces: float = Field(ge=0, le=1)
    damaged: float = Field(ge=0, le=1)


class LossConfig(Section):
    """The weights of the losses: who it is, the facts that the renderer knows, and the strengths of the damage."""

    who: float = Field(ge=0)
    facts: float = Field(ge=0)
    damage: float = Field(ge=0)


class InceptionConfig(RunConfig):
    """All settings of an Inception training run.

    `width`: a factor on the channel counts of the published network. `rate`: the learning rate of AdamW. `every`: every
    `every`-th frame of a clip is used. `validation_frames`: the number of held-out frames in a validation.
    """

    width: float = Field(gt=0, le=1, multiple_of=0.125)
    rate: float = Field(gt=0)
    weight_decay: float
    every: int = Field(gt=0)
    validation_frames: int = Field(gt=0)
    batch: BatchConfig
    loss: LossConfig
    corpus: CorpusConfig
