"""What the server does, without HTTP: the page of a rater, the storing of answers, withdrawal, progress."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lse_bench.study.answers import Answers, Platform, Rater
from lse_bench.study.folder import Secret, Study, clip_path
from lse_bench.study.render import message, page, stage_page
from lse_bench.study.stages import (
    CONSENT,
    END,
    FormError,
    Stage,
    all_stages,
    beeps_of,
    before_plan,
    now_and_next,
    read_answers,
    read_plays,
    refuse_early,
)

_MOST_NAME = 200  # characters of a name that a platform gives
# Names of parameters in links of crowd platforms: the rater, the study, the session.
PLATFORMS = {
    "prolific": ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    "mturk": ("workerId", "hitId", "assignmentId"),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request: a page with a status, or, if `to` is given, the address to go to."""

    status: int = 200
    text: str = ""
    to: str | None = None


class Service:
    """The study that is served. Methods may be called by several threads at the same time."""

    def __init__(self, folder: Path, study: Study, secret: Secret, answers: Answers) -> None:
        self._folder, self._study, self._secret, self._answers = folder, study, secret, answers
        self._clips = {clip.name: clip_path(folder, clip.name) for clip in study.clips}
        self._by_plan = [
            {name for stage in all_stages(study, plan) for name in stage.clips} for plan in range(len(study.plans))
        ]

    def admits(self, secret: str) -> bool:
        """Return whether this is the secret of the page of progress."""
        return hmac.compare_digest(secret.encode(), self._secret.admin.encode())

    def rater(self, token: str) -> Rater | None:
        """Return the rater with this token."""
        return self._answers.rater(token)

    def welcome(self, query: Mapping[str, str]) -> Reply:
        """Return the first page. It stores nothing, so visits of search engines and previews leave nothing."""
        if self._study.invited:
            return self._message(403, "title", "invited_only", "")
        names = [name for names in PLATFORMS.values() for name in names]
        fields = {name: query[name][:_MOST_NAME] for name in names if query.get(name)}
        return Reply(text=message(self._study, "title", "welcome", "", action="start", fields=fields, button="begin"))

    def start(self, form: Mapping[str, str]) -> Reply:
        """Admit a rater. One whom the platform has sent before in the same session goes on."""
        if self._study.invited:
            return self._message(403, "title", "invited_only", "")
        platform = None
        for name, (rater, study, session) in PLATFORMS.items():
            if _name(form.get(rater, "")):
                platform = Platform(name, *(_name(form.get(key, "")) for key in (rater, study, session)))
        entered = self._answers.enter(platform)
        if entered is None:
            return self._message(409, "title", "already", "")
        return Reply(303, to=f"r/{entered.token}/")

    def show(self, rater: Rater, told: str | None = None) -> Reply:
        """Return the page where a rater is now."""
        if rater.withdrawn is not None:
            return self._message(200, "withdrawn_head", "withdrawn")
        answered = self._answers.answered(rater)
        now, then = now_and_next(self._study, rater.plan, answered)
        if now.kind == "sound_failed":
            return Reply(text=message(self._study, "sound_failed_head", "sound_failed", "../../", withdraw=True))
        if now.kind == "end":
            return self._end(rater)
        self._answers.show(rater, now.id)
        return Reply(
            200 if told is None else 400,
            stage_page(
                self._study,
                rater.plan or 0,
                now,
                nonce=self._nonce(rater, now),
                ahead=then.clips,
                told=told,
                lead=self._lead(rater, now, answered),
                identified=rater.platform is not None,
            ),
        )

    def answer(self, rater: Rater, form: Mapping[str, str]) -> Reply:
        """Store an answer. What was answered before, or is not yet asked, changes nothing."""
        if rater.withdrawn is not None:
            return self._message(200, "withdrawn_head", "withdrawn")
        answered = self._answers.answered(rater)
        now, _ = now_and_next(self._study, rater.plan, answered)
        if form.get("step") != now.id:
            return Reply(303, to="./")
        if not self._secret.signed(form.get("nonce", ""), "form", rater.token, now.id):
            return self._message(403, "wrong_head", "wrong_form", withdraw=True)
        try:
            values = read_answers(self._study, now, form)
            plays, played = read_plays(now, form)
            refuse_early(self._study, now, self._since(rater, now))
        except FormError as error:
            return self.show(rater, error.text)
        if now.id == CONSENT and not self._answers.begin(rater, len(self._study.plans)):
            return self._message(200, "full_head", "full")
        self._answers.store(rater, now.id, values, plays, played)
        if now_and_next(self._study, rater.plan or 0, answered | {now.id: values})[0].id == END:
            self._answers.finish(rater)
        return Reply(303, to="./")

    def ask_withdrawal(self, rater: Rater) -> Reply:
        """Return the page that asks whether a rater wants to withdraw."""
        if rater.withdrawn is not None:
            return self._message(200, "withdrawn_head", "withdrawn")
        return Reply(
            text=message(
                self._study,
                "withdraw_head",
                "withdraw_text",
                "../../",
                action="withdraw",
                fields={"nonce": self._secret.sign("withdraw", rater.token)},
                button="withdraw_yes",
                cancel=True,
            )
        )

    def withdraw(self, rater: Rater, form: Mapping[str, str]) -> Reply:
        """Delete the answers of a rater."""
        if not self._secret.signed(form.get("nonce", ""), "withdraw", rater.token):
            return self._message(403, "wrong_head", "wrong_form", withdraw=True)
        self._answers.withdraw(rater)
        return Reply(303, to="./")

    def clip(self, rater: Rater, name: str) -> Path | None:
        """Return the file of a clip, None if it is not one of this rater's."""
        if rater.plan is None or rater.withdrawn is not None:
            return None
        return self._clips[name] if name in self._by_plan[rater.plan] else None

    def progress(self) -> Reply:
        """Return the page of progress. It says nothing of what was answered."""
        raters = self._answers.raters()
        done: dict[int, set[str]] = {}
        for answer in self._answers.all():
            done.setdefault(answer.rater, set()).add(answer.step)
        begun = [rater for rater in raters if rater.plan is not None]
        counts = {
            "plans": len(self._study.plans),
            "links": len(raters),
            "begun": len(begun),
            "finished": sum(rater.finished is not None for rater in raters),
            "withdrawn": sum(rater.withdrawn is not None for rater in raters),
            "answered pages": sum(map(len, done.values())),
        }
        rows = [
            {
                "number": rater.number,
                "platform": rater.platform or "–",
                "begun": _time(rater.begun),
                "seen": _time(rater.seen),
                "done": len(done.get(rater.number, set()) & (trials := self._trials(rater))),
                "total": len(trials),
                "state": _state(rater),
            }
            for rater in raters
            if rater.begun is not None or rater.withdrawn is not None
        ]
        values = {"study": self._study, "counts": counts, "raters": rows}
        return Reply(text=page(self._study, "admin", "../", values))

    def _trials(self, rater: Rater) -> set[str]:
        stages = all_stages(self._study, rater.plan or 0)
        return {stage.id for stage in stages if stage.kind in ("rating", "pair")}

    def refusal(self, status: int, text: str, base: str) -> Reply:
        """Return a page that says why a request is refused."""
        return self._message(status, "wrong_head", text, base)

    def _since(self, rater: Rater, stage: Stage) -> float | None:
        shown = self._answers.shown_at(rater, stage.id)
        return None if shown is None else time.time() - shown

    def _lead(self, rater: Rater, now: Stage, answered: Mapping[str, Mapping[str, str]]) -> str:
        """Return the name of the text above a sound check."""
        before = [stage for stage in before_plan(self._study, rater.plan or 0) if stage.id in answered]
        if now.kind != "sound" or before[-1].kind != "sound":
            return "sound"
        right = answered[before[-1].id].get("beeps") == beeps_of(self._study, before[-1])
        return "sound_more" if right else "sound_again"

    def _end(self, rater: Rater) -> Reply:
        self._answers.finish(rater)  # a killed server may have stored the last answer only
        code = code_of(self._study, self._secret, rater.token)
        url = self._study.completion_url if rater.platform is not None else None
        back = None if url is None else url.replace("{code}", code)
        return Reply(
            text=message(self._study, "end_head", "end", "../../", code=code, back=back, withdraw=True, refresh=back)
        )

    def _nonce(self, rater: Rater, stage: Stage) -> str:
        return self._secret.sign("form", rater.token, stage.id)

    def _message(self, status: int, head: str, text: str, base: str = "../../", *, withdraw: bool = False) -> Reply:
        return Reply(status, message(self._study, head, text, base, withdraw=withdraw))


def code_of(study: Study, secret: Secret, token: str) -> str:
    """Return the completion code of a rater: the study's, or one of the rater's own."""
    return study.completion_code or secret.sign("code", token)[:8].upper()


def _name(given: str) -> str:
    """Return a name that a platform gives, without control characters."""
    return "".join(filter(str.isprintable, given))[:_MOST_NAME]


def _state(rater: Rater) -> str:
    if rater.withdrawn is not None:
        return "withdrawn"
    return "finished" if rater.finished is not None else "under way"


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
