"""The tasks that compute FID, KID, FVD and fd-sync between two sets."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from lse_bench.devices import choose_device
from lse_bench.errors import UsageError
from lse_bench.execution.interface import Watch
from lse_bench.fidelity.boxes import DetectedBoxes
from lse_bench.fidelity.compute import reader_of
from lse_bench.fidelity.fd_sync import compare_lips, measure_lips
from lse_bench.fidelity.fid import FidProtocol, FrameSet, compare, load_set, measure, save_set
from lse_bench.fidelity.fvd import PieceReader, compare_videos
from lse_bench.fidelity.i3d import FRAMES, I3d
from lse_bench.fidelity.inception import FidInception
from lse_bench.fidelity.results import FdSyncResult, FidResult, FvdResult
from lse_bench.fidelity.sources import Item, files_digest, matched
from lse_bench.fidelity.work import FrameReader, LipReader
from lse_bench.manifests.search import Passed
from lse_bench.reporting import Report
from lse_bench.runs.scored_clips import items_to_compare
from lse_bench.stored import write_stored
from lse_bench.sync.scorer import SyncScorer
from lse_bench.tasks.checks import check_fd_sync, check_fid
from lse_bench.tasks.declared import FdSyncOptions, FidOptions, FvdOptions
from lse_bench.tasks.declared_execution import ExecutionOptions, executor_of
from lse_bench.tasks.faces import find_detector
from lse_bench.tasks.options import absolute
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import name_of_digest

SAVED = ".npz"


def fid_of(
    generated: Path,
    reference: Path,
    options: FidOptions,
    report: Report,
    *,
    execution: ExecutionOptions | None = None,
    out: Path | None = None,
    save_statistics: Path | None = None,
) -> FidResult:
    """Compute FID and KID between two folders of videos or pictures, run directories or saved statistics (.npz).

    `execution`: who does the work, None for this process. `out`: a JSON file for the result, or None.
    `save_statistics`: an .npz file for the statistics of the reference, or None. Raises UsageError if options exclude
    each other, if a set has fewer than two frames, or if saved statistics have another FID id. Raises WeightsError if
    weights are missing.
    """
    saved = [path for path in (generated, reference) if path.suffix == SAVED]
    _check(options, saved, out, save_statistics)
    passed = Passed()
    ours, theirs = ([] if path in saved else items_to_compare(path, passed) for path in (generated, reference))
    _tell(passed, report)
    with report.working("Hashing the files"):
        digests = [files_digest(items) if items else None for items in (ours, theirs)]
    if options.reference_frames == "matched":
        ours, theirs = matched(ours, theirs)
    executor = executor_of(execution, options.device)
    boxes = DetectedBoxes(find_detector(options, report)) if options.region == "face" else None
    checkpoint = report.weights(options.weights, options.offline, options.trust)
    with report.working("Loading torch and the weights"):  # workers have networks of their own
        network = FidInception.load(checkpoint, choose_device(options.device if executor is None else "cpu"))
    protocol = FidProtocol(
        weights_sha256=file_digest(checkpoint),
        region=options.region,
        boxes=None if boxes is None else boxes.name,
        reference_frames=options.reference_frames,
        resize=options.resize,
        step=options.frame_step,
    )
    loaded = {path: _load(path, protocol) for path in saved}  # fail before hours of work

    reader = reader_of(network, protocol, boxes)
    load = (lambda device: reader) if executor is None else partial(_frame_reader, absolute(options), protocol)

    def measured(label: str, items: list[Item], groups: int) -> FrameSet:
        with report.counting(label, len(items)) as counter:
            return measure(
                items,
                load,
                groups=groups,
                executor=executor,
                watch=Watch(counter.note, counter.warn),
                on_item=lambda item: counter.advance(),
            )

    in_step = options.groups if options.reference_frames == "matched" else 0
    made = loaded.get(generated) or measured("generated", ours, options.groups)
    other = loaded.get(reference) or measured("reference", theirs, in_step)
    if save_statistics is not None:
        save_set(save_statistics, other, protocol)
        report.say(f"reference statistics: {save_statistics}")
    with report.working("Computing FID, its jackknife and KID"):
        result = compare(made, other, protocol, options.seed).of_files(*digests)
    if out is not None:
        write_stored(out, result)
    return result


def _frame_reader(options: FidOptions, protocol: FidProtocol, device: str) -> FrameReader:
    """Load what reads the frames in a worker process, for its device."""
    report, options = Report(), replace(options, device=device)
    boxes = DetectedBoxes(find_detector(options, report)) if options.region == "face" else None
    checkpoint = report.weights(options.weights, options.offline, options.trust)
    return reader_of(FidInception.load(checkpoint, device), protocol, boxes)


def _check(options: FidOptions, saved: list[Path], out: Path | None, save_statistics: Path | None) -> None:
    check_fid(options)
    if saved and options.reference_frames == "matched":
        raise UsageError(f"{saved[0]}: saved statistics cannot be matched clip by clip. Use --reference-frames pooled")
    for path in (out, save_statistics):
        refuse_no_folder(path)
    if save_statistics is not None and save_statistics.suffix != SAVED:
        raise UsageError(f"{save_statistics}: the name of saved statistics must end in {SAVED}")


def refuse_no_folder(path: Path | None) -> None:
    """Raise UsageError if the folder of a file to be written does not exist. None is accepted."""
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist")


def _load(path: Path, protocol: FidProtocol) -> FrameSet:
    frames, fid_id = load_set(path)
    if fid_id is not None and fid_id != protocol.id:
        raise UsageError(f"{path}: made as {fid_id}, but this is {protocol.id}; the two cannot be compared")
    return frames


def fvd_of(
    generated: Path,
    reference: Path,
    options: FvdOptions,
    report: Report,
    *,
    execution: ExecutionOptions | None = None,
    out: Path | None = None,
) -> FvdResult:
    """Compute FVD between two folders of videos or run directories.

    `execution`: who does the work, None for this process. `out`: a JSON file for the result, or None. Raises UsageError
    if a set has fewer than two pieces of 16 frames, and WeightsError if the weights are missing.
    """
    device = choose_device(options.device)
    refuse_no_folder(out)
    passed = Passed()
    sets = {"generated": items_to_compare(generated, passed), "reference": items_to_compare(reference, passed)}
    _tell(passed, report)
    executor = executor_of(execution, options.device)
    checkpoint = report.weights(options.weights, options.offline, options.trust)
    with report.working("Loading torch and the weights"):  # workers have networks of their own
        reader = PieceReader(I3d.load(checkpoint, device if executor is None else "cpu"))
    measured = {}
    for name, items in sets.items():
        with report.counting(name, len(items)) as counter:
            measured[name] = measure(
                items,
                (lambda device: reader) if executor is None else partial(_piece_reader, absolute(options)),
                groups=options.groups if name == "generated" else 0,
                executor=executor,
                watch=Watch(counter.note, counter.warn),
                on_item=lambda item: counter.advance(),
                what=f"pieces of {FRAMES} frames",
            )
    result = compare_videos(measured["generated"], measured["reference"], file_digest(checkpoint))
    result = result.of_files(*map(files_digest, sets.values()))
    if out is not None:
        write_stored(out, result)
    return result


def _piece_reader(options: FvdOptions, device: str) -> PieceReader:
    """Load what reads the pieces of videos in a worker process, for its device."""
    return PieceReader(I3d.load(Report().weights(options.weights, options.offline, options.trust), device))


def fd_sync_of(
    generated: Path,
    reference: Path,
    options: FdSyncOptions,
    report: Report,
    *,
    execution: ExecutionOptions | None = None,
    out: Path | None = None,
) -> FdSyncResult:
    """Compute fd-sync between two folders of videos or run directories.

    `execution`: who does the work, None for this process. `out`: a JSON file for the result, or None. Raises UsageError
    if a set has fewer than two windows, and WeightsError if the weights are missing.
    """
    check_fd_sync(options)
    refuse_no_folder(out)
    passed = Passed()
    sets = {"generated": items_to_compare(generated, passed), "reference": items_to_compare(reference, passed)}
    _tell(passed, report)
    executor = executor_of(execution, options.device)
    if executor is not None:  # the workers have the devices
        options = replace(options, device="cpu")
    with report.working("Loading torch and the weights"):
        scorer = _lip_scorer(options, report, options.device)
    load = partial(_lip_reader, absolute(options))
    measured = {}
    for name, items in sets.items():
        with report.counting(name, len(items)) as counter:
            watch = Watch(counter.note, counter.warn)
            measured[name] = measure_lips(
                scorer, items, lambda item: counter.advance(), executor=executor, load=load, watch=watch
            )
    key = scorer.key | {"weights": name_of_digest(scorer.weights_sha256) or "unknown"}
    result = compare_lips(measured["generated"], measured["reference"], key).of_files(*map(files_digest, sets.values()))
    if out is not None:
        write_stored(out, result)
    return result


def _lip_scorer(options: FdSyncOptions, report: Report, device: str) -> SyncScorer:
    checkpoint = report.weights(options.weights, options.offline, options.trust)
    return SyncScorer.load(checkpoint, protocol=options.protocol, fps_policy=options.fps_policy, device=device)


def _lip_reader(options: FdSyncOptions, device: str) -> LipReader:
    """Load what embeds the lips in a worker process, for its device."""
    return LipReader(_lip_scorer(options, Report(), device))


def _tell(passed: Passed, report: Report) -> None:
    if (told := passed.sentence()) is not None:
        report.warn(told)
