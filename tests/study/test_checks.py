"""Checks of raters: careless ones are excluded, honest ones are not, and each rule does what it says."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import lse_bench_here
from studies import Visit, make_study, served

from lse_bench.errors import UsageError
from lse_bench.study.answers import Answer
from lse_bench.study.checks import RULES, Agreement, Judgement, Rules, judge, read_rules
from lse_bench.study.folder import ANSWERS_FILE, Gold, Study
from measurements.quality.careless import Person, excluded, made, rater_of


@pytest.fixture(scope="module")
def study() -> Study:
    return made("both", 16, 8)


def given(study: Study, mood: str = "honest", seed: int = 0) -> list[Answer]:
    return Person(study, mood, np.random.default_rng(seed)).answers(1, study.plans[0], {})


def judged(study: Study, answers: list[Answer], rules: Rules = RULES) -> Judgement:
    (found,) = judge(study, [rater_of(0)], answers, rules)
    return found


def changed(answers: list[Answer], step: str, **values: str) -> list[Answer]:
    """The answers with other values at one step."""
    return [replace(one, value=values.get(one.question, one.value)) if one.step == step else one for one in answers]


def steps_of(study: Study, role: str, kind: str) -> list[str]:
    return [step.id for step in study.plans[0] if step.role == role and step.kind == kind]


def test_an_honest_rater_is_used(study: Study) -> None:
    assert judged(study, given(study)) == Judgement(rater_of(0), True, True, [])


def test_who_has_not_finished_is_not_accepted(study: Study) -> None:
    answers = given(study)
    found = judged(study, [one for one in answers if one.step != study.plans[0][-1].id])
    assert (found.accepted, found.used, found.reasons) == (False, False, ["not finished"])
    assert judged(study, changed(answers, "sound1", beeps="9")).used, "one of three may be wrong"
    found = judged(study, changed(changed(answers, "sound1", beeps="9"), "sound3", beeps="9"))
    assert (found.accepted, found.reasons) == (False, ["sound check"])


def test_who_likes_the_moved_sound_breaks_attention(study: Study) -> None:
    answers = given(study)
    for step in steps_of(study, "attention", "rating"):
        answers = changed(answers, step, sync="5")
    for step in steps_of(study, "attention", "pair"):
        answers = changed(answers, step, preference="none")
    found = judged(study, answers)
    assert (found.accepted, found.used, found.reasons) == (True, False, ["attention"])
    assert judged(study, answers, Rules(attention=None)).used


def test_a_sync_question_may_be_better_low(study: Study) -> None:
    """How late is the sound? An honest rater says so of the moved one."""
    questions = tuple(one.model_copy(update={"better": "low"}) if one.sync else one for one in study.sheet.questions)
    turned = study.model_copy(update={"sheet": study.sheet.model_copy(update={"questions": questions})})
    answers = given(study)
    for step in steps_of(study, "attention", "rating"):
        answers = changed(answers, step, sync="5")
    assert judged(turned, answers).used and not judged(study, answers, Rules(attention=1)).used


def test_who_rates_a_repeat_otherwise_breaks_it(study: Study) -> None:
    answers = given(study)
    for step in study.plans[0]:
        if step.role == "repeat" and step.kind == "rating":
            answers = changed(answers, str(step.repeats), sync="1", visual="1", overall="1")
            answers = changed(answers, step.id, sync="5", visual="5", overall="5")
    assert "repeat_difference" in judged(study, answers).reasons
    assert judged(study, answers, Rules(repeat_difference=None, least_agreement=None)).used


def test_one_answer_throughout_is_a_straight_line(study: Study) -> None:
    answers = given(study)
    for step in study.plans[0]:
        answers = changed(answers, step.id, sync="3", visual="3", overall="3", preference="none")
    assert "least_variance" in judged(study, answers).reasons


def test_stalled_clips_are_counted(study: Study) -> None:
    answers = given(study)
    stalled = [replace(one, played=one.played and one.played.replace("3.05", "4.20")) for one in answers]
    assert judged(study, stalled).reasons == ["stalled"]
    assert judged(study, stalled, Rules(most_play_time=1.5)).used
    assert judged(study, stalled, Rules(most_play_time=None)).used


def test_gold_answers_have_a_tolerance() -> None:
    plain = made("rating", 12, 2)
    (first, *_) = [step for step in plain.plans[0] if step.role == "trial"]
    plan = [step.model_copy(update={"role": "gold"}) if step.id == first.id else step for step in plain.plans[0]]
    gold = [Gold(clip=first.clips[0], question="visual", value=5, tolerance=1)]
    study = plain.model_copy(update={"plans": [plan], "gold": gold})
    for value, used in (("5", True), ("4", True), ("3", False)):
        answers = changed(given(study), first.id, visual=value)
        assert ("gold" not in judged(study, answers).reasons) is used


def test_who_answers_unlike_all_others_is_excluded() -> None:
    study = made("rating", 12, 8)
    rng = np.random.default_rng(2)
    answers = [one for n in range(8) for one in Person(study, "honest", rng).answers(n + 1, study.plans[n], {})]
    turned = [
        replace(one, value=str(6 - int(one.value)))
        if one.rater == 1 and one.question in ("sync", "visual", "overall")
        else one
        for one in answers
    ]
    raters = [rater_of(n) for n in range(8)]
    assert all("least_agreement" not in one.reasons for one in judge(study, raters, answers))
    assert "least_agreement" in judge(study, raters, turned)[0].reasons
    scores = {1: {("a",): 1.0, ("b",): 0.0}, 2: {("a",): 1.0, ("b",): 0.0}}
    assert Agreement(scores).of(1) is None, "two trials say nothing"
    rng = np.random.default_rng(1)
    scores = {rater: {(str(clip),): float(rng.normal()) for clip in range(10)} for rater in range(5)}
    others = [np.mean([scores[rater][str(clip),] for rater in range(1, 5)]) for clip in range(10)]
    assert Agreement(scores).of(0) == pytest.approx(np.corrcoef(list(scores[0].values()), others)[0, 1])


def test_careless_raters_are_excluded_and_honest_ones_are_not() -> None:
    for kind, trials, least in (("rating", 24, 0.85), ("both", 24, 0.85), ("pairwise", 12, 0.55)):
        found = {mood: share for mood, (share, _) in excluded(kind, trials, studies=10).items()}  # type: ignore[arg-type]
        assert found["honest"] < 0.08 and found["line"] > 0.97 and found["random"] > least, (kind, found)


@pytest.mark.parametrize(
    ("text", "told"),
    [("attention = 2", "attention"), ("kindness = 1", "kindness"), ('attention = "often"', "attention")],
)
def test_wrong_rules_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(UsageError, match=told):
        read_rules(tmp_path / "rules.toml")
    (tmp_path / "rules.toml").write_text('gold = "none"\nstalled = 0.5\n')
    assert read_rules(tmp_path / "rules.toml") == Rules(gold=None, stalled=0.5)


@pytest.mark.network
def test_a_study_is_reported_from_its_folder(tmp_path: Path) -> None:
    """Eight raters, one of whom always gives the same answer; the ninth leaves in the middle."""
    folder = make_study(tmp_path, preset="wav2lip-paper", raters=9)
    with served(folder) as client:
        for number in range(7):
            Visit(folder, client).finish()
            assert number < 7
        careless = Visit(folder, client)
        while careless.stage():
            form = careless.form()
            form |= {name: "3" for name in ("sync", "visual", "overall") if name in form}
            careless.send(form | ({"preference": "none"} if "preference" in form else {}))
        Visit(folder, client).until("pair")
    ended = lse_bench_here("study", "report", folder, "--out", tmp_path / "report")
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "report" / "report.md").read_text()
    assert "9 raters began, 8 did the whole work (accepted), 7 of them also passed" in page
    assert "least_variance 1" in page and "not finished 1" in page
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["exclusions"]["used"] == 7 and report["raters"] == 7
    means = {one["method"]: one["mean"] for one in report["opinions"] if one["question"] == "sync"}
    assert means == {"real": 5.0, "ours": 4.0, "theirs": 3.0, "unsynced": 2.0}
    gap = next(one for one in report["differences"] if set(one["methods"]) == {"ours", "theirs"})
    assert abs(gap["difference"]) == 1.0
    assert {tuple(one["methods"]) for one in report["preferences"]} >= {("ours", "theirs"), ("real", "unsynced")}
    assert all(one["share"] in (0.0, 1.0) for one in report["preferences"])
    (tmp_path / "rules.toml").write_text('least_variance = "none"\nattention = "none"\n')
    words = ["--rules", tmp_path / "rules.toml", "--out", tmp_path / "other"]
    ended = lse_bench_here("study", "report", folder, *words)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "other" / "report.json").read_text())["exclusions"]["used"] == 8
    table = lse_bench_here("study", "export", folder, "--out", tmp_path / "answers.csv")
    assert table.returncode == 0 and "answers.csv" in table.stderr
    with sqlite3.connect(folder / ANSWERS_FILE) as base:
        ((count,),) = base.execute("SELECT count(*) FROM answers")
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == count + 1


def test_a_study_without_answers_has_no_report(tmp_path: Path) -> None:
    folder = make_study(tmp_path, raters=2)
    ended = lse_bench_here("study", "report", folder, "--out", tmp_path / "report")
    assert ended.returncode == 2 and "nobody took part" in " ".join(ended.stderr.split())
    ended = lse_bench_here("study", "export", folder)
    assert ended.returncode == 0 and ended.stdout.startswith("study,rater,")
