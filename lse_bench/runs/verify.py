"""Check that a run is consistent: scores follow from curves, curves from windows, and the summary from the records.

Everything that can be computed again is computed and compared within `agreement.TOLERANCE`. Data that an older version
did not store is reported as *not verified*, not as a difference. Records, curves and windows that were forged together
agree with each other. Only scoring the clips again can detect that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.fidelity.results import FidResult
from lse_bench.manifests.clips import Source
from lse_bench.manifests.generated import Origin, read_generation
from lse_bench.manifests.listed import ListedClip, list_digest
from lse_bench.measures.fidelity import Fid
from lse_bench.measures.interface import AnyMeasure, NoValueError, SetMeasure
from lse_bench.measures.registry import make_measures
from lse_bench.runs.agreement import disagreement
from lse_bench.runs.directory import SUMMARY_FILE, WINDOWS_FOLDER
from lse_bench.runs.follows import faults_in, valid_scores
from lse_bench.runs.read import Extra, Run
from lse_bench.runs.records import RECORDS_FILE
from lse_bench.runs.schema import MeasureAbout, Record, Trend
from lse_bench.runs.set_values import StoredSetValue, read_sets
from lse_bench.runs.sets import FEATURES_FOLDER, kept_features, value_of
from lse_bench.storage import read_arrays, read_object
from lse_bench.stored import to_json
from lse_bench.sync.curve import SHIFTS
from lse_bench.sync.timeline import timeline_of
from lse_bench.weights.readers import digest_of_digests, file_digest

WINDOWS_TOLERANCE = 1e-5  # windows are stored as float32
_SET = ("value", "standard_error", "clips", "warnings", "fid", "fid_standard_error")  # the numbers of a set measure
_ROUNDED = ("value", "standard_error", "fid", "fid_standard_error")  # those that `SetMeasure.rounding` is about
_SEEDED = ("kid", "kid_ci95")  # those that random numbers move
_STORED = ("listed", "scored", "failed", "metrics")  # the fields that a summary of every version has


@dataclass(slots=True)
class Verdict:
    """The result of a verification.

    `differences`: a sentence for each inconsistency. `unverified`: a sentence for each part that could not be checked,
    with the reason. `checked`: number of checked items, by kind.
    """

    differences: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Add `number` to the checked items of the kind `what`."""
        self.checked[what] = self.checked.get(what, 0) + number


def verify(entry: Run) -> Verdict:
    """Verify all that needs no scorer: records, summary, FID, fd-sync; windows, features and clips, if they exist."""
    verdict = consequences(entry)
    _windows(entry, verdict)
    _sets(entry, verdict)
    _files(entry, verdict)
    return verdict


def consequences(entry: Run) -> Verdict:
    """Verify only the consistency of records, summary, fid.json and fd_sync.json, which is fast."""
    verdict = Verdict()
    for record, told in faults_in(entry.records, entry.description):
        verdict.differences.append(f"{RECORDS_FILE}: {record.id}: {told}")
    verdict.count("records", len(entry.records))
    verdict.differences += _summary(entry)
    verdict.count("summaries")
    for name, extra in entry.extras.items():
        _extra(entry, name, extra, verdict)
    return verdict


def refuse_edited(entries: Sequence[Run]) -> None:
    """Raise UsageError if a run is inconsistent. The message names the first difference and counts the others."""
    for entry in entries:
        differences = consequences(entry).differences
        if differences:
            more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
            raise UsageError(
                f"{entry.folder}: {differences[0]}{more}: the run was edited or is damaged. lse-bench "
                f"verify {entry.folder} lists all differences; make the run again in a new folder"
            )


def _summary(entry: Run) -> Iterator[str]:
    try:
        stored = read_object(entry.folder / SUMMARY_FILE, "Run the command of this run again to rewrite it")
    except UsageError as error:
        yield str(error)
        return
    ours, theirs = ({name: one.get(name) for name in _STORED} for one in (stored, to_json(entry.summary)))
    if (told := disagreement(ours, theirs)) is not None:
        yield f"{SUMMARY_FILE} does not follow from {RECORDS_FILE}: {told}"
    if stored.get("key") not in (entry.summary.key, entry.description.key):  # older versions stored the latter
        yield f"{SUMMARY_FILE}: the comparison key differs from that of run.json"
    clips = entry.description.clip_list.clips
    if not entry.description.shard and stored.get("listed") != clips:
        yield f"{SUMMARY_FILE}: {stored.get('listed')} clips are listed, but run.json lists {clips}"
    if len(entry.records) > clips:
        yield f"{RECORDS_FILE}: there are {len(entry.records)} records of {clips} clips"


def _extra(entry: Run, name: str, extra: Extra, verdict: Verdict) -> None:
    """Check that fid.json or fd_sync.json was computed from the files of this run."""
    held = None if extra.generated is None else extra.generated.files_sha256
    if held is None:
        verdict.unverified.append(f"{name}: made by an older version, which did not store the digest of its inputs")
        return
    verdict.count(name)
    listed = [record.sha256 for record in entry.records if record.sha256 is not None]
    scored = [record.sha256 for record in entry.records if record.sha256 is not None and record.status == "ok"]
    if held not in (digest_of_digests(listed), digest_of_digests(scored)):
        verdict.differences.append(
            f"{name}: computed from other files than this run's (digest {held[:12]}…, the "
            f"run's is {digest_of_digests(scored)[:12]}…)"
        )


def _windows(entry: Run, verdict: Verdict) -> None:
    folder = entry.folder / WINDOWS_FOLDER
    for record in entry.records:
        path = folder / f"{record.id}.npz"
        if record.status != "ok" or record.curve is None or not path.exists():
            continue
        tracks = {f"track_{track.track}": track.model_dump() for track in record.tracks or [] if track.status == "ok"}
        wanted: dict[str, Any] = tracks or {"distances": {"curve": record.curve, "windows": record.windows}}
        try:
            held = read_arrays(path, "Score the clips into a new --out")
            stored = {name: np.asarray(held[name], dtype=np.float64) for name in wanted}
        except UsageError as error:
            verdict.differences.append(str(error))
            continue
        except KeyError as error:
            verdict.differences.append(f"{WINDOWS_FOLDER}/{path.name}: the array {error} is missing")
            continue
        verdict.count("windows")
        for name, follows in wanted.items():
            rows = stored[name]
            shape = (follows["windows"], SHIFTS)
            if follows["windows"] is not None and rows.shape != shape:
                verdict.differences.append(
                    f"{WINDOWS_FOLDER}/{path.name}: {name} has shape {rows.shape}, but the record gives {shape}"
                )
            elif not np.allclose(rows.mean(axis=0), follows["curve"], rtol=0, atol=WINDOWS_TOLERANCE):
                apart = float(np.abs(rows.mean(axis=0) - follows["curve"]).max())
                verdict.differences.append(
                    f"{RECORDS_FILE}: {record.id}: the curve differs by {apart:.2g} from the mean of its windows"
                )
            else:
                told = None if tracks else _trend(entry, record, held["distances"])
                told = told or _valid(follows if tracks else record.model_dump(), rows)
                if told is not None:
                    verdict.differences.append(f"{RECORDS_FILE}: {record.id}: {told}")


def _sets(entry: Run, verdict: Verdict) -> None:
    """Check that the values of set measures follow from the features that are kept."""
    stored = read_sets(entry.folder)
    for name, about in entry.description.measures.items():
        if not about.of_sets or name in stored.missing or entry.summary.pending:
            continue
        try:
            (measure,) = make_measures([name], [])
        except UsageError as error:  # it is not installed, or its weights are missing
            verdict.unverified.append(f"{name}: {error}")
            continue
        of_fid = isinstance(measure, Fid)
        held = entry.extras.get("fid") if of_fid else stored.values.get(name)
        if why := _not_checked(entry, measure, about, held):
            verdict.unverified.append(f"{name}: {why}")
            continue
        assert isinstance(measure, SetMeasure)
        features = kept_features(entry.folder, name, entry.records)
        try:
            found = value_of(measure, features)
            limit = measure.rounding(features)
        except (LseBenchError, NoValueError) as error:
            verdict.differences.append(f"{name}: {error}")
            continue
        verdict.count("set measures")
        if held is None:
            verdict.differences.append(f"{name}: no value is recorded, but one follows from its features")
        elif (told := disagreement(*_settled(_numbers(held, found), _numbers(found, held), limit), name)) is not None:
            verdict.differences.append(f"{told} (follows from its features)")


def _not_checked(
    entry: Run, measure: AnyMeasure, about: MeasureAbout, held: Extra | StoredSetValue | None
) -> str | None:
    """Return why a value cannot be computed again here; None if it can."""
    if not (entry.folder / FEATURES_FOLDER / measure.name).is_dir():
        return "its features are not kept here"
    if measure.id != about.id:
        return f"here it is {measure.id}"
    if isinstance(held, FidResult) and isinstance(measure, Fid) and held.fid_id != measure.protocol.id:
        return f"fid.json is of another FID, {held.fid_id}"
    return None


def _numbers(one: Extra | StoredSetValue, other: Extra | StoredSetValue) -> dict[str, Any]:
    """Return the numbers of a value. Those that random numbers move are left out if `other` used another seed."""
    content = to_json(one)
    seeds = [result.seed if isinstance(result, FidResult) else None for result in (one, other)]
    numbers = {name: content.get(name) for name in (*_SET, *(_SEEDED if seeds[0] == seeds[1] else ()))}
    return numbers | {name: (content.get(name) or {}).get("frames") for name in ("generated", "reference")}


def _settled(held: dict[str, Any], found: dict[str, Any], limit: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both, the second with the values of the first where they differ by no more than rounding can."""
    return held, {
        name: held[name] if name in _ROUNDED and _near(held[name], value, limit) else value
        for name, value in found.items()
    }


def _near(one: float | None, other: float | None, limit: float) -> bool:
    return one is not None and other is not None and abs(one - other) <= limit


def _trend(entry: Run, record: Record, rows: NDArray[np.float32]) -> str | None:
    """Describe how a timeline does not follow from the windows; None if it does."""
    seconds, calibration = entry.description.timeline, entry.description.calibration
    if record.timeline is None or seconds is None:
        return None
    wanted = Trend.model_validate(timeline_of(rows, seconds, calibration, record.conversion_ms))
    told = disagreement(to_json(record.timeline), to_json(wanted), "timeline")
    return None if told is None else f"{told} (follows from its windows)"


def _valid(stored: dict[str, Any], rows: NDArray[np.float64]) -> str | None:
    """Describe the first of the `…_valid` scores that does not follow from the windows; None if all do."""
    for name, value in valid_scores(rows).items():
        held = stored.get(name)
        same = held == value if held is None or value is None else abs(held - value) <= WINDOWS_TOLERANCE
        if not same:
            return f"{name}: {held} is recorded, but {value} follows from its windows"
    return None


def _files(entry: Run, verdict: Verdict) -> None:
    """Check that the clip files are those that were scored, and that the list of clips has not changed.

    If the clips are a generator's, check its stored description as well.
    """
    listed = listed_clips(entry)
    if isinstance(listed, str):
        verdict.unverified.append(listed)
        return
    asked = entry.description.clip_list
    if list_digest(listed) != asked.sha256:
        verdict.differences.append("the list of clips has changed since the run: ids, names or groups differ")
    elif len(listed) != asked.clips:
        verdict.differences.append(f"run.json: {asked.clips} clips are listed, but the list of clips has {len(listed)}")
    clips = {clip.id: clip for clip in listed}
    gone = 0
    for record in entry.records:
        clip = clips.get(record.id)
        paths = (None, None) if clip is None else (clip.path, clip.sound)
        for name, digest, path in zip(
            (record.clip, record.sound), (record.sha256, record.sound_sha256), paths, strict=True
        ):
            if digest is None or path is None or not path.is_file():
                gone += digest is not None
                continue
            verdict.count("clips" if name == record.clip else "sounds")
            if file_digest(path) != digest:
                verdict.differences.append(f"{name}: the file is not the one that was scored ({path})")
    if gone:
        verdict.unverified.append(
            f"{gone} files are no longer where they were, so their digests in {entry.folder.name} were not checked"
        )
    source = Source.from_json(entry.description.source or {})
    generation = entry.description.generation
    now = read_generation(source.inputs[0]) if len(source.inputs) == 1 else None
    if generation is not None and now is not None:
        for name in ("generator", "key", "manifest"):
            if (told := disagreement(_plain(generation, name), _plain(now, name), name)) is not None:
                verdict.differences.append(f"run.json: generation: {told} (follows from generation.json of the videos)")


def _plain(origin: Origin, name: str) -> Any:
    return to_json(origin)[name]


def listed_clips(entry: Run) -> list[ListedClip] | str:
    """Return the clips of a run at their present paths, or the reason why they cannot be listed."""
    if not entry.description.source:
        return "run.json does not say where the clips are"
    try:
        return Source.from_json(entry.description.source).clips()
    except LseBenchError as error:
        return f"the clips cannot be listed: {error}"
