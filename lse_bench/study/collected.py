"""The answers of a study as votes for the analysis, and as rows for a table."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from lse_bench.study.answers import Answer
from lse_bench.study.checks import Judgement
from lse_bench.study.folder import Secret, Study
from lse_bench.study.server.service import code_of
from lse_bench.study.sheet import LEFT, PAIR_QUESTION, RIGHT
from lse_bench.study.stages import all_stages
from lse_bench.study.votes import Comparison, Rating, Votes
from lse_bench.tables import escape


class Row(NamedTuple):
    """An answer in the export. Absent values are empty.

    `study`: the id of the study. `rater`: the number of the rater. `code`: the rater's completion code. `platform`,
    `platform_id`, `platform_session`: where the rater comes from. `accepted`, `used`: whether the rater's work was done
    and whether the answers are used: yes or no. `reasons`: the rules that exclude the
    rater. `plan`, `step`, `role`: the place in the study. `item`, `method`,
    `method_b`: what was shown; of a pair, `method` was on the left. `question`, `value`: the answer; for pairs left,
    right or none. `at`: when it came, UTC. `seconds`: from the first showing to the answer. `plays`: full plays of each
    clip. `played`: seconds of its first full play.
    """

    study: str
    rater: int
    code: str
    platform: str
    platform_id: str
    platform_session: str
    accepted: str
    used: str
    reasons: str
    plan: int
    step: str
    role: str
    item: str
    method: str
    method_b: str
    question: str
    value: str
    at: str
    seconds: str
    plays: str
    played: str


def rows_of(study: Study, secret: Secret, judgements: Sequence[Judgement], answers: Sequence[Answer]) -> list[Row]:
    """Return one row for each answer, in the order of raters and times."""
    by_rater = {one.rater.number: one for one in judgements}
    clips = {clip.name: clip for clip in study.clips}
    stages = {plan: {stage.id: stage for stage in all_stages(study, plan)} for plan in range(len(study.plans))}
    found = []
    for answer in answers:
        if answer.rater not in by_rater:
            continue
        judged = by_rater[answer.rater]
        rater = judged.rater
        assert rater.plan is not None
        stage = stages[rater.plan][answer.step]
        shown = [clips[name] for name in stage.clips]
        found.append(
            Row(
                study=study.id,
                rater=rater.number,
                code=code_of(study, secret, rater.token),
                platform=rater.platform or "",
                platform_id=rater.platform_id or "",
                platform_session=rater.platform_session or "",
                accepted="yes" if judged.accepted else "no",
                used="yes" if judged.used else "no",
                reasons=" ".join(name.replace(" ", "_") for name in judged.reasons),
                plan=rater.plan,
                step=answer.step,
                role=stage.step.role if stage.step is not None and stage.clips else stage.kind,
                item=(shown[0].item or "") if shown else "",
                method=shown[0].method if shown else "",
                method_b=shown[1].method if len(shown) > 1 else "",
                question=answer.question,
                value=answer.value,
                at=datetime.fromtimestamp(answer.at, UTC).isoformat(timespec="milliseconds"),
                seconds="" if answer.seconds is None else f"{answer.seconds:.2f}",
                plays=answer.plays or "",
                played=answer.played or "",
            )
        )
    return found


def csv_of(rows: Sequence[Row]) -> str:
    """Return the rows as CSV. Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Row._fields)
    table.writerows([escape.csv(value) for value in row] for row in rows)
    return text.getvalue()


def votes_of(study: Study, judgements: Sequence[Judgement], answers: Sequence[Answer]) -> Votes:
    """Return the votes of the used raters: answers to trials, without checks, repeats and gold clips."""
    used = {one.rater.number: one.rater for one in judgements if one.used}
    clips = {clip.name: clip for clip in study.clips}
    steps = [{step.id: step for step in plan} for plan in study.plans]
    better = {question.id: question.better for question in study.sheet.questions}
    comparisons, ratings = [], []
    for answer in answers:
        rater = used.get(answer.rater)
        step = None if rater is None else steps[rater.plan or 0].get(answer.step)
        if rater is None or step is None or step.role != "trial" or step.kind == "between":
            continue
        shown, name = [clips[clip] for clip in step.clips], f"r{rater.number}"
        if step.kind == "rating":
            ratings.append(Rating(shown[0].item or "", shown[0].method, name, answer.question, float(answer.value)))
        elif answer.question == PAIR_QUESTION:
            left, right = shown[0].method, shown[1].method
            counts = {left: int(answer.value == LEFT), right: int(answer.value == RIGHT)}
            low, high = min(left, right), max(left, right)
            tie = int(not any(counts.values()))
            comparisons.append(Comparison(shown[0].item or "", low, high, counts[low], counts[high], tie, name))
    told = json.dumps([study.id, comparisons, ratings], ensure_ascii=False)
    return Votes(hashlib.sha256(told.encode()).hexdigest(), comparisons, ratings, better)
