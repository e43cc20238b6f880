"""The task that prepares clips for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.execution.interface import Watch
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.manifests.preview import Preview
from lse_bench.manifests.search import Passed
from lse_bench.manifests.training_clips import clips_to_train
from lse_bench.processor import usable_cores
from lse_bench.reporting import Report
from lse_bench.tasks.checks import detector_of
from lse_bench.tasks.corpora import tell
from lse_bench.tasks.declared_corpora import PrepareOptions
from lse_bench.tasks.declared_execution import ExecutionOptions, executor_of
from lse_bench.tasks.options import parse_pads
from lse_bench.training.croppers import BoxCropper, Cropper
from lse_bench.training.prepare import Preparation, SyncFilter, prepare
from lse_bench.training.prepared import PreparedIndex


def prepare_into(
    out: Path,
    source: Path,
    options: PrepareOptions,
    report: Report,
    aligned: Callable[[], Cropper],
    root: Path | None = None,
    execution: ExecutionOptions | None = None,
) -> PreparedIndex:
    """Prepare clips into `out` and return the content of prepared.json.

    A repeated call continues a stopped one. `source`: a corpus, any folder of videos, a list of clips, or a manifest,
    whose source videos are prepared. Clips without a split count as `train`. `root`: the folder with the files of a
    list or manifest, None for the one that it names. `aligned`: makes the cropper for --crop aligned. `execution`: who
    does the work; by default one process for each usable core. Raises UsageError if there are no clips, if a corpus
    lacks a given split, or if options exclude each other.
    """
    root, clips = _clips(source, root, options, report)
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
    execution = execution or ExecutionOptions()
    if execution == ExecutionOptions() and usable_cores() > 1:
        execution = ExecutionOptions(devices=f"cpu:{usable_cores()}")
    executor = executor_of(execution, "auto")
    with report.counting("preparing", len(clips)) as counter:
        watch = Watch(counter.note, counter.warn)
        return prepare(clips, root, out, preparation, executor, lambda id: counter.advance(), watch)


def _clips(source: Path, root: Path | None, options: PrepareOptions, report: Report) -> tuple[Path, list[CorpusClip]]:
    """Return the folder of the clips, and the clips."""
    passed, preview = Passed(), Preview()
    folder, clips = clips_to_train(source, passed, preview, root, options.speaker_from)
    tell(preview, passed, report)
    return folder, _only(options.split, source, clips)


def _only(splits: Sequence[str], source: Path, clips: list[CorpusClip]) -> list[CorpusClip]:
    there = sorted({clip.split for clip in clips})
    if unknown := set(splits) - set(there):
        raise UsageError(f"--split {', '.join(sorted(unknown))}: {source} only has {', '.join(there)}")
    return [clip for clip in clips if not splits or clip.split in splits]


def _cropper(options: PrepareOptions, aligned: Callable[[], Cropper]) -> Cropper:
    if options.crop == "box":
        return BoxCropper(parse_pads(options.pads))
    if options.pads != PrepareOptions.pads:
        raise UsageError("--pads is for --crop box")
    return aligned()
