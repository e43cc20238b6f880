"""Options of a task, declared once as fields of a dataclass.

A command offers an option as `--name`, a benchmark's file as `name`, and Python as a keyword argument. Names, defaults
and limits are the same everywhere.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lse_bench.errors import UsageError, no_such
from lse_bench.naming import whole

Names = Literal["", "file", "weights", "settings", "command"]


@dataclass(frozen=True, slots=True)
class Flag:
    """The properties of an option other than its type.

    `help`: the help text. `least`, `most`: the inclusive limits of a number, or None. `metavar`: the placeholder of the
    value in the help. `name`: the name of the option, or None for the name of the field. `names`: what the value names.
    It is `file` for a file or another text, `weights` for a file or a name of the table of weights, `settings` for
    NAME=VALUE pairs whose values may be files or such names, `command` for a command line that names files, and ""
    otherwise. `neutral`: the value does not change the result.
    """

    help: str
    least: float | None = None
    most: float | None = None
    metavar: str | None = None
    name: str | None = None
    names: Names = ""
    neutral: bool = False


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
    flag, kind = declared.flag, declared.kind
    if value is None and declared.type is not kind:
        return
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise UsageError(f"{declared.name}: {no_such('choice', str(value), map(str, get_args(kind)))}")
    if not _fits(kind, value):
        raise UsageError(
            f"{declared.name} = {value!r}: {_KINDS.get(get_origin(kind) or kind, 'another value')} is needed"
        )
    if flag.names == "weights" and not value:
        raise UsageError(f"{declared.name} is empty: give a file or a name from `lse-bench weights list`")
    if flag.names == "settings":
        settings_of(value, declared.option)
    if flag.names == "command":
        _refuse_unreadable(declared.name, value)
    if flag.least is not None and not value >= flag.least:  # not a number is below every limit
        upto = "" if flag.most is None else f" and at most {flag.most:g}"
        raise UsageError(f"{declared.name} = {value}: the value must be at least {flag.least:g}{upto}")
    if flag.most is not None and value > flag.most:
        raise UsageError(f"{declared.name} = {value}: the value must be at most {flag.most:g}")


def _refuse_unreadable(name: str, line: str) -> None:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{name} = {line!r}: {str(error).lower()}; close the quotes of the command line") from None
    if not words:
        raise UsageError(f"{name} is empty: give a command line")


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    tuple: "a list of texts",
}


def _fits(kind: Any, value: Any) -> bool:
    if get_origin(kind) is Literal:
        return True
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def declared_by(kind: type[TaskOptions]) -> tuple[Declared, ...]:
    """Return the options of a task. Those of its own class come before those of its base classes."""
    found: tuple[Declared, ...] = _declared_by(cast(Any, kind))
    return found


@cache
def _declared_by(kind: Any) -> tuple[Declared, ...]:
    hints = get_type_hints(kind, include_extras=True)
    shared = {name for base in kind.__mro__[1:] for name in inspect.get_annotations(base)}
    found = [_declared(field, hints[field.name]) for field in fields(kind)]
    return tuple(sorted(found, key=lambda one: one.field in shared))


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
    known = {declared.name: declared for declared in declared_by(kind)}
    values = {}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"{where}: {no_such('option', name, known)}")
        values[known[name].field] = _located(known[name], _plain(known[name].kind, value), folder)
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _plain(kind: Any, value: Any) -> Any:
    """Return a value of a file in the type that Python has for it; a value that does not fit is returned as it is."""
    if get_origin(kind) is tuple:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    return value


def _located(declared: Declared, value: Any, folder: Path) -> Any:
    """Return the value with absolute paths for the files that it names."""
    names = declared.flag.names
    if isinstance(value, Path):
        return whole(folder / value)
    if names in ("file", "weights") and isinstance(value, str):
        return _file_in(folder, value)
    if names == "command" and isinstance(value, str):
        return _located_command(folder, value)
    if names == "settings" and isinstance(value, tuple):
        pairs = [str(one).partition("=") for one in value]
        return tuple(f"{name}{equals}{_setting_in(folder, name, rest)}" for name, equals, rest in pairs)
    return value


def _setting_in(folder: Path, name: str, value: str) -> str:
    return _located_command(folder, value) if name == "command" else _file_in(folder, value)


def _file_in(folder: Path, value: str) -> str:
    return str(whole(folder / value)) if value and (folder / value).is_file() else value


def _located_command(folder: Path, line: str) -> str:
    """Return a command line with the absolute paths of the files in `folder`. A plain word, as `python`, is no file."""
    try:
        words = shlex.split(line)
    except ValueError:
        return line
    found = [_file_in(folder, word) if "." in word or "/" in word else word for word in words]
    return line if found == words else shlex.join(found)


def absolute(options: Kind) -> Kind:
    """Return options with absolute paths, which mean the same in every process."""
    return replace(
        options, **{d.field: _located(d, getattr(options, d.field), Path()) for d in declared_by(type(options))}
    )


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


def settings_of(pairs: tuple[str, ...], option: str = "--set") -> dict[str, str]:
    """Return `NAME=VALUE` pairs as a mapping.

    `option`: the option that gives them, for messages. Raises UsageError if a pair has no `=`, if a name stands twice,
    or if the quotes of a command line do not close.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{option} {pair}: a setting must have the form NAME=VALUE")
        if name in found:
            raise UsageError(f"{option} {name}: the setting is given twice")
        if name == "command":
            _refuse_unreadable(f"{option} command", value)
        found[name] = value
    return found


def parse_pads(text: str) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the text `T,B,L,R`. Raises UsageError if it has another form."""
    try:
        top, bottom, left, right = (int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--pads {text}: give four whole numbers, top,bottom,left,right, such as 0,10,0,0") from None
    return top, bottom, left, right
