"""Whose answers are used, by stated rules. Two sets: *accepted* did the work, *used* passed the checks too.

Researchers pay the accepted raters. The rules follow microsoft/P.910, with one difference: it asks for a correlation
with other raters of 0.75. With 12 ratings, it would exclude 38 % of simulated honest raters
(measurements/quality/careless.py). So the least correlation is lower here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lse_bench.errors import UsageError
from lse_bench.storage import parse_toml, read_text
from lse_bench.study.answers import Answer, Rater
from lse_bench.study.folder import Study
from lse_bench.study.plan import REAL, Step
from lse_bench.study.sheet import LEFT, NONE, PAIR_QUESTION, RIGHT
from lse_bench.study.stages import CONSENT, EXAMPLE, heard, of_plan

_LEAST_SHARED = 8  # trials that a rater shares with others, below which their agreement says nothing
_EQUAL = 1e-9  # what rounding may leave of equal means
Scores = Mapping[tuple[str, ...], float]  # one number for each trial, by its clips
_SIDE = {LEFT: 1.0, NONE: 0.0, RIGHT: -1.0}


class Rules(BaseModel):
    """The rules by which raters are used. A rule that is null does not hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    attention: float | None = Field(default=0.5, ge=0, le=1)
    """Least share of attention checks that are passed."""
    most_for_moved_sound: float = Field(default=0.25, ge=0, le=1)
    """Where on the scale of a sync question, from 0 to 1, a plainly desynchronised clip may be rated at most."""
    gold: float | None = Field(default=0.5, ge=0, le=1)
    """Least share of gold answers within their tolerance."""
    repeat_difference: float | None = Field(default=0.5, ge=0, le=1)
    """Largest mean difference of two ratings of a repeated clip, as a share of the scale."""
    least_variance: float | None = Field(default=0.15, ge=0)
    """Least variance of a rater's answers to one question over all trials; of all questions, the largest counts."""
    most_play_time: float | None = Field(default=1.15, ge=1)
    """Longest time of playing, in lengths of the clip. Longer ones stalled."""
    stalled: float | None = Field(default=0.25, ge=0, le=1)
    """Largest share of trials that stalled."""
    least_agreement: float | None = Field(default=0.3, ge=-1, le=1)
    """Least correlation of a rater's ratings with the mean of the others, over the trials that they share."""
    least_agreement_pairs: float | None = Field(default=0.0, ge=-1, le=1)
    """The same for comparisons, in which honest raters agree less."""


RULES = Rules()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of one rater.

    `accepted`: did the whole work, with sound. `used`: passed the checks too. `reasons`: names of the rules that
    exclude the rater.
    """

    rater: Rater
    accepted: bool
    used: bool
    reasons: list[str] = field(default_factory=list)


def read_rules(path: Path) -> Rules:
    """Read rules from TOML; what is absent keeps its default. `rule = "none"` switches a rule off.

    Raises UsageError that names the wrong rule.
    """
    content = {name: None if value == "none" else value for name, value in parse_toml(read_text(path), path).items()}
    try:
        return Rules.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}. There are: {', '.join(Rules.model_fields)}"
        ) from None


def judge(study: Study, raters: Sequence[Rater], answers: Sequence[Answer], rules: Rules = RULES) -> list[Judgement]:
    """Judge every rater who began and has not withdrawn."""
    given: dict[int, list[Answer]] = {}
    for answer in answers:
        given.setdefault(answer.rater, []).append(answer)
    begun = [rater for rater in raters if rater.plan is not None and rater.withdrawn is None]
    own = {rater.number: _Own(study, rater, given.get(rater.number, [])) for rater in begun}
    least = {"rating": rules.least_agreement, "pair": rules.least_agreement_pairs}
    scores = {kind: Agreement({number: one.scores(kind) for number, one in own.items()}) for kind in least}
    found = []
    for rater in begun:
        one = own[rater.number]
        not_done = one.not_done()
        failed = [] if not_done else one.failed(rules)
        for kind, limit in least.items():
            agreement = None if limit is None else scores[kind].of(rater.number)
            if limit is not None and agreement is not None and agreement < limit and not not_done:
                failed.append("least_agreement" if kind == "rating" else "least_agreement_pairs")
        found.append(Judgement(rater, not not_done, not not_done and not failed, not_done or failed))
    return found


class _Own:
    """The answers of one rater by step and question."""

    def __init__(self, study: Study, rater: Rater, answers: Sequence[Answer]) -> None:
        assert rater.plan is not None
        self._study, self._plan = study, rater.plan
        self._steps = [stage.step for stage in of_plan(study, rater.plan) if stage.step is not None]
        self._answers = answers
        self._values: dict[str, dict[str, str]] = {}
        for answer in answers:
            self._values.setdefault(answer.step, {})[answer.question] = answer.value
        self._points = {question.id: question.points for question in study.sheet.questions}
        self._length = {clip.name: clip.seconds for clip in study.clips}
        self._method = {clip.name: clip.method for clip in study.clips}

    def not_done(self) -> list[str]:
        """Return why the work was not done."""
        if any(name not in self._values for name in (CONSENT, EXAMPLE, *(step.id for step in self._steps))):
            return ["not finished"]
        return [] if heard(self._study, self._plan, self._values) else ["sound check"]

    def failed(self, rules: Rules) -> list[str]:
        """Return the names of the rules that this rater's own answers break."""
        found = []
        checks = self._attention(rules)
        if rules.attention is not None and checks and np.mean(checks) < rules.attention:
            found.append("attention")
        gold = self._gold()
        if rules.gold is not None and gold and np.mean(gold) < rules.gold:
            found.append("gold")
        differences = self._repeats()
        if rules.repeat_difference is not None and differences and np.mean(differences) > rules.repeat_difference:
            found.append("repeat_difference")
        spread = self._variance()
        if rules.least_variance is not None and spread is not None and spread < rules.least_variance:
            found.append("least_variance")
        stalls = self._stalls(rules)
        if rules.stalled is not None and stalls and np.mean(stalls) > rules.stalled:
            found.append("stalled")
        return found

    def scores(self, kind: str) -> Scores:
        """Return one number for each trial of a kind: the mean place on the scales, or the side."""
        found = {}
        for step in self._steps:
            values = self._values.get(step.id)
            if step.role != "trial" or step.kind != kind or values is None:
                continue
            if kind == "pair":
                side = _SIDE[values[PAIR_QUESTION]]
                found[tuple(sorted(step.clips))] = side if list(step.clips) == sorted(step.clips) else -side
            else:
                found[step.clips] = float(np.mean([self._place(name, values[name]) for name in self._points]))
        return found

    def _place(self, question: str, value: str) -> float:
        """Return where on its scale a rating is, from 0 to 1."""
        return (float(value) - 1) / (self._points[question] - 1)

    def _attention(self, rules: Rules) -> list[bool]:
        found = []
        for step in self._of("attention"):
            values = self._values[step.id]
            if step.kind == "pair":
                right = LEFT if self._method[step.clips[0]] == REAL else RIGHT
                found.append(values[PAIR_QUESTION] == right)
                continue
            asked = [question for question in self._study.sheet.questions if question.sync]
            places = [self._place(question.id, values[question.id]) for question in asked]
            liked = [1 - p if question.better == "low" else p for question, p in zip(asked, places, strict=True)]
            if liked:
                found.append(max(liked) <= rules.most_for_moved_sound)
        return found

    def _gold(self) -> list[bool]:
        known = [(gold.clip, gold.question, gold.value, gold.tolerance) for gold in self._study.gold]
        return [
            abs(float(self._values[step.id][question]) - value) <= tolerance
            for step in self._of("gold")
            for clip, question, value, tolerance in known
            if clip == step.clips[0]
        ]

    def _repeats(self) -> list[float]:
        """Return the differences of two ratings of a repeated clip, as shares of the scale.

        Repeated pairs do not count: an honest rater may choose either of two clips that are alike.
        """
        found = []
        for step in self._of("repeat"):
            first, again = self._values[str(step.repeats)], self._values[step.id]
            if step.kind == "rating":
                found += [abs(self._place(name, first[name]) - self._place(name, again[name])) for name in self._points]
        return found

    def _variance(self) -> float | None:
        """Return the largest variance of the answers to one question; None with fewer than four trials of a kind."""
        found = []
        rated = [self._values[step.id] for step in self._steps if step.kind == "rating"]
        sides = [_SIDE[self._values[step.id][PAIR_QUESTION]] for step in self._steps if step.kind == "pair"]
        if len(rated) >= 4:
            found += [float(np.var([float(values[name]) for values in rated])) for name in self._points]
        if len(sides) >= 4:
            found.append(float(np.var(sides)))
        return max(found, default=None)

    def _stalls(self, rules: Rules) -> list[bool]:
        if rules.most_play_time is None:
            return []
        clips = {step.id: step.clips for step in self._steps if step.kind != "between"}
        once = {answer.step: answer.played for answer in self._answers if answer.step in clips and answer.played}
        return [
            any(
                float(seconds) > rules.most_play_time * self._length[name] + 0.5
                for seconds, name in zip(str(played).split(), clips[step], strict=False)
            )
            for step, played in once.items()
        ]

    def _of(self, role: str) -> list[Step]:
        return [step for step in self._steps if step.role == role]


class Agreement:
    """The correlation of each rater's answers with the means of the others. `scores`: by rater and trial."""

    def __init__(self, scores: Mapping[int, Scores]) -> None:
        self._scores = scores
        self._sums: dict[tuple[str, ...], tuple[float, int]] = {}
        for own in scores.values():
            for key, value in own.items():
                total, count = self._sums.get(key, (0.0, 0))
                self._sums[key] = (total + value, count + 1)

    def of(self, number: int) -> float | None:
        """Return the correlation of a rater; None if too few trials are shared, or if all answers are equal."""
        own = self._scores[number]
        shared = [key for key in own if self._sums[key][1] > 1]
        if len(shared) < _LEAST_SHARED:
            return None
        mine = [own[key] for key in shared]
        others = [(self._sums[key][0] - own[key]) / (self._sums[key][1] - 1) for key in shared]
        if np.ptp(mine) < _EQUAL or np.ptp(others) < _EQUAL:
            return None
        return float(np.corrcoef(mine, others)[0, 1])


def reasons_counted(judgements: Sequence[Judgement]) -> dict[str, int]:
    """Return how many raters each rule excludes; a rater may break several."""
    return dict(Counter(reason for one in judgements for reason in one.reasons))
