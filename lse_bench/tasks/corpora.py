"""Corpora and lists of pairs: made, drawn, imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.manifests.manifest import Manifest, write_manifest
from lse_bench.manifests.official_lists import fetch_list, import_list
from lse_bench.manifests.pairing import build_manifest
from lse_bench.manifests.search import Passed
from lse_bench.reporting import Report
from lse_bench.storage import read_bytes
from lse_bench.tasks.declared import BuildOptions, ImportOptions, MiniLrsOptions


def make_minilrs(out: Path, options: MiniLrsOptions, report: Report) -> dict[str, Any]:
    """Make MiniLRS in `out` and return what its corpus.json says; goes on where an earlier call stopped."""
    from lse_bench.minilrs.corpus import make_corpus
    from lse_bench.minilrs.plan import Spec

    spec = Spec(
        flavour=options.flavour,
        speakers=options.speakers,
        clips=options.clips,
        seed=options.seed,
        split=options.split,
        style=options.style,
        voices=options.voices,
        frames=options.frames,
    )
    with report.counting("making clips", options.speakers * options.clips) as counter:
        return make_corpus(spec, out, options.workers, lambda made: counter.advance())


def build_pairs(out: Path, folder: Path, options: BuildOptions, report: Report) -> Manifest:
    """Draw pairs from a corpus or any folder of videos, and write them to the file `out`. Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    passed = Passed()
    with report.working(f"Looking through {folder}"):
        manifest = build_manifest(folder, options.pairs, options.seed, options.rule, options.split, passed)
    if (told := passed.sentence()) is not None:
        report.warn(told)
    return _written(manifest, out, report)


def import_pairs(out: Path, corpus: str, root: Path | None, options: ImportOptions, report: Report) -> Manifest:
    """Write an official list to the file `out`. `root`: the corpus's folder, which may be given later.

    Raises UsageError for a list with another digest, or that cannot be had.
    """
    content = fetch_list(corpus, options.offline, report.say) if options.list is None else read_bytes(options.list)
    return _written(import_list(corpus, content, root, any_digest=options.any_digest), out, report)


def _written(manifest: Manifest, out: Path, report: Report) -> Manifest:
    write_manifest(manifest, out)
    report.say(f"{len(manifest.jobs)} pairs, {manifest.name}: {out}")
    return manifest
