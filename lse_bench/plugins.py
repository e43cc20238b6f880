"""Classes that other packages offer under an entry-point group. A broken plug-in is reported and hides no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from lse_bench.errors import UsageError, no_such

_OWN = "lse-bench"
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Plugin(Generic[Made]):
    """The entry point of a class.

    `package`, `version`: the package that provides it. `what`: the first line of its docstring. `make`: the class, or
    None if it is broken. `broken`: why it cannot be used, or None if it can.
    """

    name: str
    package: str
    version: str
    what: str = ""
    make: type[Made] | None = None
    broken: str | None = None


@cache
def names(group: str) -> dict[str, EntryPoint]:
    """Return every entry point of a group by name, without importing a plug-in.

    If several packages provide a name, one of them keeps it, and the others are `NAME@PACKAGE`. This project keeps the
    name if it provides it; otherwise the first package in alphabetical order keeps it.
    """
    found: dict[str, EntryPoint] = {}
    points = sorted(entry_points(group=group), key=lambda point: (_package(point) != _OWN, _package(point)))
    for point in points:
        name = f"{point.name}@{_package(point)}" if point.name in found else point.name
        found[name] = point
    return dict(sorted(found.items()))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"


def load(group: str, kind: str, name: str, check: Callable[[Any], type[Made] | str]) -> Plugin[Made]:
    """Import one plug-in of a group. A broken one is returned with its reason.

    `kind`: what it is, for messages, such as `generator`. `check`: returns the class, or why it is none. Raises
    UsageError if `name` is unknown.
    """
    known = names(group)
    if name not in known:
        raise UsageError(no_such(kind, name, known))
    point = known[name]
    package = _package(point)
    version = point.dist.version if point.dist is not None else "?"
    try:
        made = check(point.load())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plug-in can raise anything
        return Plugin(name, package, version, broken=f"{point.value}: {type(error).__name__}: {error}")
    if isinstance(made, str):
        return Plugin(name, package, version, broken=f"{point.value} {made}")
    return Plugin(name, package, version, (made.__doc__ or "").strip().split("\n", 1)[0], made)
