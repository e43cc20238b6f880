"""Versions and the machine, for records, and a check that the versions are in the tested ranges.

These can change pixels, samples and scores although the settings are the same.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lse_bench.errors import UsageError
from lse_bench.processor import machine

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

_OF_DEVELOPERS = ("tests", "dev")  # extras whose packages do not compute results
_PACKAGES = ("lse-bench", "torch", "numpy", "scipy", "av", "opencv-python")


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of the packages that affect a score, and of the FFmpeg inside PyAV, by name.

    `more`: names of further packages. A package that is absent has the version `not installed`.
    """
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *more):
        found[package] = installed(package) or "not installed"
    return found | {"ffmpeg": ffmpeg_version()}


def surroundings(*more: str) -> dict[str, Any]:
    """Return the `versions` (with the packages in `more`) and the `machine`, for a record."""
    return {"versions": versions(*more), "machine": machine()}


def surroundings_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the surroundings in a stored description. Records of earlier versions may lack the machine or versions."""
    return {name: description[name] for name in ("versions", "machine") if description.get(name) is not None}


def joined(there: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the surroundings for resumed work: those of its start and, as `continued_with`, different later ones.

    `there`: the stored description of the earlier work; None for new work. `now`: the result of `surroundings`.
    """
    if not there or not there.get("versions"):
        return dict(now)
    begun = {name: there[name] for name in now if there.get(name) is not None}
    later = list(there.get("continued_with") or [])
    if begun != now and now not in later:
        later.append(dict(now))
    return begun | ({"continued_with": later} if later else {})


def ffmpeg_version() -> str:
    """Return the version of the FFmpeg libraries inside PyAV."""
    import av

    return str(av.ffmpeg_version_info)


def installed(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def require(module: str, extra: str, purpose: str) -> None:
    """Raise UsageError with the install command if a module of an extra is not installed.

    `module`: its import name. `extra`: the extra of LSE-Bench that installs it. `purpose`: the subject of the message.
    """
    if find_spec(module) is None:
        raise UsageError(f"{purpose} needs the package {module}: pip install 'lse-bench[{extra}]'")


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A package whose version was not tested. `wanted`: the tested range, such as `>=1.11,<2`."""

    package: str
    version: str
    wanted: str


def out_of_range() -> Iterator[OutOfRange]:
    """Yield Python and the packages whose versions are outside the ranges of this version of LSE-Bench.

    The ranges are those of `pyproject.toml`. A package of an extra is checked only if it is installed.
    """
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    about = importlib.metadata.metadata("lse-bench")
    python = SpecifierSet(about["Requires-Python"])
    if not python.contains(platform.python_version(), prereleases=True):
        yield OutOfRange("python", platform.python_version(), _shown(python))
    extras = ["", *(extra for extra in about.get_all("Provides-Extra") or [] if extra not in _OF_DEVELOPERS)]
    told = set()
    for line in about.get_all("Requires-Dist") or []:
        wanted = Requirement(line)
        version = installed(wanted.name)
        applies = wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in extras)
        if version is None or not applies or wanted.name in told:
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            told.add(wanted.name)
            yield OutOfRange(wanted.name, version, _shown(wanted.specifier))


def _shown(wanted: SpecifierSet) -> str:
    """Return a range as text, with its lower end first."""
    return ",".join(sorted(map(str, wanted), reverse=True))
