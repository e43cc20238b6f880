"""Find generators by name, from the entry points `lse_bench.generators` of all installed packages.

A plug-in that cannot be imported is reported. It does not hide the other plug-ins.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from lse_bench import plugins
from lse_bench.errors import LseBenchError, UsageError
from lse_bench.generators.interface import FaceGenerator, Generator, Options, VideoGenerator
from lse_bench.plugins import Plugin
from lse_bench.versions import require

GROUP = "lse_bench.generators"


def names() -> dict[str, EntryPoint]:
    """Return every generator's entry point by name, without importing a plug-in."""
    return plugins.names(GROUP)


def load(name: str) -> Plugin[Generator]:
    """Import one generator. A broken generator is returned with its reason. Raises UsageError if `name` is unknown."""
    return plugins.load(GROUP, "generator", name, _checked)


def _checked(made: Any) -> type[Generator] | str:
    if not (isinstance(made, type) and issubclass(made, FaceGenerator | VideoGenerator)):
        return "is neither a FaceGenerator nor a VideoGenerator"
    return made


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
