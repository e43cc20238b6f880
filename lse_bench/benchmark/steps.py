"""The steps of a benchmark: commands of ours, what each depends on, and where its result lies.

A step's digest covers its options, the digests of the files it reads and those of the steps before it. The digest is
part of the result's name, so a step whose dependencies have changed is another step, and nothing old is overwritten.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from lse_bench.benchmark.config import BenchConfig, ManifestConfig, MethodConfig, Options, arguments_of
from lse_bench.errors import UsageError
from lse_bench.generators.registry import load
from lse_bench.manifests.manifest import read_manifest
from lse_bench.naming import safe_id, slug
from lse_bench.sync.protocol import get_protocol
from lse_bench.versions import ffmpeg_version
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import path_of
from lse_bench.weights.table import Entry, table

Kind = Literal["corpus", "manifest", "generate", "score", "fid", "fd-sync"]
_SHOWN = 10  # letters of a digest in a file name
_ANY = "1000000000"  # clips that may fail: a step with failed clips has a result, where they are counted


@dataclass(frozen=True)
class Step:
    """One command. `before`: words, and steps whose results it takes; `out`: its result; `items`: clips that it works
    on, 0 where not known yet; `manifest`, `method`, `protocol`: whose cell it belongs to, "" where it serves several.
    """

    kind: Kind
    words: tuple[str | Step, ...]
    folder: Path
    suffix: str = ""
    items: int = 0
    manifest: str = ""
    method: str = ""
    protocol: str = ""
    content: str = ""  # what a file it reads holds, where that is not the file's digest

    @property
    def label(self) -> str:
        """For a person."""
        return " ".join(part for part in (self.kind, self.manifest, self.method, self.protocol) if part)

    @property
    def needs(self) -> list[Step]:
        """The steps whose results it takes."""
        return [word for word in self.words if isinstance(word, Step)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything its result follows from."""
        words = [word.digest if isinstance(word, Step) else _content(word) for word in self.words]
        version = importlib.metadata.version("lse-bench")
        known = [version, self.kind, words, self.content]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    @property
    def out(self) -> Path:
        """Its result: a folder or a file."""
        return self.folder.with_name(f"{self.folder.name}-{self.digest[:_SHOWN]}{self.suffix}")

    def arguments(self) -> list[str]:
        """The command, without `lse-bench`."""
        words = [str(word.out) if isinstance(word, Step) else word for word in self.words]
        return [*words, "--out", str(self.out)]


def _content(word: str) -> list[str]:
    """A word and, where it names a file or weights of the table, alone or as `NAME=FILE`, their digest.

    A file is named by its whole path (`config.located`): a word such as `score` or `1` is none, whatever lies in the
    current folder.
    """
    name, equals, rest = word.partition("=")
    for lead, value in ((word, word), (name, rest)) if equals else ((word, word),):
        if value in table():
            return [word, _digest_of(table()[value])]
        if Path(value).is_absolute() and Path(value).is_file():
            return [lead if value == rest else Path(value).name, file_digest(Path(value))]
    return [word]


def _digest_of(item: Entry) -> str:
    """Of weights: what the table says or, where nobody published one, of the file that is there."""
    path = path_of(item)
    return item.sha256 or (file_digest(path) if path.exists() else "absent")


def steps_of(config: BenchConfig, folder: Path, out: Path) -> list[Step]:
    """All steps in an order in which they can run. `folder`: of BENCH.toml; `out`: of the benchmark.

    Raises UsageError for a manifest file that cannot be read.
    """
    steps: list[Step] = []
    for manifest in config.manifests:
        pairs, root, before, items = _pairs(manifest, folder, out)
        steps += before
        generated = {
            method.name: _generation(method, manifest, pairs, root, items, folder, out) for method in config.methods
        }
        steps += generated.values()
        real = next(generated[method.name] for method in config.methods if method.generator == "real")
        for method in config.methods:
            steps += _measures(config, manifest, method.name, generated[method.name], real, folder, out)
    return steps


def _pairs(manifest: ManifestConfig, folder: Path, out: Path) -> tuple[Step | Path, list[str | Step], list[Step], int]:
    """The list of pairs, the corpus's folder as an option, the steps that make them, and the number of pairs."""
    name = slug(manifest.name)
    if manifest.file is not None:
        path = folder / manifest.file
        items = len(read_manifest(path).jobs)
        root_option: list[str | Step] = []
        if manifest.root is not None:
            root_option = ["--root", str((folder / manifest.root).absolute())]
        return path, root_option, [], items
    steps: list[Step] = []
    root: str | Step
    if manifest.minilrs is not None:
        clips = _number(manifest, "minilrs", "speakers", 10) * _number(manifest, "minilrs", "clips", 8)
        words = ("minilrs", *arguments_of(manifest.minilrs, folder))
        root = Step("corpus", words, out / "corpora" / name, items=clips, manifest=manifest.name)
        steps.append(root)
    else:
        root = "" if manifest.root is None else str((folder / manifest.root).absolute())
    lists = out / "manifests" / name
    if manifest.build is not None:
        made = ("manifest", "build", root, *arguments_of(manifest.build, folder))
        items = _number(manifest, "build", "pairs", 0)
    else:
        assert manifest.official is not None
        corpus, rest = str(manifest.official["corpus"]), dict(manifest.official)
        del rest["corpus"]
        made = ("manifest", "import", corpus, *(("--root", root) if root else ()), *arguments_of(rest, folder))
        items = 0
    step = Step("manifest", made, lists, suffix=".json", items=items, manifest=manifest.name)
    if step.out.exists():
        items = len(read_manifest(step.out).jobs)
    return step, [], [*steps, step], items


def _number(manifest: ManifestConfig, section: str, field: str, default: int) -> int:
    """A count that a section of a manifest gives. Raises UsageError for what is none."""
    value = getattr(manifest, section).get(field, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{manifest.name}: {section}.{field} = {value!r}: a whole number is needed")
    return value


def _generation(
    method: MethodConfig,
    manifest: ManifestConfig,
    pairs: Step | Path,
    root: Sequence[str | Step],
    items: int,
    folder: Path,
    out: Path,
) -> Step:
    listed: str | Step = str(pairs.absolute()) if isinstance(pairs, Path) else pairs
    words = ("generate", method.generator, "--manifest", listed, *root, *arguments_of(method.options, folder))
    target = out / "videos" / slug(manifest.name) / slug(method.name)
    content = [read_manifest(pairs).sha256] if isinstance(pairs, Path) else []
    content += _behind(method)
    return Step(
        "generate", (*words, "--max-failed", _ANY), target, items=items, manifest=manifest.name, method=method.name,
        content=json.dumps(content) if content else "",
    )  # fmt: skip


def _behind(method: MethodConfig) -> list[str]:
    """What else a generator's pictures follow from: another package's version, default weights that nobody published
    a digest of, files that a command line names."""
    found = []
    plugin = load(method.generator)
    if plugin.package != "lse-bench":
        found.append(f"{plugin.package} {plugin.version}")
    default = None if plugin.make is None or "checkpoint" in method.options else plugin.make.weights
    if default is not None and default in table():
        found.append(_digest_of(table()[default]))
    for word in shlex.split(str(method.options.get("command", ""))):
        if Path(word).is_file():
            found.append(file_digest(Path(word)))
    return found


def _measures(
    config: BenchConfig, manifest: ManifestConfig, method: str, videos: Step, real: Step, folder: Path, out: Path
) -> Iterator[Step]:
    """The scores of one method's videos, and its distances from the real ones."""
    cell = out / "scores" / slug(manifest.name) / slug(method)
    common = {"items": videos.items, "manifest": manifest.name, "method": method}
    for options in config.protocols:
        name = str(options.get("protocol", "lrs@1"))
        words = ("score", videos, *arguments_of(options, folder), "--max-failed", _ANY)
        # No two versions of FFmpeg make the same JPEG: what they move is another score.
        content = "" if get_protocol(name).codec == "none" else ffmpeg_version()
        yield Step("score", words, cell / safe_id(name), protocol=name, content=content, **common)  # type: ignore[arg-type]
    listener = next((options["weights"] for options in config.protocols if "weights" in options), None)
    lips = config.fd_sync
    if lips is not None and "weights" not in lips and listener is not None:
        lips = {**lips, "weights": listener}  # the scorer of the benchmark, if it names one
    distances: tuple[tuple[Kind, Options | None], ...] = (("fid", config.fid), ("fd-sync", lips))
    for kind, chosen in distances:
        if chosen is not None:
            words = (kind, videos, real, *arguments_of(chosen, folder), "--max-failed", _ANY)
            yield Step(kind, words, cell / kind, suffix=".json", **common)  # type: ignore[arg-type]


def cells(steps: Sequence[Step]) -> dict[tuple[str, str], list[Step]]:
    """The measuring steps of each manifest and method."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        if step.kind in ("score", "fid", "fd-sync"):
            found.setdefault((step.manifest, step.method), []).append(step)
    return found
