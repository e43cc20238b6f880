"""Options of a task, declared once as fields of a dataclass.

A command offers an option as `--name`, a benchmark's file as `name`, and Python as a keyword argument. Names, defaults
and limits are the same everywhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lse_bench.errors import UsageError, no_such

Names = Literal["", "weights", "settings"]


@dataclass(frozen=True, slots=True)
class Flag:
    """The properties of an option other than its type.

    `help`: the help text. `least`, `most`: the inclusive limits of a number, or None. `metavar`: the placeholder of the
    value in the help. `name`: the name of the option, or None for the name of the field. `names`: what the value names.
    It is `weights` for a file or a name of the table of weights, `settings` for NAME=VALUE pairs whose values may be
    files or such names, and "" otherwise.
    """

    help: str
    least: float | None = None
    most: float | None = None
    metavar: str | None = None
    name: str | None = None
    names: Names = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared option.

    `field`: its name in Python. `name`: its name in a file. `type`: its type. `default`: its default value, or MISSING
    if it is required. `flag`: its other properties.
    """

    field: str
    name: str
    type: Any
    default: Any
    flag: Flag

    @property
    def option(self) -> str:
        """The name of the option on a command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def kind(self) -> Any:
        """The type of the option without None."""
        if get_origin(self.type) in (Union, UnionType):
            return next(one for one in get_args(self.type) if one is not type(None))
        return self.type


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The base of all options. Raises UsageError, which names the option, if a value is not allowed."""

    def __post_init__(self) -> None:
        for declared in declared_by(type(self)):
            _check(declared, getattr(self, declared.field))


def _check(declared: Declared, value: Any) -> None:
    flag, allowed = declared.flag, get_args(declared.kind) if get_origin(declared.kind) is Literal else ()
    if value is None and declared.type is not declared.kind:
        return
    if allowed and value not in allowed:
        raise UsageError(f"{declared.name}: {no_such('choice', str(value), map(str, allowed))}")
    if flag.least is not None and value < flag.least:
        upto = "" if flag.most is None else f" and at most {flag.most:g}"
        raise UsageError(f"{declared.name} = {value}: the value must be at least {flag.least:g}{upto}")
    if flag.most is not None and value > flag.most:
        raise UsageError(f"{declared.name} = {value}: the value must be at most {flag.most:g}")


def declared_by(kind: type[TaskOptions]) -> tuple[Declared, ...]:
    """Return the options of a task. Those of its own class come before those of its base classes."""
    found: tuple[Declared, ...] = _declared_by(cast(Any, kind))
    return found


@cache
def _declared_by(kind: Any) -> tuple[Declared, ...]:
    hints = get_type_hints(kind, include_extras=True)
    own = inspect.get_annotations(kind)
    found = [_declared(field, hints[field.name]) for field in fields(kind)]
    return tuple(sorted(found, key=lambda one: one.field not in own))


def _declared(field: Field[Any], hint: Any) -> Declared:
    assert get_origin(hint) is Annotated, field.name
    kind, flag = get_args(hint)
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return Declared(field.name, flag.name or field.name, kind, default, flag)


Kind = TypeVar("Kind", bound=TaskOptions)


def read_options(kind: type[Kind], given: Mapping[str, Any], folder: Path, where: str) -> Kind:
    """Read the options of a task from a table of a file.

    `given`: the table. `folder`: the folder of the file; file names in the table are relative to it. `where`: the start
    of error messages. Raises UsageError if a name is unknown or a value is not allowed.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    known = {declared.name: declared for declared in declared_by(kind)}
    values = {}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"{where}: {no_such('option', name, known)}")
        declared = known[name]
        one_of_many = get_origin(declared.kind) in (list, tuple) and isinstance(value, str | int | float)
        try:
            adapter = TypeAdapter(declared.type, config=ConfigDict(coerce_numbers_to_str=True))
            values[declared.field] = _located(
                declared, adapter.validate_python([value] if one_of_many else value), folder
            )
        except ValidationError as error:
            raise UsageError(f"{where}: {name} = {value!r}: {error.errors()[0]['msg']}") from None
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _located(declared: Declared, value: Any, folder: Path) -> Any:
    """Return the value with absolute paths for the files that it names."""
    if isinstance(value, Path):
        return (folder / value).absolute()
    if declared.flag.names == "weights" and value and (folder / value).is_file():
        return str((folder / value).absolute())
    if declared.flag.names == "settings":
        pairs = [one.partition("=") for one in value]
        return tuple(
            f"{name}={(folder / rest).absolute()}" if rest and (folder / rest).is_file() else f"{name}{equals}{rest}"
            for name, equals, rest in pairs
        )
    return value


def changed(options: TaskOptions) -> Iterator[tuple[Declared, Any]]:
    """Yield the options whose value is not the default, with the value."""
    for declared in declared_by(type(options)):
        value = getattr(options, declared.field)
        if value != declared.default:
            yield declared, value


def words_of(options: TaskOptions) -> list[str]:
    """Return options as words of a command line. Options with their default value are left out."""
    words: list[str] = []
    for declared, value in changed(options):
        if value is True:
            words.append(declared.option)
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [declared.option, str(one)]
    return words


def settings_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return `NAME=VALUE` pairs as a mapping. Raises UsageError if a pair has no `=`."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: a setting must have the form NAME=VALUE")
        found[name] = value
    return found


def parse_pads(text: str) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the text `T,B,L,R`. Raises UsageError if it has another form."""
    try:
        top, bottom, left, right = (int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--pads {text}: give four whole numbers, top,bottom,left,right, such as 0,10,0,0") from None
    return top, bottom, left, right
