"""What raters read and are asked: texts by language, questions, and presets."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lse_bench.errors import UsageError, no_such
from lse_bench.storage import parse_toml, read_text

Kind = Literal["rating", "pairwise", "both"]
LANGUAGES = ("en", "ko")
PAIR_QUESTION = "preference"  # the id of the question of a paired trial
LEFT, RIGHT, NONE = "left", "right", "none"  # its answers
MOST_QUESTIONS = 30
# Names of other fields of a form, and of other columns of results.
_RESERVED = (PAIR_QUESTION, "step", "nonce", "plays", "played", "strength", "comparison", "beeps", "agreed")

_WAY_OUT = "Print a sheet to start from with lse-bench study create --show-questions"


class _Fixed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Question(_Fixed):
    """A question that is asked about every clip, with a scale of points from 1."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """The name of the question in results."""
    text: str = Field(min_length=1, max_length=500)
    """The question."""
    low: str = Field(max_length=80)
    """What 1 stands for."""
    high: str = Field(max_length=80)
    """What the highest point stands for."""
    points: int = Field(default=5, ge=2, le=9)
    """The highest point."""
    sync: bool = False
    """Whether it asks for the fit of lips and speech. Attention checks use these questions."""
    better: Literal["high", "low", "none"] = "high"
    """Which end is better. Questions with `none` are left out when opinions are averaged over questions."""


class Between(_Fixed):
    """A question that is asked between blocks of trials."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """The name of the question in exports."""
    text: str = Field(min_length=1, max_length=500)
    """The question."""
    choices: tuple[Annotated[str, Field(min_length=1, max_length=80)], ...] = Field(default=(), max_length=12)
    """The answers; empty for free text."""


class Sheet(_Fixed):
    """All that a rater reads and is asked."""

    language: str
    """The language of the pages, a tag of BCP 47."""
    kind: Kind
    """Whether clips are rated, compared in pairs, or both."""
    page: dict[str, str]
    """The texts of the pages, by name."""
    questions: tuple[Question, ...] = ()
    """The questions on each clip."""
    between: tuple[Between, ...] = ()
    """The questions between blocks."""

    @field_validator("page")
    @classmethod
    def _complete(cls, value: dict[str, str]) -> dict[str, str]:
        known = _texts("en")["page"]
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(f"there is no text called {unknown[0]}; there are: {', '.join(known)}")
        if missing := sorted(set(known) - set(value)):
            raise ValueError(f"the text {missing[0]} is missing")
        for name, text in value.items():
            fields = {field for field, _, _ in _words(known[name])}
            try:
                wrong = [one for one in _words(text) if one not in {(field, "", None) for field in fields}]
            except ValueError:  # a single brace
                wrong = [("", "", None)]
            if wrong:
                there = ", ".join(f"{{{field}}}" for field in sorted(fields)) or "none"
                raise ValueError(f"the text {name} has unknown words in braces; known ones: {there}")
        return value

    @model_validator(mode="after")
    def _fitting(self) -> Sheet:
        if self.kind != "pairwise" and not self.questions:
            raise ValueError("ratings need at least one question")
        names = [*(one.id for one in self.questions), *(one.id for one in self.between)]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise ValueError(f"two questions are called {double}")
        taken = next((name for name in names if name in _RESERVED), None)
        if taken is not None:
            raise ValueError(f"no question can be called {taken}; this name has another meaning")
        if max(len(self.questions), len(self.between)) > MOST_QUESTIONS:
            raise ValueError(
                f"{len(self.questions)} questions, {len(self.between)} between blocks; {MOST_QUESTIONS} fit"
            )
        return self


def _words(text: str) -> list[tuple[str, str, str | None]]:
    """Return the words in braces of a text, with their formats and conversions."""
    return [(field, form or "", turn) for _, field, form, turn in Formatter().parse(text) if field is not None]


def presets() -> dict[str, dict[str, Any]]:
    """Return the presets by name: what they are, the kind, and the ids of their questions."""
    return parse_toml(files("lse_bench.study").joinpath("presets.toml").read_text("utf-8"), "presets.toml")


def _texts(language: str) -> dict[str, Any]:
    path = files("lse_bench.study").joinpath("texts", f"{language}.toml")
    return parse_toml(path.read_text("utf-8"), f"{language}.toml")


def preset_sheet(name: str, language: str = "en") -> Sheet:
    """Return the sheet of a preset. Raises UsageError if there is no such preset or language."""
    known = presets()
    if name not in known:
        raise UsageError(no_such("preset", name, known))
    if language not in LANGUAGES:
        raise UsageError(no_such("language", language, LANGUAGES))
    chosen, texts = known[name], _texts(language)
    return Sheet(
        language=language,
        kind=chosen["kind"],
        page=texts["page"],
        questions=tuple(Question(id=one, **texts["bank"][one]) for one in chosen["questions"]),
        between=tuple(Between(id=one, **texts["between"][one]) for one in chosen["between"]),
    )


def read_sheet(path: Path) -> Sheet:
    """Read a sheet from TOML, as `sheet_toml` writes it.

    Texts of pages that the file lacks are those of its language, or English ones. Raises UsageError that names the
    wrong field.
    """
    content = parse_toml(read_text(path), path)
    language = str(content.get("language", "en"))
    base = _texts(language if language in LANGUAGES else "en")["page"]
    page = content.get("page", {})
    if not isinstance(page, dict):
        raise UsageError(f"{path}: page: a table of texts is needed. {_WAY_OUT}")
    try:
        return Sheet.model_validate({"language": language, **content, "page": {**base, **page}})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        told = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{path}: not a sheet of questions: {where}: {told}. {_WAY_OUT}") from None


def sheet_toml(sheet: Sheet) -> str:
    """Return a sheet as TOML, to be edited."""
    lines = [f"language = {_toml(sheet.language)}", f"kind = {_toml(sheet.kind)}  # rating, pairwise or both"]
    for table, rows in (("questions", sheet.questions), ("between", sheet.between)):
        for row in rows:
            held = row.model_dump(mode="json", exclude_defaults=True)
            lines += ["", f"[[{table}]]", *(f"{name} = {_toml(value)}" for name, value in held.items())]
    lines += ["", "[page]", *(f"{name} = {_toml(value)}" for name, value in sheet.page.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a value as TOML. Its text, numbers and lists of texts are written as in JSON."""
    return json.dumps(value, ensure_ascii=False)
