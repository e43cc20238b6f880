"""The task that prepares a corpus for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.layouts import CorpusClip, read_corpus
from lse_bench.minilrs.summary import read_summary
from lse_bench.processor import usable_cores
from lse_bench.reporting import Report
from lse_bench.tasks.checks import detector_of
from lse_bench.tasks.declared import PrepareOptions
from lse_bench.tasks.options import parse_pads
from lse_bench.training.croppers import BoxCropper, Cropper
from lse_bench.training.prepare import Preparation, SyncFilter, prepare
from lse_bench.training.prepared import PreparedIndex


def prepare_into(
    out: Path, corpus: str, root: Path, options: PrepareOptions, report: Report, aligned: Callable[[], Cropper]
) -> PreparedIndex:
    """Prepare the clips of the corpus in `root` into `out` and return the content of prepared.json.

    A repeated call continues a stopped one. `corpus`: lrs2, lrs3, lrw or minilrs. `aligned`: makes the cropper for
    --crop aligned. Raises UsageError if `root` holds another corpus, if it lacks a given split, or if options exclude
    each other.
    """
    clips = _clips(corpus, root, options.split)
    cropper = _cropper(options, aligned)
    weights = None
    detector = detector_of(options)
    if detector == "s3fd":
        weights = report.weights(options.detector_weights, options.offline, options.trust)
    sync = None
    if options.sync_weights is not None:
        found = report.weights(options.sync_weights, options.offline, options.trust)
        sync = SyncFilter(found, options.min_confidence, options.max_offset, not options.drop_offsets)
    preparation = Preparation(cropper, detector, weights, options.boxes, sync)
    with report.counting("preparing", len(clips)) as counter:
        processes = options.workers or usable_cores()
        return prepare(clips, root, out, preparation, processes, lambda id: counter.advance())


def _clips(corpus: str, root: Path, splits: Sequence[str]) -> list[CorpusClip]:
    if corpus not in ("lrs2", "lrs3", "lrw", "minilrs"):
        raise UsageError(f"{corpus}: not a known corpus. Choose lrs2, lrs3, lrw or minilrs")
    flavour, clips = read_corpus(root)
    if corpus == "minilrs" and read_summary(root) is None:
        raise UsageError(f"{root}: the folder holds {flavour}, not MiniLRS")
    if corpus not in ("minilrs", flavour):
        raise UsageError(f"{root}: the folder holds {flavour}, not {corpus}")
    if not splits:
        return clips
    there = sorted({clip.split for clip in clips})
    if unknown := set(splits) - set(there):
        raise UsageError(f"--split {', '.join(sorted(unknown))}: {root} only has {', '.join(there)}")
    return [clip for clip in clips if clip.split in splits]


def _cropper(options: PrepareOptions, aligned: Callable[[], Cropper]) -> Cropper:
    if options.crop == "box":
        return BoxCropper(parse_pads(options.pads))
    if options.pads != PrepareOptions.pads:
        raise UsageError("--pads is for --crop box")
    return aligned()
