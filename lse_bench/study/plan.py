"""What one rater does, step by step: trials in blocks, with checks among them, and questions between the blocks."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lse_bench.study.assignment import PairTrial, RatingTrial, cut, pair_trials, rating_trials
from lse_bench.study.sheet import Kind

Role = Literal["trial", "attention", "repeat", "gold"]
REAL, UNSYNCED, MOVED = "real", "unsynced", "desync"
LEAST_SOURCES = 4  # fewer leave no source for the checks of a block
_MOST_IN_BLOCK = 12


class Step(BaseModel):
    """A step of a rater: a trial, or the questions between two blocks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    """The name of the step; unique in a plan."""
    kind: Literal["rating", "pair", "between"]
    """Whether a clip is rated, two clips are compared, or questions are asked between blocks."""
    clips: tuple[str, ...] = ()
    """The names of the clips; for a pair, the left one is the first."""
    role: Role = "trial"
    """What the step is for."""
    repeats: str | None = None
    """The step that a repeat repeats."""


@dataclass(frozen=True, slots=True)
class Design:
    """What plans are made from.

    `sources`, `methods`: names, in the order of the assignment. `trials`: number of trials of a rater, without checks.
    If clips are both rated and compared, one half of the trials, rounded up, are ratings. `clips`: the name of the clip
    of a source and a method; the method may be `desync`, which has a clip of every source. `gold`: clips with known
    answers. `seed`: of the order of trials.
    """

    kind: Kind
    sources: Sequence[str]
    methods: Sequence[str]
    trials: int
    clips: Mapping[tuple[str, str], str]
    gold: Sequence[str]
    seed: int

    @property
    def ratings(self) -> int:
        """The number of rating trials of a rater."""
        return {"rating": self.trials, "pairwise": 0, "both": math.ceil(self.trials / 2)}[self.kind]

    @property
    def pairs(self) -> int:
        """The number of paired trials of a rater."""
        return self.trials - self.ratings

    @property
    def most_trials(self) -> int:
        """The highest number of trials with which no rater meets a clip or a pair of clips twice."""
        ratings = len(self.sources) * len(self.methods)
        pairs = ratings * (len(self.methods) - 1) // 2
        return {"rating": ratings, "pairwise": pairs, "both": 2 * min(ratings, pairs)}[self.kind]


def plan_of(design: Design, rater: int) -> tuple[Step, ...]:
    """Return the steps of a rater, who is numbered from 0. The same design always gives the same steps."""
    shuffled = random.Random(f"{design.seed}/{rater}")  # noqa: S311 - an order, not a secret
    steps: list[Step] = []
    for number, block in enumerate(_blocks(design, rater)):
        if number:
            steps.append(Step(id=f"between{number}", kind="between"))
        steps += _block(design, shuffled, block, steps)
    steps.append(Step(id="between0", kind="between"))
    return tuple(steps)


def _blocks(design: Design, rater: int) -> Iterator[Sequence[RatingTrial | PairTrial]]:
    """Yield the trials of a rater, block by block. In a block, no source occurs twice, and one is left for a check."""
    sources, methods = len(design.sources), len(design.methods)
    for kind, count in ((rating_trials, design.ratings), (pair_trials, design.pairs)):
        if count:
            # Two blocks at least, so that a trial of the first can be repeated in the second.
            most = max(1, min(_MOST_IN_BLOCK, sources - 2, math.ceil(count / 2)))
            yield from cut(kind(rater * count, count, sources, methods), most)


def _block(
    design: Design, shuffled: random.Random, trials: Sequence[RatingTrial | PairTrial], before: Sequence[Step]
) -> list[Step]:
    """Return the steps of a block in the order in which they are shown."""
    start = sum(step.kind != "between" for step in before)
    used = {trial.source for trial in trials}
    kind: Literal["rating", "pair"] = "rating" if isinstance(trials[0], RatingTrial) else "pair"
    steps = [Step(id="", kind=kind, clips=_clips(design, trial)) for trial in trials]
    shuffled.shuffle(steps)
    checks = []
    free = [place for place in range(len(design.sources)) if place not in used]
    source_of = {name: source for (source, _), name in design.clips.items()}
    again = [
        step
        for step in before
        if step.kind == kind and step.role == "trial" and design.sources.index(source_of[step.clips[0]]) in free
    ]
    if again:
        chosen = shuffled.choice(again)
        free.remove(design.sources.index(source_of[chosen.clips[0]]))
        checks.append(chosen.model_copy(update={"role": "repeat", "repeats": chosen.id}))
    if free:
        source = design.sources[shuffled.choice(free)]
        moved = [design.clips[source, MOVED]]
        shown = moved if kind == "rating" else shuffled.sample([*moved, design.clips[source, REAL]], 2)
        checks.append(Step(id="", kind=kind, clips=tuple(shown), role="attention"))
    fresh = [name for name in design.gold if all(name not in step.clips for step in before)]
    if fresh and kind == "rating":
        checks.append(Step(id="", kind=kind, clips=(shuffled.choice(fresh),), role="gold"))
    for check in checks:  # never the first of a block, which gets used to the task
        steps.insert(shuffled.randint(1, len(steps)), check)
    return [step.model_copy(update={"id": f"trial{start + place + 1:03d}"}) for place, step in enumerate(steps)]


def _clips(design: Design, trial: RatingTrial | PairTrial) -> tuple[str, ...]:
    source = design.sources[trial.source]
    places = [trial.method] if isinstance(trial, RatingTrial) else [trial.left, trial.right]
    return tuple(design.clips[source, design.methods[place]] for place in places)
