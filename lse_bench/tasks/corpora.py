"""Tasks that make a MiniLRS corpus, draw pairs from a corpus, or import an official list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.edit import join, keep, sample, split
from lse_bench.manifests.manifest import Manifest, read_manifest, write_manifest
from lse_bench.manifests.official_lists import fetch_list, import_list
from lse_bench.manifests.pair_lists import manifest_from
from lse_bench.manifests.pairing import build_manifest
from lse_bench.manifests.preview import Preview
from lse_bench.manifests.search import Passed
from lse_bench.minilrs.summary import CorpusSummary
from lse_bench.reporting import Report
from lse_bench.storage import read_bytes
from lse_bench.tasks.checks import spec_of
from lse_bench.tasks.declared_corpora import BuildOptions, EditOptions, FromOptions, ImportOptions, MiniLrsOptions
from lse_bench.tasks.options import settings_of


def make_minilrs(out: Path, options: MiniLrsOptions, report: Report) -> CorpusSummary:
    """Make MiniLRS in `out` and return the content of its corpus.json. A repeated call continues a stopped one."""
    from lse_bench.minilrs.corpus import make_corpus

    with report.counting("making clips", options.speakers * options.clips) as counter:
        return make_corpus(spec_of(options), out, options.workers, lambda made: counter.advance())


def build_pairs(out: Path, folder: Path, options: BuildOptions, report: Report) -> Manifest:
    """Draw pairs from a corpus, any folder of videos or a list of clips, and write them to the file `out`.

    Raises UsageError if the folder or list does not exist or the rule leaves too few pairs.
    """
    if not folder.exists():
        raise UsageError(f"{folder}: no such folder")
    passed, preview = Passed(), Preview()
    with report.working(f"Searching {folder}"):
        manifest = build_manifest(
            folder,
            options.pairs,
            options.seed,
            options.rule,
            options.split,
            passed,
            options.speaker_from,
            preview,
        )
    tell(preview, passed, report)
    return _written(manifest, out, report)


def pairs_from(out: Path, path: Path, root: Path | None, options: FromOptions, report: Report) -> Manifest:
    """Turn the list of pairs `path` into a manifest, tell what was understood, and write it to the file `out`.

    `root`: the folder that names are relative to, or None for the folder of the list. Raises UsageError if the list is
    wrong.
    """
    preview = Preview()
    renamed = settings_of(options.column, "--column")
    with report.working(f"Reading {path}"):
        manifest = manifest_from(path, root, options.speaker_from, renamed, options.name, preview)
    tell(preview, Passed(), report)
    return _written(manifest, out, report)


def edit_pairs(out: Path, paths: Sequence[Path], options: EditOptions, report: Report) -> list[Manifest]:
    """Join manifests, keep some of their pairs, and write them to the file `out`, or in parts to the folder `out`.

    Raises UsageError if the manifests cannot be joined or if an option leaves no pair.
    """
    manifest = join([read_manifest(path) for path in paths], options.name)
    manifest = keep(manifest, options.where)
    if options.sample is not None:
        manifest = sample(manifest, options.sample, options.seed)
    if options.by is not None and not options.split:
        raise UsageError("--by belongs to --split. Give the parts with --split NAME=SHARE")
    if not options.split:
        return [_written(manifest, out, report)]
    if out.is_file():
        raise UsageError(f"{out}: is a file. With --split, --out is a folder for the parts")
    parts = split(manifest, options.split, options.by, options.seed)
    out.mkdir(parents=True, exist_ok=True)
    return [_written(part, out / f"{name}.json", report) for name, part in parts.items()]


def tell(preview: Preview, passed: Passed, report: Report) -> None:
    """Tell what was understood of a source, what is probably not meant, and what was skipped."""
    for line in preview.lines:
        report.say(line)
    for doubt in preview.doubts:
        report.warn(doubt)
    if (skipped := passed.sentence()) is not None:
        report.warn(skipped)


def import_pairs(out: Path, corpus: str, root: Path | None, options: ImportOptions, report: Report) -> Manifest:
    """Import the official list of `corpus` and write it to the file `out`.

    `root`: the folder of the corpus, or None if it is given later. Raises UsageError if the list cannot be fetched or
    read, or if its digest is not the official one and `any_digest` is not set.
    """
    if options.list is None:
        with report.fetching(options.offline, trust=False) as settings:
            content = fetch_list(corpus, settings)
    else:
        content = read_bytes(options.list)
    return _written(import_list(corpus, content, root, any_digest=options.any_digest), out, report)


def _written(manifest: Manifest, out: Path, report: Report) -> Manifest:
    write_manifest(manifest, out)
    report.say(f"{len(manifest.jobs)} pairs, {manifest.name}: {out}")
    return manifest
