"""Preparation of a corpus for training: which clips, which crop, which filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.manifests.layouts import CorpusClip, read_corpus
from lse_bench.minilrs.corpus import read_summary
from lse_bench.processor import usable_cores
from lse_bench.reporting import Report
from lse_bench.tasks.declared import PrepareOptions
from lse_bench.tasks.options import parse_pads
from lse_bench.training.prepare import BoxCropper, Cropper, Preparation, SyncFilter, prepare


def prepare_into(
    out: Path, corpus: str, root: Path, options: PrepareOptions, report: Report, aligned: Callable[[], Cropper]
) -> dict[str, Any]:
    """Prepare the clips of a corpus in `root` into `out`, and return what prepared.json says; goes on where an earlier
    call stopped. `aligned`: makes the cropper of that name. Raises UsageError for another corpus, splits it does not
    have, options that exclude each other.
    """
    clips = _clips(corpus, root, options.split)
    cropper = _cropper(options, aligned)
    weights = None
    if options.detector == "s3fd":
        weights = report.weights(options.detector_weights, options.offline, options.trust)
    sync = None
    if options.sync_weights is not None:
        found = report.weights(options.sync_weights, options.offline, options.trust)
        sync = SyncFilter(found, options.min_confidence, options.max_offset, not options.drop_offsets)
    preparation = Preparation(cropper, options.detector or "centerface", weights, options.boxes, sync)
    with report.counting("preparing", len(clips)) as counter:
        processes = options.workers or usable_cores()
        return prepare(clips, root, out, preparation, processes, lambda id: counter.advance())


def _clips(corpus: str, root: Path, splits: Sequence[str]) -> list[CorpusClip]:
    if corpus not in ("lrs2", "lrs3", "lrw", "minilrs"):
        raise UsageError(f"{corpus}: there are lrs2, lrs3, lrw and minilrs")
    flavour, clips = read_corpus(root)
    if corpus == "minilrs" and read_summary(root) is None:
        raise UsageError(f"{root}: a {flavour} corpus, but not MiniLRS")
    if corpus not in ("minilrs", flavour):
        raise UsageError(f"{root}: this is {flavour}, not {corpus}")
    if not splits:
        return clips
    there = sorted({clip.split for clip in clips})
    if unknown := set(splits) - set(there):
        raise UsageError(f"--split {', '.join(sorted(unknown))}: {root} has {', '.join(there)}")
    return [clip for clip in clips if clip.split in splits]


def _cropper(options: PrepareOptions, aligned: Callable[[], Cropper]) -> Cropper:
    if options.crop == "box":
        return BoxCropper(parse_pads(options.pads))
    if options.pads != PrepareOptions.pads:
        raise UsageError("--pads is for --crop box")
    return aligned()
