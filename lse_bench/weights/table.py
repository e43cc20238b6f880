"""The table of weights: what each file is, where it comes from, its digest, size and licence (`table.toml`)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lse_bench.errors import WeightsError, no_such


class Entry(BaseModel):
    """One file.

    `sha256` None: never published. `confirmed`: seen in two independent places. `by_hand`: behind a form. `embedded`: a
    file of this package.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    file: str
    what: str
    urls: tuple[str, ...] = ()
    licence: str
    format: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(default=None, gt=0)
    confirmed: bool = True
    by_hand: bool = False
    embedded: bool = False

    @model_validator(mode="after")
    def _has_an_origin(self) -> Self:
        if not self.embedded and not self.urls:
            raise ValueError(f"{self.name}: where does it come from?")
        return self


@cache
def table() -> dict[str, Entry]:
    """Every entry by name, in the order of the file."""
    content = tomllib.loads(files("lse_bench.weights").joinpath("table.toml").read_text(encoding="utf-8"))
    return {name: Entry(name=name, **fields) for name, fields in content.items()}


def entry(name: str) -> Entry:
    """The entry called `name`. Raises WeightsError with the nearest name."""
    known = table()
    if name not in known:
        raise WeightsError(no_such("weights", name, known) + ", or give a file")
    return known[name]


def name_of_digest(sha256: str) -> str | None:
    """The name of the published file with this digest, None for any other."""
    return next((item.name for item in table().values() if item.sha256 == sha256), None)
