"""`evaluate`: a complete scoring run in one call from Python."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from lse_bench.choices import FpsPolicy, LandmarkSource, ScoringPrecision, TrackRule
from lse_bench.errors import UsageError, no_such
from lse_bench.faces.tracking import Tracking
from lse_bench.fidelity.compute import fd_sync_between, fid_between, load_inception
from lse_bench.fidelity.sources import items_of
from lse_bench.manifests.clips import Source
from lse_bench.measures.interface import Features
from lse_bench.naming import natural_key
from lse_bench.runs.directory import describe_run
from lse_bench.runs.read import EXTRAS, Run, read_run, run_of
from lse_bench.runs.run import OnRecord, score_clips, score_run
from lse_bench.runs.scored_clips import items_of_clips
from lse_bench.runs.sets import combined, digests_of
from lse_bench.runs.work import ScoreWork
from lse_bench.stored import write_stored
from lse_bench.sync.offsets import Calibration
from lse_bench.sync.scorer import SyncScorer
from lse_bench.tasks.measuring import measures_for
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.store import resolve

_log = logging.getLogger("lse_bench")
Metric = Literal["lse", "fid", "fd_sync"]
METRICS: tuple[Metric, ...] = ("lse", "fid", "fd_sync")


def evaluate(
    inputs: Path | str | Iterable[Path | str],
    *,
    originals: Path | str | None = None,
    metrics: Sequence[Metric] = ("lse",),
    measures: Sequence[str] = (),
    landmarks: LandmarkSource = "facemesh",
    landmark_weights: Path | str = "facemesh",
    sidecars: Path | str | None = None,
    weights: Path | str = "syncnet_v2",
    inception: Path | str = "inception",
    protocol: str = "lrs@1",
    fps_policy: FpsPolicy | None = None,
    tracking: Tracking | None = None,
    track_rule: TrackRule = "all",
    sound_stream: str | None = None,
    calibration: Calibration | None = None,
    search: float | None = None,
    timeline: float | None = None,
    root: Path | str | None = None,
    manifest: Path | str | None = None,
    names: str | None = None,
    pair_sounds: bool = False,
    sounds: Path | str | None = None,
    device: str = "auto",
    precision: ScoringPrecision = "fp32",
    batch_size: int | None = None,
    workers: int | None = None,
    offline: bool = False,
    out: Path | str | None = None,
    keep_windows: bool = False,
    method: str | None = None,
    on_record: OnRecord = lambda record: None,
) -> Run:
    """Score clips, folders or lists, as `lse-bench score` does, and return the run.

    `inputs`: one file, folder or list, or several of them. `originals`: a folder of untouched videos.
    `metrics`: `lse` is always computed. `fid` (with KID) and `fd_sync` compare the scored clips with `originals`.
    `measures`: further measures of each clip by name, such as `psnr`; `lse-bench measures` lists them.
    `landmarks`: where measures get landmarks from; `landmark_weights`: the network of `facemesh`, a file or a name.
    `sidecars`: a folder with landmarks and phonemes of the clips.
    `weights`: SyncNet's weights, a file or a name. `inception`: the weights for `fid`, a file or a name.
    `out`: a run directory, in which an interrupted run is resumed; None: nothing is written.
    `method`: the name of the method in tables. `on_record`: a function that is called with every new record.
    `manifest`, `names`, `pair_sounds`: `inputs` is a folder of finished videos of these pairs. `sounds`: a folder with
    the sounds to hear. `root`: the folder of names in lists. The command has the same options.
    The other options are those of `SyncScorer.load`.

    Raises UsageError if the options or inputs are wrong, and WeightsError if weights are missing or damaged. A clip
    that cannot be scored raises nothing: its record has the status and the reason.
    """
    further = measures_for(
        measures,
        [],
        lambda name: resolve(name, FetchSettings(offline=offline, say=_log.warning)),
        originals=None if originals is None else Path(originals),
        landmarks=landmarks,
        landmark_weights=str(landmark_weights),
        sidecars=None if sidecars is None else Path(sidecars),
    )
    distances = _distances(metrics, originals is not None, further is not None)
    # Load first what may be missing, so that the error comes before the first clip and not after hours.
    reference = items_of(Path(originals)) if originals is not None and distances else []
    network = load_inception(inception, device, offline) if "fid" in distances else None
    paths = [Path(inputs)] if isinstance(inputs, str | Path) else [Path(path) for path in inputs]
    source = Source(
        paths,
        root=None if root is None else Path(root),
        manifest=None if manifest is None else Path(manifest),
        names=names,
        pair_sounds=pair_sounds,
        sounds=None if sounds is None else Path(sounds),
    )
    clips = source.clips()
    scorer = SyncScorer.load(
        weights,
        protocol=protocol,
        fps_policy=fps_policy,
        tracking=tracking,
        track_rule=track_rule,
        sound_stream=sound_stream,
        calibration=calibration,
        search=search,
        timeline=timeline,
        device=device,
        precision=precision,
        batch_size=batch_size,
        workers=workers,
        offline=offline,
    )
    if out is None:
        description = describe_run(scorer, clips, weights=str(weights), command=[], source=source, measures=further)
        records = []
        features: dict[str, dict[str, Features]] = defaultdict(dict)
        for scored in score_clips(scorer, clips, ScoreWork(lambda device: scorer, measures=further)):
            records.append(scored.record)
            for name, one in scored.features.items():
                features[name][scored.record.id] = one
            on_record(scored.record)
        in_order = {name: {one: of[one] for one in sorted(of, key=natural_key)} for name, of in features.items()}
        sets, fid = (None, None) if further is None else combined(further, clips, digests_of(records), in_order)
        run = run_of(description, records, len(clips), method=method, sets=sets)
        run = run if fid is None else run.with_extras({"fid": fid})
    else:
        folder = Path(out)
        score_run(
            scorer,
            clips,
            folder,
            weights=str(weights),
            source=source,
            keep_windows=keep_windows,
            measures=further,
            on_record=on_record,
        )
        run = read_run(folder, method)
    extras = dict(run.extras)
    if distances:
        ok = {record.id for record in run.records if record.status == "ok"}
        videos = items_of_clips(clip for clip in clips if clip.id in ok)
        if network is not None:
            extras["fid"] = fid_between(videos, reference, network)
        if "fd_sync" in distances:
            extras["fd_sync"] = fd_sync_between(videos, reference, scorer)
    if run.path is None:
        return run.with_extras(extras)
    for name in distances:
        write_stored(run.path / EXTRAS[name], extras[name])
    return read_run(run.path, method)


def _distances(metrics: Sequence[Metric], with_originals: bool, measured: bool) -> list[Metric]:
    """Return the metrics that compare with original videos. Raises UsageError if these are missing or not used.

    `measured`: whether further measures may use the originals.
    """
    for name in metrics:
        if name not in METRICS:
            raise UsageError(no_such("metric", str(name), METRICS))
    distances = [name for name in METRICS[1:] if name in metrics]
    if distances and not with_originals:
        raise UsageError(f"{distances[0]} compares the clips with untouched videos. Pass their folder as originals=")
    if with_originals and not distances and not measured:
        raise UsageError("originals= is used by fid and fd_sync only. Name one of them in metrics=")
    return distances
