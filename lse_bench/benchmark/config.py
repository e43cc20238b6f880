"""BENCH.toml: which methods, on which lists of pairs, scored how. Checked field by field before anything runs.

Options of a step are those of its command, with `_` for `-`: `pads = "0,10,0,0"`, `legacy = true`, `set = ["a=b"]`;
`tasks.declared` has them. Files are relative to the folder that BENCH.toml lies in.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lse_bench.errors import UsageError
from lse_bench.naming import slug
from lse_bench.storage import parse_toml, read_text
from lse_bench.sync.protocol import get_protocol

ANCHORS = ("real", "unsynced")
Value = bool | int | float | str | list[str]
Given = dict[str, Value]  # options as they stand in the file


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ManifestConfig(Section):
    """A list of pairs: a `file`; or one that is made: `build` (options of `manifest build`) or `official` (of `manifest
    import`) from the corpus in `root`, or from one that `minilrs` makes first.
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
            raise ValueError("a manifest has a `file`, or is made by `build` or `official`; one of the three")
        if self.minilrs is not None and (self.root is not None or self.build is None):
            raise ValueError("`minilrs` makes the corpus for `build`, and there is no `root` then")
        if self.build is not None and self.minilrs is None and self.root is None:
            raise ValueError("`build` needs a corpus: its folder as `root`, or `minilrs`")
        if self.official is not None and not isinstance(self.official.get("corpus"), str):
            raise ValueError("`official` names its `corpus`: lrs2, lrs3, lrw, resynced-random or resynced-tts")
        return self


class MethodConfig(Section):
    """A row of the table: a generator of `lse-bench generate --list` with options of `lse-bench generate`."""

    name: str = Field(min_length=1)
    generator: str
    options: Given = {}


class BenchConfig(Section):
    """The whole. `protocols`: options of `lse-bench score`, one set for each; `fid`, `fd_sync`: of those commands,
    against the real videos; left out where there are none. `max_failed`: clips that may fail in all before the exit
    status is 1; `published`: print others' figures beside ours.
    """

    name: str = Field(min_length=1)
    manifests: tuple[ManifestConfig, ...] = Field(min_length=1)
    methods: tuple[MethodConfig, ...] = Field(min_length=1)
    protocols: tuple[Given, ...] = Field(min_length=1)
    fid: Given | None = None
    fd_sync: Given | None = None
    max_failed: int = Field(default=0, ge=0)
    published: bool = False

    @model_validator(mode="after")
    def _no_doubles(self) -> BenchConfig:
        for what, names in (("manifests", self.manifests), ("methods", self.methods)):
            double = next((name for name, n in Counter(slug(one.name) for one in names).items() if n > 1), None)
            if double is not None:
                raise ValueError(f"two {what} would share the folder {double}; rename one of them")
        for method in self.methods:
            if (method.generator in ANCHORS or method.name in ANCHORS) and method.name != method.generator:
                raise ValueError(f"{method.name}: {', '.join(ANCHORS)} are rows of those generators, under these names")
        scored_as = Counter(get_protocol(str(options.get("protocol", "lrs@1"))).id for options in self.protocols)
        if twice := [name for name, count in scored_as.items() if count > 1]:
            raise ValueError(f"two protocols are {twice[0]}. Put the second configuration into a separate file")
        return self

    def with_anchors(self) -> BenchConfig:
        """With `real` and `unsynced`, without which no table can be read."""
        there = {method.generator for method in self.methods}
        added = tuple(MethodConfig(name=name, generator=name) for name in ANCHORS if name not in there)
        return BenchConfig.model_validate(self.model_dump() | {"methods": added + self.methods})


def read_config(path: Path) -> BenchConfig:
    """Raises UsageError naming the file, the field and what is wrong."""
    return config_of(read_text(path), path)


def config_of(text: str, where: Path) -> BenchConfig:
    """The config of a file's text. Raises UsageError as `read_config`."""
    try:
        return BenchConfig.model_validate(parse_toml(text, where)).with_anchors()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{where}: {field}: {first['msg'].removeprefix('Value error, ')}") from None
