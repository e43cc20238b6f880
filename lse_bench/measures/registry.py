"""Find measures by name, from the entry points `lse_bench.measures` of all installed packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lse_bench import plugins
from lse_bench.errors import LseBenchError, UsageError
from lse_bench.measures.command import Command
from lse_bench.measures.interface import AnyMeasure, Measure, SetMeasure, refuse_unknown_needs
from lse_bench.plugins import Plugin
from lse_bench.versions import require

GROUP = "lse_bench.measures"


def names() -> list[str]:
    """Return the names of all measures, without importing a plug-in."""
    return list(plugins.names(GROUP))


def load(name: str) -> Plugin[AnyMeasure]:
    """Import one measure. A broken one is returned with its reason. Raises UsageError if `name` is unknown."""
    return plugins.load(GROUP, "measure", name, _checked)


def _checked(made: Any) -> type[AnyMeasure] | str:
    if not (isinstance(made, type) and issubclass(made, Measure | SetMeasure)):
        return "is no Measure and no SetMeasure"
    return made


def make_measures(chosen: Sequence[str], commands: Sequence[tuple[str, str]]) -> list[AnyMeasure]:
    """Return measures that are ready. `commands`: names and command lines of measures that are programs.

    Raises UsageError if a name is unknown or given twice, or if a measure is broken or lacks a package.
    """
    found = [_made(name) for name in chosen]
    found += [Command(name, line) for name, line in commands]
    given = [measure.name for measure in found]
    double = next((name for name in given if given.count(name) > 1), None)
    if double is not None:
        raise UsageError(f"the measure {double} is asked for twice")
    return found


def _made(name: str) -> AnyMeasure:
    plugin = load(name)
    if plugin.make is None:
        raise UsageError(f"the measure {name} of {plugin.package} is broken: {plugin.broken}")
    for module, extra in plugin.make.packages.items():
        require(module, extra, f"the measure {name}")
    refuse_unknown_needs(name, frozenset(plugin.make.needs))
    try:
        return plugin.make()
    except LseBenchError:
        raise
    except Exception as error:
        raise UsageError(
            f"the measure {name} of {plugin.package} {plugin.version} cannot be made: {type(error).__name__}: {error}"
        ) from error
