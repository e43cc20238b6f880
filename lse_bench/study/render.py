"""Draw the pages that raters and researchers see. Every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from lse_bench.study.folder import Study
from lse_bench.study.stages import Stage, all_stages

if TYPE_CHECKING:
    from jinja2 import Environment

_SECONDS_OF_ANSWER, _SECONDS_AROUND = 4, 90
ASSETS = {"style.css": "text/css", "player.js": "text/javascript", "form.js": "text/javascript"}


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("lse_bench.study").joinpath("pages")
    return Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> bytes:
    """Return a file of the pages."""
    return files("lse_bench.study").joinpath("pages", name).read_bytes()


def page(
    study: Study,
    body: str,
    base: str,
    values: Mapping[str, object],
    *,
    withdraw: bool = False,
    refresh: str | None = None,
) -> str:
    """Return a whole page.

    `body`: the template inside. `base`: the way to the root, as `../../`. `values`: what the template shows.
    `withdraw`: whether the page has a link to withdraw. `refresh`: the address to go to after a while.
    """
    shared = {"body": f"{body}.html.j2", "base": base, "withdraw": withdraw, "refresh": refresh}
    return (
        _environment()
        .get_template("page.html.j2")
        .render(**{**shared, "sheet": study.sheet, "t": study.sheet.page, **values})
    )


def message(
    study: Study,
    head: str,
    text: str,
    base: str,
    *,
    code: str | None = None,
    back: str | None = None,
    action: str | None = None,
    fields: Mapping[str, str] | None = None,
    button: str = "",
    cancel: bool = False,
    withdraw: bool = False,
    refresh: str | None = None,
) -> str:
    """Return a page with a message, and perhaps a code, a link or a button.

    `head`, `text`, `button`: names of texts of the sheet.
    """
    texts = study.sheet.page
    values = {
        "head": texts[head],
        "text": texts[text],
        "code": code,
        "back": back,
        "action": action,
        "fields": fields or {},
        "button": texts.get(button, ""),
        "cancel": cancel,
    }
    return page(study, "message", base, values, withdraw=withdraw, refresh=refresh)


def stage_values(study: Study, plan: int, stage: Stage, lead: str = "sound") -> dict[str, object]:
    """Return what the template of a stage shows. `lead`: the name of the text above a sound check."""
    stages = all_stages(study, plan)
    trials = [one.id for one in stages if one.kind in ("rating", "pair")]
    clips = {clip.name: clip.seconds for clip in study.clips}
    return {
        "stage": stage,
        "seconds": {name: clips[name] for name in stage.clips},
        "number": trials.index(stage.id) + 1 if stage.id in trials else None,
        "total": len(trials),
        "minutes": minutes_of(study, plan),
        "licence": study.licence,
        "contact": study.contact,
        "lead": study.sheet.page[lead],
        "last": stage.id == stages[-1].id,
    }


def stage_page(
    study: Study,
    plan: int,
    stage: Stage,
    *,
    nonce: str,
    ahead: Sequence[str],
    told: str | None,
    lead: str,
    identified: bool,
) -> str:
    """Return the page of a stage on the server.

    `nonce`: proves that the form is this rater's. `ahead`: clips to load ahead. `told`: the name of the text of what
    went wrong. `lead`: the name of the text above a sound check. `identified`: whether a platform gave the rater's
    number.
    """
    values = {
        "clips": "clip/",
        "nonce": nonce,
        "ahead": ahead,
        "told": None if told is None else study.sheet.page[told],
        "identified": identified,
        "later": False,
        "static": False,
    }
    shown = stage_values(study, plan, stage, lead)
    return page(study, "stage", "../../", values | shown, withdraw=stage.kind != "consent")


def minutes_of(study: Study, plan: int) -> int:
    """Return how many minutes a rater needs: every clip played once, and 4 seconds for each question."""
    length = {clip.name: clip.seconds for clip in study.clips}
    seconds = float(_SECONDS_AROUND)
    for stage in all_stages(study, plan):
        asked = {"rating": len(study.sheet.questions), "between": len(study.sheet.between)}.get(stage.kind, 1)
        seconds += sum(length[name] for name in stage.clips) + _SECONDS_OF_ANSWER * asked
    return max(1, round(seconds / 60))


def form_page(study: Study, plan: int, stages: Sequence[Stage]) -> str:
    """Return the page with all stages of a rater, for use without a server."""
    from markupsafe import Markup

    template = _environment().get_template("stage.html.j2")
    values = {
        "clips": "clips/",
        "nonce": None,
        "ahead": (),
        "told": None,
        "identified": False,
        "later": True,
        "static": True,
        "sheet": study.sheet,
        "t": study.sheet.page,
    }
    fragments = [
        Markup(template.render(**(values | stage_values(study, plan, stage, _lead(stages, stage)))))  # noqa: S704 - the template escapes
        for stage in stages
    ]
    return page(study, "form", "", {"study": study, "plan": plan, "fragments": fragments}, withdraw=True)


def _lead(stages: Sequence[Stage], stage: Stage) -> str:
    """Return the name of the text above a sound check that does not know how the one before it went."""
    first = next(one.id for one in stages if one.kind == "sound")
    return "sound" if stage.id == first else "sound_more"
