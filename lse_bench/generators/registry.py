"""Generators by name, from the entry points `lse_bench.generators` of whatever is installed.

A plug-in that cannot be imported is reported and hides no other.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.generators.interface import FaceGenerator, Generator, Options, VideoGenerator

GROUP = "lse_bench.generators"


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point. `package`: who brings it; `what`: the first line of its class's docstring; `broken`: why it
    cannot be used."""

    name: str
    package: str
    what: str = ""
    make: type[Generator] | None = None
    broken: str | None = None


@cache
def names() -> dict[str, EntryPoint]:
    """Every name, without importing anything. Of two packages with one name the first found counts."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point)
    return dict(sorted(found.items()))


def load(name: str) -> Plugin:
    """Import one generator. A broken one comes back with its reason; raises UsageError for an unknown name."""
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"no generator called {name}.{hint} There are: {', '.join(known)}")
    point = known[name]
    package = point.dist.name if point.dist is not None else "?"
    try:
        made: Any = point.load()
    except Exception as error:  # noqa: BLE001 - a plug-in can raise anything
        return Plugin(name, package, broken=f"{point.value}: {type(error).__name__}: {error}")
    if not (isinstance(made, type) and issubclass(made, FaceGenerator | VideoGenerator)):
        return Plugin(name, package, broken=f"{point.value} is neither a FaceGenerator nor a VideoGenerator")
    what = (made.__doc__ or "").strip().split("\n", 1)[0]
    return Plugin(name, package, what, made)


def make_generator(name: str, options: Options) -> Generator:
    """A generator ready to run. Raises UsageError for an unknown or broken one, or a setting it does not have."""
    plugin = load(name)
    if plugin.make is None:
        raise UsageError(f"the generator {name} of {plugin.package} is broken: {plugin.broken}")
    if unknown := set(options.settings) - set(plugin.make.settings):
        there = ", ".join(plugin.make.settings) or "none"
        raise UsageError(f"{name} has no setting {', '.join(sorted(unknown))}; its settings: {there}")
    return plugin.make(options)  # type: ignore[call-arg]
