"""Stored objects: typed, read with a sentence for what is wrong, written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lse_bench.errors import UsageError
from lse_bench.storage import json_bytes, read_lines, read_object, write_atomically

_NAMES_IN_FILES = {
    "schema_version": "schema",
    "clip_list": "list",
}  # fields whose own names pydantic or Python has taken


class Stored(BaseModel):
    """A stored object. Unknown fields are kept, so that a file of a later version survives being written again."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        populate_by_name=True,
        allow_inf_nan=False,
        alias_generator=lambda name: _NAMES_IN_FILES.get(name, name),
        use_attribute_docstrings=True,
    )


class Surroundings(Stored):
    """Where a stored result was made; null in files of versions that did not say."""

    versions: dict[str, str] | None = None
    machine: dict[str, Any] | None = None
    continued_with: list[dict[str, Any]] | None = None


Kind = TypeVar("Kind", bound=BaseModel)


def to_json(stored: BaseModel) -> dict[str, Any]:
    """The content of a stored object's file."""
    content = stored.model_dump(mode="json", by_alias=True)
    return {name: content[name] for name in ("schema", "kind") if name in content} | content


def read_stored(path: Path, kind: type[Kind], way_out: str) -> Kind:
    """A stored object from its file. Raises UsageError naming the field that is wrong."""
    return parse_stored(read_object(path, way_out), path, kind, way_out)


def parse_stored(content: dict[str, Any], path: Path, kind: type[Kind], way_out: str) -> Kind:
    """A stored object from the content of its file. Raises UsageError naming the field that is wrong."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: damaged: {where}: {first['msg']}. {way_out}") from None


def write_stored(path: Path, stored: BaseModel) -> None:
    """Write a stored object to its file."""
    write_atomically(path, json_bytes(to_json(stored)))


def read_stored_lines(path: Path, kind: type[Kind], what: str, way_out: str) -> list[Kind]:
    """The stored objects of a file of JSON lines, none if it is not there; a last line without its end, from a kill, is
    left out. Raises UsageError naming the line and field that is wrong: `what` the line should be."""
    found = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise UsageError(f"{path}: line {number} is not {what} ({where}: {first['msg']}). {way_out}") from None
    return found
