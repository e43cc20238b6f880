"""Tasks that make a MiniLRS corpus, draw pairs from a corpus, or import an official list."""

from __future__ import annotations

from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.manifest import Manifest, write_manifest
from lse_bench.manifests.official_lists import fetch_list, import_list
from lse_bench.manifests.pairing import build_manifest
from lse_bench.manifests.search import Passed
from lse_bench.minilrs.summary import CorpusSummary
from lse_bench.reporting import Report
from lse_bench.storage import read_bytes
from lse_bench.tasks.checks import spec_of
from lse_bench.tasks.declared import BuildOptions, ImportOptions, MiniLrsOptions


def make_minilrs(out: Path, options: MiniLrsOptions, report: Report) -> CorpusSummary:
    """Make MiniLRS in `out` and return the content of its corpus.json. A repeated call continues a stopped one."""
    from lse_bench.minilrs.corpus import make_corpus

    with report.counting("making clips", options.speakers * options.clips) as counter:
        return make_corpus(spec_of(options), out, options.workers, lambda made: counter.advance())


def build_pairs(out: Path, folder: Path, options: BuildOptions, report: Report) -> Manifest:
    """Draw pairs from a corpus or any folder of videos, and write them to the file `out`.

    Raises UsageError if the folder does not exist or the rule leaves too few pairs.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    passed = Passed()
    with report.working(f"Searching {folder}"):
        manifest = build_manifest(folder, options.pairs, options.seed, options.rule, options.split, passed)
    if (told := passed.sentence()) is not None:
        report.warn(told)
    return _written(manifest, out, report)


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
