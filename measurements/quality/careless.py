"""How many honest and how many careless raters the checks of a study exclude.

    python -m measurements.quality.careless [--studies 60]

Raters are simulated: honest ones have their own level and opinions, as `Spread` says; `random` ones answer by chance;
`line` ones always give the same answer; `waverer` ones answer by chance in every second trial. One rater in eight is
careless. Prints the share that is excluded, and by which rules.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lse_bench.study.answers import Answer, Rater
from lse_bench.study.checks import RULES, Judgement, Rules, judge
from lse_bench.study.folder import Study, StudyClip
from lse_bench.study.plan import MOVED, Design, Step, plan_of
from lse_bench.study.power import SPREAD
from lse_bench.study.sheet import Kind, preset_sheet
from lse_bench.study.stages import beeps_of, before_plan

METHODS = ("real", "unsynced", "a", "b")
LEVELS = {"real": 4.4, "a": 3.6, "b": 3.0, "unsynced": 2.2, MOVED: 1.3}
CARELESS = ("random", "line", "waverer")
PRESETS: dict[Kind, str] = {"rating": "rating", "pairwise": "pairwise", "both": "wav2lip-paper"}


def made(kind: Kind, trials: int, raters: int, sources: int = 20) -> Study:
    """A study without files."""
    clips = [
        StudyClip(
            name=f"{source}-{method}",
            purpose="trial",
            item=f"s{source}",
            method=method,
            sha256="",
            frames=75,
            seconds=3.0,
        )
        for source in range(sources)
        for method in (*METHODS, MOVED)
    ]
    beeps = [
        StudyClip(name=f"beeps{count}", purpose="sound", method=str(count), sha256="", frames=75, seconds=3.0)
        for count in range(3, 9)
    ]
    design = Design(
        kind=kind,
        sources=[f"s{source}" for source in range(sources)],
        methods=METHODS,
        trials=trials,
        clips={(clip.item or "", clip.method): clip.name for clip in clips},
        gold=(),
        seed=0,
    )
    return Study(
        id="0" * 16,
        created="",
        manifest_sha256="",
        corpus="",
        licence=None,
        contact=None,
        methods=list(METHODS),
        items=list(design.sources),
        trials=trials,
        raters=raters,
        seed=0,
        invited=False,
        completion_code=None,
        completion_url=None,
        sheet=preset_sheet(PRESETS[kind]),
        estimates=[],
        clips=[*clips, *beeps],
        plans=[list(plan_of(design, rater)) for rater in range(raters)],
    )


def rater_of(number: int) -> Rater:
    """A rater who has finished the plan of the same number."""
    return Rater(number + 1, f"t{number}", number, None, None, None, None, 0.0, 1.0, 1.0, None)


class Person:
    """A simulated rater."""

    def __init__(self, study: Study, mood: str, rng: np.random.Generator) -> None:
        self._study, self._mood, self._rng = study, mood, rng
        self._level = rng.normal(0, SPREAD.rater)
        self._own = {method: rng.normal(0, SPREAD.rater_method) for method in LEVELS}
        self._there = {}
        self._line = int(rng.integers(1, 6))

    def answers(self, number: int, plan: Sequence[Step], there: dict[tuple[str, str], float]) -> list[Answer]:
        """All answers of this rater. `there`: how the clip of a source and method differs from its method."""
        self._there = there
        found = [Answer(number, step, "agreed", "yes", 0.0, 5.0, None, None) for step in ("consent", "example")]
        for stage in before_plan(self._study, number - 1):
            if stage.kind == "sound":
                found.append(Answer(number, stage.id, "beeps", beeps_of(self._study, stage), 0.0, 5.0, "1", "3.0"))
        for place, step in enumerate(plan):
            if step.kind == "between":
                values = {"trouble": "no", "remarks": ""}
            elif step.kind == "pair":
                values = {"preference": self._side(step, place)}
            else:
                values = {
                    question.id: str(self._point(step.clips[0], place)) for question in self._study.sheet.questions
                }
            played = None if step.kind == "between" else " ".join("3.05" for _ in step.clips)
            found += [Answer(number, step.id, name, value, 0.0, 9.0, "1", played) for name, value in values.items()]
        return found

    def _careless(self, place: int) -> bool:
        return self._mood in ("random", "line") or (self._mood == "waverer" and place % 2 == 0)

    def _liking(self, name: str) -> float:
        source, method = name.split("-")
        shared = self._there.get((source, method), 0.0)
        return LEVELS[method] + self._own[method] + shared + self._rng.normal(0, SPREAD.rest)

    def _point(self, name: str, place: int) -> int:
        if self._mood == "line":
            return self._line
        if self._careless(place):
            return int(self._rng.integers(1, 6))
        return int(np.clip(round(self._liking(name) + self._level), 1, 5))

    def _side(self, step: Step, place: int) -> str:
        if self._mood == "line":
            return "left"
        if self._careless(place):
            return str(self._rng.choice(["left", "right", "none"]))
        left, right = (self._liking(name) for name in step.clips)
        return "none" if abs(left - right) < 0.2 else "left" if left > right else "right"


def judged(study: Study, moods: Sequence[str], rng: np.random.Generator, rules: Rules = RULES) -> list[Judgement]:
    """The judgements of a study with one rater of each mood."""
    there = {(str(s), m): rng.normal(0, SPREAD.clip_method) for s in range(len(study.items)) for m in METHODS}
    given = [
        answer
        for number, mood in enumerate(moods)
        for answer in Person(study, mood, rng).answers(number + 1, study.plans[number], there)
    ]
    return judge(study, [rater_of(number) for number in range(len(moods))], given, rules)


def excluded(kind: Kind, trials: int, studies: int, rules: Rules = RULES) -> dict[str, tuple[float, Counter[str]]]:
    """The share of raters of each mood that is excluded, and how often each rule did it."""
    study, rng = made(kind, trials, 32), np.random.default_rng(5)
    totals: Counter[str] = Counter()
    out: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    for number in range(studies):
        moods = ["honest"] * 28 + [CARELESS[(number + place) % len(CARELESS)] for place in range(4)]
        for mood, one in zip(moods, judged(study, moods, rng, rules), strict=True):
            totals[mood] += 1
            out[mood] += not one.used
            reasons.setdefault(mood, Counter()).update(one.reasons)
    return {mood: (out[mood] / total, reasons[mood]) for mood, total in totals.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=60)
    studies = parser.parse_args().studies
    print("| study | trials | raters | excluded | by rule |")
    print("|---|---:|---|---:|---|")
    kinds: tuple[Kind, ...] = ("rating", "pairwise", "both")
    for kind in kinds:
        for trials in (12, 24):
            for mood, (share, reasons) in excluded(kind, trials, studies).items():
                told = ", ".join(f"{name} {count}" for name, count in reasons.most_common())
                print(f"| {kind} | {trials} | {mood} | {share:.0%} | {told} |", flush=True)
    strict = excluded("rating", 12, studies, Rules(least_agreement=0.75))["honest"][0]
    print(f"with P.910's least correlation of 0.75, honest raters of 12 ratings that are excluded: {strict:.0%}")


if __name__ == "__main__":
    main()
