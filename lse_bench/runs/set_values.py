"""The values of set measures of a run: the content of sets.json."""

from __future__ import annotations

from pathlib import Path

from lse_bench.stored import Stored, read_stored

SETS_FILE = "sets.json"


class StoredSetValue(Stored):
    """The value of a set measure for the clips of a run."""

    value: float
    """The value."""
    standard_error: float | None = None
    """Standard error for other clips of the same kind; null if it is unknown."""
    error_method: str | None = None
    """Method of the standard error."""
    clips: int
    """Number of clips with features."""
    warnings: list[str] = []
    """What makes the value uncertain."""


class Sets(Stored):
    """The content of sets.json."""

    schema_version: int = 1
    """Version of this format."""
    values: dict[str, StoredSetValue] = {}
    """The value of each set measure. FID and KID are in fid.json, where the command `fid` puts them too."""
    missing: dict[str, str] = {}
    """Why a set measure has no value."""


def read_sets(run: Path) -> Sets:
    """Return the values of set measures of a run directory; none if it has no sets.json.

    Raises UsageError if the file is damaged.
    """
    path = run / SETS_FILE
    way_out = "Run the same lse-bench score command again to rewrite it"
    return read_stored(path, Sets, way_out) if path.exists() else Sets()
