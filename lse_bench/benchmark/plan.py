"""The plan of a benchmark: its steps, in an order in which they can run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lse_bench.benchmark.config import BenchConfig, Given, ManifestConfig, MethodConfig
from lse_bench.benchmark.digests import digest_of
from lse_bench.benchmark.steps import (
    AdoptStep,
    BuildStep,
    CorpusStep,
    FdSyncStep,
    FidStep,
    GenerateStep,
    ImportStep,
    ScoreStep,
    Step,
)
from lse_bench.errors import UsageError
from lse_bench.generators.registry import load
from lse_bench.manifests.manifest import read_manifest
from lse_bench.manifests.search import Passed, search
from lse_bench.media.program import find_ffmpeg
from lse_bench.naming import MEDIA_SUFFIXES, safe_id, slug
from lse_bench.sync.protocol import get_protocol
from lse_bench.tables.table import REAL, UNSYNCED
from lse_bench.tasks.declared import AdoptOptions, FdSyncOptions, FidOptions, GenerateOptions, ScoreOptions
from lse_bench.tasks.declared_corpora import BuildOptions, ImportOptions, MiniLrsOptions
from lse_bench.tasks.measuring import needs_originals
from lse_bench.tasks.options import read_options, settings_of
from lse_bench.versions import ffmpeg_version
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import table


def steps_of(config: BenchConfig, folder: Path, out: Path) -> list[Step]:
    """Return all steps of a benchmark. `folder`: the folder of BENCH.toml. `out`: the folder of the benchmark.

    Raises UsageError if a manifest file cannot be read, or if a step does not have a given option.
    """
    steps: list[Step] = []
    for manifest in config.manifests:
        pairs, before = _pairs(manifest, folder, out)
        steps += before
        methods = methods_of(config, manifest, folder)
        made = {
            method.name: (_adoption if method.videos else _generation)(method, pairs, folder, out) for method in methods
        }
        steps += made.values()
        real = next(made[method.name] for method in methods if method.generator == REAL)
        for method in methods:
            steps += _measures(config, manifest, made[method.name], real, folder, out)
    return steps


def methods_of(config: BenchConfig, manifest: ManifestConfig, folder: Path) -> list[MethodConfig]:
    """Return the methods that are run on a list of pairs. `folder`: the folder of BENCH.toml.

    Where each clip has its own sound, the anchor `unsynced` would be in sync, so it is left out.
    """
    drawn = manifest.build or {}
    rule = read_manifest(folder / manifest.file).rule if manifest.file is not None else drawn.get("rule")
    return [method for method in config.methods if not (rule == "self" and method.generator == UNSYNCED)]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A list of pairs.

    `manifest`: its name in the benchmark. `made`: its file, or the step that makes it. `root`: the folder of its files,
    None if the manifest itself names it. `items`: the number of pairs; if the list is not made yet, the planned number,
    or 0 if it is unknown. `digests`: the digest of the list if it is a file; a step has a digest of its own.
    """

    manifest: str
    made: Step | Path
    root: Path | None
    items: int
    digests: tuple[str, ...]


def _list_of(name: str, path: Path, root: Path | None) -> _Pairs:
    listed = read_manifest(path)
    return _Pairs(name, path, root, len(listed.jobs), (listed.sha256,))


def _list_from(name: str, step: Step) -> _Pairs:
    items = len(read_manifest(step.out).jobs) if step.out.exists() else step.items
    return _Pairs(name, step, None, items, ())


def _pairs(manifest: ManifestConfig, folder: Path, out: Path) -> tuple[_Pairs, list[Step]]:
    """Return the list of pairs, and the steps that make it."""
    root = None if manifest.root is None else (folder / manifest.root).absolute()
    if manifest.file is not None:
        return _list_of(manifest.name, (folder / manifest.file).absolute(), root), []
    name, steps = slug(manifest.name), list[Step]()
    corpus: Step | Path | None = root
    if manifest.minilrs is not None:
        made = read_options(MiniLrsOptions, manifest.minilrs, folder, f"{manifest.name}: minilrs")
        items = made.speakers * made.clips
        corpus = CorpusStep(options=made, folder=out / "corpora" / name, items=items, manifest=manifest.name)
        steps.append(corpus)
    lists = out / "manifests" / name
    step: Step
    if manifest.build is not None:
        assert corpus is not None
        drawn = read_options(BuildOptions, manifest.build, folder, f"{manifest.name}: build")
        items = drawn.pairs or 0
        step = BuildStep(options=drawn, corpus=corpus, folder=lists, items=items, manifest=manifest.name)
    else:
        assert manifest.official is not None
        rest = {name: value for name, value in manifest.official.items() if name != "corpus"}
        official = read_options(ImportOptions, rest, folder, f"{manifest.name}: official")
        named = str(manifest.official["corpus"])
        step = ImportStep(options=official, corpus=named, root=root, folder=lists, manifest=manifest.name)
    return _list_from(manifest.name, step), [*steps, step]


def _generation(method: MethodConfig, pairs: _Pairs, folder: Path, out: Path) -> GenerateStep:
    options = read_options(GenerateOptions, method.options, folder, method.name)
    return GenerateStep(
        options=options,
        generator=method.generator,
        pairs=pairs.made,
        root=pairs.root,
        folder=_place(method, pairs, out),
        items=pairs.items,
        manifest=pairs.manifest,
        method=method.name,
        behind=(*pairs.digests, *_behind(method.generator, options)),
    )


def _adoption(method: MethodConfig, pairs: _Pairs, folder: Path, out: Path) -> AdoptStep:
    options = read_options(AdoptOptions, method.adopt, folder, method.name)
    videos = (folder / method.videos.replace("{manifest}", slug(pairs.manifest))).absolute()
    sounds = _states_of_sounds(pairs.made, pairs.root) if options.pair_sounds and isinstance(pairs.made, Path) else ()
    return AdoptStep(
        options=options,
        videos=videos,
        pairs=pairs.made,
        root=pairs.root,
        folder=_place(method, pairs, out),
        items=pairs.items,
        manifest=pairs.manifest,
        method=method.name,
        behind=(*pairs.digests, *_state_of(videos), *sounds),
    )


def _place(method: MethodConfig, pairs: _Pairs, out: Path) -> Path:
    return out / "videos" / slug(pairs.manifest) / slug(method.name)


def _state_of(folder: Path) -> Iterator[str]:
    """Yield name, size and time of each file in a folder of finished videos. Hashing them could take hours."""
    for path in search(folder, MEDIA_SUFFIXES, Passed()).files if folder.is_dir() else ():
        yield _state(path, folder)


def _state(path: Path, folder: Path) -> str:
    about = path.stat()
    return f"{path.relative_to(folder)} {about.st_size} {about.st_mtime_ns}"


def _states_of_sounds(pairs: Path, root: Path | None) -> Iterator[str]:
    """Yield name, size and time of each sound of a manifest that exists."""
    manifest = read_manifest(pairs)
    folder = root if root is not None else Path(manifest.root) if manifest.root is not None else None
    for name in dict.fromkeys(job.sound for job in manifest.jobs) if folder is not None else ():
        if folder is not None and (folder / name).is_file():
            yield _state(folder / name, folder)


def _behind(generator: str, options: GenerateOptions) -> Iterator[str]:
    """Yield what else the videos of a generator depend on.

    It is the name and version of another package that provides the generator, the digest of its default weights, and
    the digests of files that a command line names.
    """
    plugin = load(generator)
    if plugin.package != "lse-bench":
        yield f"{plugin.package} {plugin.version}"
    default = None if plugin.make is None or options.weights else plugin.make.weights
    if default is not None and default in table():
        yield digest_of(table()[default])
    line = options.command or settings_of(options.settings).get("command", "")
    for word in shlex.split(line):
        if Path(word).is_file():
            yield file_digest(Path(word))


def _measures(
    config: BenchConfig,
    manifest: ManifestConfig,
    videos: GenerateStep | AdoptStep,
    real: Step,
    folder: Path,
    out: Path,
) -> Iterator[Step]:
    """Yield the steps that score one method's videos and compute their FID and fd-sync to the real videos."""
    cell = out / "scores" / slug(manifest.name) / slug(videos.method)
    common = {"items": videos.items, "manifest": manifest.name, "method": videos.method}
    scored = list[Step]()
    for given in config.protocols:
        options = read_options(ScoreOptions, given, folder, "protocols")
        # Different versions of FFmpeg make different JPEG files, which give different scores.
        behind = _codecs(options)
        target = cell / safe_id(options.protocol)
        originals = real if options.originals is None and needs_originals(options.measures) else None
        here = {"options": options, "folder": target, "protocol": options.protocol, "behind": behind}
        here |= {"originals": originals}
        scored.append(ScoreStep(videos=videos, **here, **common))  # type: ignore[arg-type]
    yield from scored
    compared = scored[0] if isinstance(videos, AdoptStep) else videos  # a folder of finished videos may hold others
    if config.fid is not None:
        fid = read_options(FidOptions, config.fid, folder, "fid")
        yield FidStep(options=fid, videos=compared, real=real, folder=cell / "fid", **common)  # type: ignore[arg-type]
    if config.fd_sync is not None:
        lips = read_options(FdSyncOptions, _listening(config, config.fd_sync), folder, "fd_sync")
        yield FdSyncStep(options=lips, videos=compared, real=real, folder=cell / "fd-sync", **common)  # type: ignore[arg-type]


def _codecs(options: ScoreOptions) -> tuple[str, ...]:
    """Return the versions of the programs and libraries whose codecs change the scores of a protocol."""
    codec = get_protocol(options.protocol).codec
    if codec == "none":
        return ()
    if codec == "pipeline":
        try:
            return (find_ffmpeg(options.ffmpeg).version,)
        except UsageError:  # reported before the first clip
            return ("absent",)
    return (ffmpeg_version(),)


def _listening(config: BenchConfig, given: Given) -> Given:
    """Return options of fd-sync that use the scorer of the benchmark, unless they name weights of their own."""
    scorer = next((options["weights"] for options in config.protocols if "weights" in options), None)
    return given if "weights" in given or scorer is None else {**given, "weights": scorer}


def cells(steps: Sequence[Step]) -> dict[tuple[str, str], list[Step]]:
    """Return the score, FID and fd-sync steps of each pair of manifest and method."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        if step.kind in ("score", "fid", "fd-sync"):
            found.setdefault((step.manifest, step.method), []).append(step)
    return found
