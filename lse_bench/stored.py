"""Typed objects in JSON files: reading with clear errors, and atomic writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lse_bench.errors import UsageError
from lse_bench.storage import json_bytes, read_lines, read_object, write_atomically

_NAMES_IN_FILES = {
    "schema_version": "schema",
    "clip_list": "list",
}  # names of these fields in files, which pydantic or Python uses itself


class Stored(BaseModel):
    """An object that is stored as JSON.

    Unknown fields are kept, so that a file of a later version loses nothing when it is read and written again.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        populate_by_name=True,
        allow_inf_nan=False,
        alias_generator=lambda name: _NAMES_IN_FILES.get(name, name),
        use_attribute_docstrings=True,
    )


class Surroundings(Stored):
    """A stored result with the versions and the machine that made it. Files of older versions have null there."""

    versions: dict[str, str] | None = None
    machine: dict[str, Any] | None = None
    continued_with: list[dict[str, Any]] | None = None


Kind = TypeVar("Kind", bound=BaseModel)


def to_json(stored: BaseModel) -> dict[str, Any]:
    """Return the content of a stored object's file, with `schema` and `kind` first."""
    content = stored.model_dump(mode="json", by_alias=True)
    return {name: content[name] for name in ("schema", "kind") if name in content} | content


def read_stored(path: Path, kind: type[Kind], way_out: str) -> Kind:
    """Read a stored object from its file. Raises UsageError that names the wrong field.

    `way_out`: the last sentence of the error message, which says what to do.
    """
    return parse_stored(read_object(path, way_out), path, kind, way_out)


def parse_stored(content: dict[str, Any], path: Path, kind: type[Kind], way_out: str) -> Kind:
    """Make a stored object from the content of its file. Raises UsageError that names the wrong field.

    `path` and `way_out` are for the message. A file of a later schema is refused: its fields can mean something else.
    """
    given, newest = content.get("schema"), _newest(kind)
    if newest is not None and isinstance(given, int) and given > newest:
        raise UsageError(
            f"{path}: has schema {given}, but this version reads schemas up to {newest}. A later version of LSE-Bench "
            "wrote it; install that version to read it"
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: damaged: {where}: {first['msg']}. {way_out}") from None


def _newest(kind: type[BaseModel]) -> int | None:
    """Return the newest schema that this version knows of a kind of file; None if its files do not say."""
    field = kind.model_fields.get("schema_version")
    newest = getattr(kind, "newest_schema", None if field is None else field.default)
    return newest if isinstance(newest, int) else None


def write_stored(path: Path, stored: BaseModel) -> None:
    """Write a stored object to its file, atomically. Raises PlaceError if the folder cannot be written to."""
    write_atomically(path, json_bytes(to_json(stored)))


def read_stored_lines(path: Path, kind: type[Kind], what: str, way_out: str) -> Iterator[Kind]:
    """Yield the stored objects of a file of JSON lines, one at a time; none if there is no file.

    An incomplete last line, which a killed process may leave, is left out. `what`: a name of the objects for the
    message. `way_out`: the last sentence of the message. Raises UsageError that names the wrong line and field.
    """
    for number, line in enumerate(read_lines(path), 1):
        try:
            yield kind.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise UsageError(f"{path}: line {number} is not {what} ({where}: {first['msg']}). {way_out}") from None
