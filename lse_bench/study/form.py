"""The trials of a study as plain files, for researchers who may not run a server.

`form/rater-001/` is the folder of the first rater: the page index.html with its clips. It names no method, and shows no
plan of another rater, from whose numbers of clips methods could be told.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lse_bench.errors import UsageError
from lse_bench.storage import read_text, write_atomically
from lse_bench.study.answers import Answer
from lse_bench.study.folder import CLIPS, FORM, Study, clip_path
from lse_bench.study.render import ASSETS, asset, form_page
from lse_bench.study.stages import FormError, all_stages, read_answers, read_plays, refuse_early

_MOST_BYTES = 4 << 20  # of a file of answers
_LATEST = 4_102_444_800  # seconds since 1970: the year 2100


def write_form(folder: Path, study: Study) -> None:
    """Write the pages, their scripts and the clips into the folder `form` of a study. It replaces an older one."""
    form = folder / FORM
    shutil.rmtree(form, ignore_errors=True)
    for plan in range(len(study.plans)):
        own, stages = form / f"rater-{plan + 1:03d}", all_stages(study, plan)
        for name in ASSETS:
            write_atomically(own / "static" / name, asset(name))
        (own / CLIPS).mkdir(parents=True)
        for name in {name for stage in stages for name in stage.clips}:
            source = clip_path(folder, name)
            try:
                os.link(source, own / CLIPS / source.name)
            except OSError:  # another file system, or one without links
                shutil.copy2(source, own / CLIPS / source.name)
        write_atomically(own / "index.html", form_page(study, plan, stages).encode())


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    step: str = Field(max_length=80)
    answers: dict[str, str]
    plays: str = Field(default="", max_length=200)
    played: str = Field(default="", max_length=200)
    at: float = Field(ge=0, le=_LATEST)
    seconds: float = Field(ge=0, le=_LATEST)


class _File(BaseModel):
    """A file that a rater saved."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str = Field(pattern="^answers of a study$")
    study: str
    plan: int = Field(ge=0)
    rater: str = Field(pattern=r"^[0-9a-f]{24}$")
    begun: float = Field(ge=0, le=_LATEST)
    finished: float | None = Field(default=None, ge=0, le=_LATEST)
    answers: list[_Given] = Field(max_length=2000)


def read_form_answers(path: Path, study: Study) -> tuple[_File, list[Answer]]:
    """Read a file of answers. Their rater's number is 0.

    Raises UsageError that names the field if the file is not one of this study.
    """
    text = read_text(path)
    if len(text) > _MOST_BYTES:
        raise UsageError(f"{path}: {len(text):,} characters; a file of answers has at most {_MOST_BYTES:,}")
    try:
        given = _File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise UsageError(f"{path}: not a file of answers: {where}: {first['msg']}. Raters save it at the end") from None
    if given.study != study.id:
        raise UsageError(f"{path}: answers of the study {given.study}, but this is the study {study.id}")
    if given.plan >= len(study.plans):
        raise UsageError(f"{path}: plan: {given.plan}; the study has the plans 0 to {len(study.plans) - 1}")
    stages = {stage.id: stage for stage in all_stages(study, given.plan)}
    found: list[Answer] = []
    for one in given.answers:
        stage = stages.pop(one.step, None)
        if stage is None:
            raise UsageError(f"{path}: step {json.dumps(one.step)}: not one of the plan {given.plan}, or there twice")
        try:
            values, (plays, played) = read_answers(study, stage, one.answers), read_plays(stage, one.model_dump())
            refuse_early(study, stage, one.seconds)
        except FormError as error:
            told = {"not_played": "a clip was not played to its end", "not_answered": "an answer is missing"}
            raise UsageError(f"{path}: step {one.step}: {told.get(error.text, 'an answer is not allowed')}") from None
        found += [Answer(0, one.step, q, value, one.at, one.seconds, plays, played) for q, value in values.items()]
    return given, found
