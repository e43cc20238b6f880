"""Search a folder for files, to any depth and through links, and count what is skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.generated import GENERATION_FILE
from lse_bench.naming import natural_key

_SHOWN = 4  # number of other suffixes that a message names


@dataclass(slots=True)
class Passed:
    """The items that a search skipped.

    `hidden`: number of files with a wanted suffix whose name, or the name of a folder above, begins with a dot.
    `other`: number of files by suffix, for suffixes that are not wanted. `again`: number of folders that links lead to
    a second time. `closed`: folders that cannot be read. `columns`: unknown columns of lists. `unfit`: videos without a
    picture or a sound, unreadable videos, and videos whose names are not UTF-8.
    """

    hidden: int = 0
    other: Counter[str] = field(default_factory=Counter)
    again: int = 0
    closed: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)

    def sentence(self) -> str | None:
        """Return a sentence for the user, or None if nothing was skipped."""
        parts = []
        if self.hidden:
            parts.append(f"{self.hidden} hidden")
        if self.other:
            kinds = ", ".join(f"{name or 'no suffix'} {count}" for name, count in self.other.most_common(_SHOWN))
            more = ", …" if len(self.other) > _SHOWN else ""
            parts.append(f"{self.other.total()} of another kind ({kinds}{more})")
        if self.again:
            parts.append(f"{self.again} folders that links lead to again")
        if self.closed:
            parts.append(f"{len(self.closed)} folders that cannot be read ({self.closed[0]})")
        if self.columns:
            parts.append(f"columns {', '.join(self.columns)}")
        if self.unfit:
            parts.append(f"{len(self.unfit)} without a picture, without a sound, or unreadable ({self.unfit[0]})")
        return f"passed over: {'; '.join(parts)}" if parts else None


@dataclass(slots=True)
class Found:
    """The results of a search, each in natural order.

    `files`: files with a wanted suffix. `dangling`: links with a wanted suffix whose target does not exist.
    `generations`: folders that `lse-bench generate` made. They are not searched.
    """

    files: list[Path] = field(default_factory=list)
    dangling: list[Path] = field(default_factory=list)
    generations: list[Path] = field(default_factory=list)


def search(folder: Path, suffixes: Collection[str], passed: Passed, *, generations: bool = False) -> Found:
    """Find the files below `folder` whose suffix in lower case is in `suffixes`.

    `passed` collects what is skipped. `generations`: list the folders of generations separately and do not search
    them. Raises UsageError if `folder` itself cannot be read.
    """
    found, seen = Found(), set[tuple[int, int]]()

    def closed(error: OSError) -> None:
        if error.filename is not None and Path(error.filename) == folder:
            raise UsageError(f"{folder}: cannot be read: {error.strerror}")
        passed.closed.append(str(error.filename))

    for top, folders, names in os.walk(folder, onerror=closed, followlinks=True):
        folders.sort()  # if two links lead to one folder, the first by name counts on every file system
        place = Path(top)
        about = place.stat()
        if (about.st_dev, about.st_ino) in seen:
            passed.again += 1
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        if generations and place != folder and GENERATION_FILE in names:
            found.generations.append(place)
            folders.clear()
            continue
        for name in [name for name in folders if name.startswith(".")]:
            folders.remove(name)
            passed.hidden += sum(
                Path(inner).suffix.lower() in suffixes for _, _, inside in os.walk(place / name) for inner in inside
            )
        for name in names:
            path = place / name
            if path.suffix.lower() not in suffixes:
                passed.other[path.suffix.lower()] += 1
            elif name.startswith("."):
                passed.hidden += 1
            else:
                (found.files if path.exists() else found.dangling).append(path)
    for listed in (found.files, found.dangling, found.generations):
        listed.sort(key=lambda path: natural_key(path.relative_to(folder).as_posix()))
    return found
