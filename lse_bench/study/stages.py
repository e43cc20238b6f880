"""The stages of a rater, from the consent to the end, and the reading of their answers. All of it without I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lse_bench.study.folder import Study
from lse_bench.study.plan import Step
from lse_bench.study.sheet import LEFT, NONE, PAIR_QUESTION, RIGHT

CONSENT, EXAMPLE, END, SOUND_FAILED = "consent", "example", "end", "sound_failed"
SOUND = "sound"
MOST_TEXT = 2000  # characters of a free answer
_RIGHT, _CHECKS = 2, 3  # numbers of beeps that must be right, and that are asked for at most
_EARLY = 0.9  # of the length of the clips: an answer that comes earlier was given without playing them to the end
_MOST_PLAYS = 1000


class FormError(Exception):
    """An answer that is not stored. `text`: the name of the text of the page that says why."""

    def __init__(self, text: Literal["not_played", "not_answered", "wrong_form"]) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class Stage:
    """What a rater sees now.

    `id`: the name under which answers are stored. `kind`: what kind of page it is. `clips`: the names of its clips.
    `step`: the step of the plan, None before and after the plan.
    """

    id: str
    kind: Literal["consent", "sound", "example", "rating", "pair", "between", "end", "sound_failed"]
    clips: tuple[str, ...] = ()
    step: Step | None = None


def before_plan(study: Study, plan: int) -> list[Stage]:
    """Return the stages before a plan. Each plan has sound checks of its own, so that a constant guess fails."""
    order = random.Random(f"{study.id}/{plan}")  # noqa: S311 - an order, not a secret
    beeps = order.sample([clip.name for clip in study.clips if clip.purpose == "sound"], _CHECKS)
    examples = tuple(clip.name for clip in study.clips if clip.purpose == "example")
    return [
        Stage(CONSENT, "consent"),
        *(Stage(f"{SOUND}{number}", "sound", (name,)) for number, name in enumerate(beeps, 1)),
        Stage(EXAMPLE, "example", examples),
    ]


def of_plan(study: Study, plan: int) -> list[Stage]:
    """Return the stages of a plan."""
    return [
        Stage(step.id, step.kind, step.clips, step)
        for step in study.plans[plan]
        if step.kind != "between" or study.sheet.between
    ]


def all_stages(study: Study, plan: int) -> list[Stage]:
    """Return every stage of a rater."""
    return [*before_plan(study, plan), *of_plan(study, plan)]


def beeps_of(study: Study, stage: Stage) -> str:
    """Return the number of beeps of a sound check."""
    return study.clip(stage.clips[0]).method


def heard(study: Study, plan: int, answered: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether a rater passed the sound check: the number of beeps was right twice."""
    return _counted(study, plan, answered).count(True) >= _RIGHT


def _counted(study: Study, plan: int, answered: Mapping[str, Mapping[str, str]]) -> list[bool]:
    """Return for each sound check that was answered whether its number of beeps was right."""
    return [
        answered[stage.id].get("beeps") == beeps_of(study, stage)
        for stage in before_plan(study, plan)
        if stage.kind == "sound" and stage.id in answered
    ]


def now_and_next(study: Study, plan: int | None, answered: Mapping[str, Mapping[str, str]]) -> tuple[Stage, Stage]:
    """Return the stage of a rater, and the one that most probably follows.

    `plan`: the number of the plan, None before the consent. `answered`: the answers so far, by stage and question.
    """
    end = Stage(END, "end")
    if plan is None:
        return Stage(CONSENT, "consent"), end
    left = [stage for stage in all_stages(study, plan) if stage.id not in answered and stage.kind != "consent"]
    if heard(study, plan, answered):
        left = [stage for stage in left if stage.kind != "sound"]
    elif _counted(study, plan, answered).count(False) > _CHECKS - _RIGHT:
        failed = Stage(SOUND_FAILED, "sound_failed")
        return failed, failed
    return left[0] if left else end, left[1] if left[1:] else end


def read_answers(study: Study, stage: Stage, form: Mapping[str, str]) -> dict[str, str]:
    """Return the answers of a form by question. Raises FormError if one is missing or not allowed."""
    if stage.kind == "rating":
        return {
            question.id: _choice(form, question.id, [str(point) for point in range(1, question.points + 1)])
            for question in study.sheet.questions
        }
    if stage.kind == "pair":
        return {PAIR_QUESTION: _choice(form, PAIR_QUESTION, (LEFT, RIGHT, NONE))}
    if stage.kind == "between":
        found = {}
        for asked in study.sheet.between:
            if asked.choices:
                found[asked.id] = asked.choices[
                    int(_choice(form, asked.id, [str(n) for n in range(len(asked.choices))]))
                ]
            else:
                found[asked.id] = _free_text(form.get(asked.id, ""))
        return found
    if stage.kind == "sound":
        return {"beeps": _choice(form, "beeps", [str(number) for number in range(10)])}
    if stage.kind in ("consent", "example"):
        return {"agreed": "yes"}
    raise FormError("wrong_form")


def _choice(form: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    if not form.get(name):
        raise FormError("not_answered")
    if form[name] not in allowed:
        raise FormError("wrong_form")
    return form[name]


def _free_text(given: str) -> str:
    """Return a free answer without control characters, except line breaks, which browsers count as one character."""
    text = given.replace("\r\n", "\n")
    if len(text) > MOST_TEXT:
        raise FormError("wrong_form")
    return "".join(letter for letter in text if letter == "\n" or letter.isprintable()).strip()


def read_plays(stage: Stage, form: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return how often each clip was played to its end, and how long its first full play took, as texts.

    Raises FormError if a clip was not played.
    """
    if not stage.clips:
        return None, None
    try:
        plays = [int(part) for part in form.get("plays", "").split()]
        played = [float(part) for part in form.get("played", "").split()]
    except ValueError:
        raise FormError("wrong_form") from None
    if not all(0 <= count <= _MOST_PLAYS for count in plays) or not all(0 <= s < math.inf for s in played):
        raise FormError("wrong_form")
    if len(plays) != len(stage.clips) or len(played) != len(stage.clips) or not all(plays):
        raise FormError("not_played")
    return " ".join(map(str, plays)), " ".join(f"{min(seconds, 1e6):.2f}" for seconds in played)


def refuse_early(study: Study, stage: Stage, seconds: float | None) -> None:
    """Raise FormError if an answer came before the clips can have been played.

    `seconds`: since the stage was shown; None if it never was.
    """
    least = _EARLY * sum(study.clip(name).seconds for name in stage.clips)
    if stage.clips and (seconds is None or seconds < least):
        raise FormError("not_played")
