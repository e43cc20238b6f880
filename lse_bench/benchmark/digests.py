"""What the digest of a step knows of files, weights and options: their content, not their names."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, get_origin

from lse_bench.tasks.options import Declared, settings_of
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import path_of
from lse_bench.weights.table import Entry, table


def content_of(value: Path | str) -> list[str]:
    """Return what identifies an input. A file is identified by its digest and not by its name."""
    if isinstance(value, Path) and value.is_file():
        return ["file", file_digest(value)]
    return [str(value)]


def files_in(folder: Path) -> list[list[str]]:
    """Return the names and digests of the files in a folder, such as one of face boxes."""
    return [[path.name, file_digest(path)] for path in sorted(folder.iterdir()) if path.is_file()]


def option_of(declared: Declared, value: Any) -> Any:
    """Return what identifies the value of an option. Files and weights are identified by their digests."""
    if declared.flag.names == "settings":
        return {name: _named(text) for name, text in settings_of(value).items()}
    if declared.flag.names in ("file", "weights"):
        return _named(value)
    if declared.flag.names == "command":
        return [_named(word) for word in shlex.split(value)]
    if isinstance(value, Path):
        return files_in(value) if value.is_dir() else content_of(value)
    return list(value) if get_origin(declared.kind) is tuple else value


def _named(value: str) -> list[str]:
    """Return what identifies weights: the name and digest of the table, or the digest of a file.

    A file has an absolute path, which `read_options` makes.
    """
    if value in table():
        return [value, digest_of(table()[value])]
    return content_of(Path(value) if Path(value).is_absolute() else value)


def digest_of(item: Entry) -> str:
    """Return the published digest of weights. If there is none, return that of the file, or `absent` without a file."""
    path = path_of(item)
    return item.sha256 or (file_digest(path) if path.exists() else "absent")
