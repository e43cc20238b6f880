"""Find generators by name, from the entry points `lse_bench.generators` of all installed packages.

A plug-in that cannot be imported is reported. It does not hide the other plug-ins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lse_bench.errors import LseBenchError, UsageError, no_such
from lse_bench.generators.interface import FaceGenerator, Generator, Options, VideoGenerator
from lse_bench.versions import require

GROUP = "lse_bench.generators"
_OWN = "lse-bench"


@dataclass(frozen=True, slots=True)
class Plugin:
    """The entry point of a generator.

    `package`, `version`: the package that provides it. `what`: the first line of its class's docstring. `make`: the
    class, or None if it is broken. `broken`: why it cannot be used, or None if it can.
    """

    name: str
    package: str
    version: str
    what: str = ""
    make: type[Generator] | None = None
    broken: str | None = None


@cache
def names() -> dict[str, EntryPoint]:
    """Return every generator's entry point by name, without importing a plug-in.

    If several packages provide a name, one of them keeps it, and the others are `NAME@PACKAGE`. This project keeps the
    name if it provides it; otherwise the first package in alphabetical order keeps it.
    """
    found: dict[str, EntryPoint] = {}
    points = sorted(entry_points(group=GROUP), key=lambda point: (_package(point) != _OWN, _package(point)))
    for point in points:
        name = f"{point.name}@{_package(point)}" if point.name in found else point.name
        found[name] = point
    return dict(sorted(found.items()))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"


def load(name: str) -> Plugin:
    """Import one generator. A broken generator is returned with its reason. Raises UsageError if `name` is unknown."""
    known = names()
    if name not in known:
        raise UsageError(no_such("generator", name, known))
    point = known[name]
    package = _package(point)
    version = point.dist.version if point.dist is not None else "?"
    try:
        made: Any = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plug-in can raise anything
        return Plugin(name, package, version, broken=f"{point.value}: {type(error).__name__}: {error}")
    if not (isinstance(made, type) and issubclass(made, FaceGenerator | VideoGenerator)):
        return Plugin(name, package, version, broken=f"{point.value} is neither a FaceGenerator nor a VideoGenerator")
    what = (made.__doc__ or "").strip().split("\n", 1)[0]
    return Plugin(name, package, version, what, made)


def make_generator(name: str, options: Options) -> Generator:
    """Return a generator that is ready to run.

    Raises UsageError if `name` is unknown, if the generator is broken or cannot be made, if a package is missing, or if
    the generator does not have one of the settings.
    """
    plugin = load(name)
    if plugin.make is None:
        raise UsageError(f"the generator {name} of {plugin.package} is broken: {plugin.broken}")
    for module in plugin.make.packages:
        require(module, "generators", name)
    if unknown := set(options.settings) - set(plugin.make.settings):
        there = ", ".join(plugin.make.settings) or "none"
        raise UsageError(f"{name} has no setting {', '.join(sorted(unknown))}; its settings: {there}")
    try:
        return plugin.make(options)  # type: ignore[call-arg]
    except LseBenchError:
        raise
    except Exception as error:
        raise UsageError(
            f"the generator {name} of {plugin.package} {plugin.version} cannot be made: {type(error).__name__}: {error}"
        ) from error
