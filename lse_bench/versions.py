"""What moves a pixel, a sample or a score besides the settings: versions and the machine, for records; and whether the
versions are in the tried ranges.
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

_OF_DEVELOPERS = ("tests", "dev")  # extras whose packages compute nothing
_PACKAGES = ("lse-bench", "torch", "numpy", "scipy", "av", "opencv-python")


def versions(*more: str) -> dict[str, str]:
    """Versions of Python, of the packages that touch a score, of those in `more`, and of the FFmpeg inside PyAV."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *more):
        found[package] = installed(package) or "not installed"
    return found | {"ffmpeg": ffmpeg_version()}


def surroundings(*more: str) -> dict[str, Any]:
    """`versions`, of the packages in `more` too, and `machine`: what a record says about where it was made."""
    return {"versions": versions(*more), "machine": machine()}


def surroundings_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """The surroundings in a stored description; records of earlier versions name no machine, or no versions."""
    return {name: description[name] for name in ("versions", "machine") if description.get(name) is not None}


def joined(there: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """The surroundings of work that goes on: those it was begun in and, as `continued_with`, others that came later.

    `there`: the stored description that is gone on with, None for new work. `now`: of `surroundings`.
    """
    if not there or not there.get("versions"):
        return dict(now)
    begun = {name: there[name] for name in now if there.get(name) is not None}
    later = list(there.get("continued_with") or [])
    if begun != now and now not in later:
        later.append(dict(now))
    return begun | ({"continued_with": later} if later else {})


def ffmpeg_version() -> str:
    """The version of the FFmpeg libraries inside PyAV."""
    import av

    return str(av.ffmpeg_version_info)


def installed(package: str) -> str | None:
    """The version of an installed package; None when there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def require(module: str, extra: str, purpose: str) -> None:
    """Raise UsageError, with the command that installs it, unless a module of an extra is there."""
    if find_spec(module) is None:
        raise UsageError(f"{purpose} needs the package {module}: pip install 'lse-bench[{extra}]'")


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A package whose version was not tested. `wanted`: the range, as in `>=1.11,<2`."""

    package: str
    version: str
    wanted: str


def out_of_range() -> Iterator[OutOfRange]:
    """The packages, Python among them, whose versions lie outside the ranges of this version of LSE-Bench.

    The ranges are those that `pyproject.toml` states; extras count where their packages are installed.
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
    """A range with its lower end first."""
    return ",".join(sorted(map(str, wanted), reverse=True))
