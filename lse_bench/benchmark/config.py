"""The format of BENCH.toml, which names the methods, lists of pairs and protocols of a benchmark.

Every field is checked before a step runs. A step has the options of its command, with `_` for `-`:
`pads = "0,10,0,0"`, `legacy = true`, `set = ["a=b"]`. `tasks.declared` declares them. File names are relative to the
folder of BENCH.toml.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lse_bench.errors import UsageError
from lse_bench.naming import slug
from lse_bench.storage import parse_toml, read_text
from lse_bench.sync.protocol import get_protocol
from lse_bench.tables.table import REAL, UNSYNCED

ANCHORS = (REAL, UNSYNCED)
Given = dict[str, Any]  # options, unchecked, as the file has them


class Section(BaseModel):
    """The base of the tables of the file. It refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ManifestConfig(Section):
    """A list of pairs. It has exactly one of `file`, `build` and `official`.

    `file`: an existing manifest. `build`: options of `manifest build`, which draws the list. `official`: options of
    `manifest import`, which imports it; its `corpus` names the list. `root`: the folder of the corpus. `minilrs`:
    options of `minilrs`, which makes the corpus for `build` first; then `root` is not allowed.
    """

    name: str = Field(min_length=1)
    file: Path | None = None
    root: Path | None = None
    minilrs: Given | None = None
    build: Given | None = None
    official: Given | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> ManifestConfig:
        if sum(value is not None for value in (self.file, self.build, self.official)) != 1:
            raise ValueError(
                "a manifest has a `file`, or is made by `build` or `official`. Give exactly one of the three"
            )
        if self.minilrs is not None and (self.root is not None or self.build is None):
            raise ValueError("`minilrs` makes the corpus for `build`. Give `build` and leave out `root`")
        if self.build is not None and self.minilrs is None and self.root is None:
            raise ValueError("`build` needs a corpus. Give its folder as `root`, or give `minilrs`")
        if self.official is not None and not isinstance(self.official.get("corpus"), str):
            raise ValueError("`official` needs a `corpus`: lrs2, lrs3, lrw, resynced-random or resynced-tts")
        return self


class MethodConfig(Section):
    """A method, which is a row of the table. It has either `generator` or `videos`.

    `generator`: the name of a generator, and `options`: its options in `lse-bench generate`. `videos`: a folder of
    finished videos; `{manifest}` in it stands for the name of the list of pairs, in lower case. `adopt`: how they are
    matched with the pairs, see `AdoptOptions`.
    """

    name: str = Field(min_length=1)
    generator: str = ""
    options: Given = {}
    videos: str = ""
    adopt: Given = {}

    @model_validator(mode="after")
    def _one_origin(self) -> MethodConfig:
        if bool(self.generator) == bool(self.videos):
            raise ValueError(f"{self.name}: a method has a `generator` or finished `videos`. Give exactly one of them")
        if (self.options and self.videos) or (self.adopt and self.generator):
            given = "`options` belong to a `generator`" if self.options else "`adopt` belongs to finished `videos`"
            raise ValueError(f"{self.name}: {given}")
        return self


class BenchConfig(Section):
    """The content of BENCH.toml.

    `protocols`: options of `lse-bench score`, one set for each protocol. `fid`, `fd_sync`: options of these commands,
    which compare with the real videos; None leaves the measure out. `max_failed`: the total number of clips that may
    fail before the exit status is 1. `published`: print the published scores next to ours.
    """

    name: str = Field(min_length=1)
    manifests: tuple[ManifestConfig, ...] = Field(min_length=1)
    methods: tuple[MethodConfig, ...] = Field(min_length=1)
    protocols: tuple[Given, ...] = Field(min_length=1)
    fid: Given | None = None
    fd_sync: Given | None = None
    max_failed: int = Field(default=0, ge=0, strict=True)
    published: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _no_doubles(self) -> BenchConfig:
        for what, names in (("manifests", self.manifests), ("methods", self.methods)):
            double = next((name for name, n in Counter(slug(one.name) for one in names).items() if n > 1), None)
            if double is not None:
                raise ValueError(f"two {what} would share the folder {double}. Rename one of them")
        for method in self.methods:
            if (method.generator in ANCHORS or method.name in ANCHORS) and method.name != method.generator:
                raise ValueError(
                    f"{method.name}: {', '.join(ANCHORS)} are rows of those generators, under these names only"
                )
        scored_as = Counter(get_protocol(str(options.get("protocol", "lrs@1"))).id for options in self.protocols)
        if twice := [name for name, count in scored_as.items() if count > 1]:
            raise ValueError(f"two protocols are {twice[0]}. Put the second configuration into a separate file")
        return self

    def with_anchors(self) -> BenchConfig:
        """Return the config with the anchors `real` and `unsynced`, which every table needs. Absent ones come first."""
        there = {method.generator for method in self.methods}
        added = tuple(MethodConfig(name=name, generator=name) for name in ANCHORS if name not in there)
        return BenchConfig.model_validate(self.model_dump() | {"methods": added + self.methods})


def read_config(path: Path) -> BenchConfig:
    """Read a BENCH.toml and add the anchors. Raises UsageError, which names the file, the field and the fault."""
    return config_of(read_text(path), path)


def config_of(text: str, where: Path) -> BenchConfig:
    """Return the config in `text`, with the anchors. `where`: its file, for messages. Raises UsageError for a fault."""
    try:
        return BenchConfig.model_validate(parse_toml(text, where)).with_anchors()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{where}: {field}: {first['msg'].removeprefix('Value error, ')}") from None
