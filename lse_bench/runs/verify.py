"""Whether a run says what follows from what it holds: scores from curves, curves from windows, summary from records.

What can be computed again is, and compared to `agreement.TOLERANCE`; what older versions did not store is *not
verified*, which is no difference. Records, curves and windows that were forged together agree with each other: only
scoring the clips again tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.generated import Origin, read_generation
from lse_bench.manifests.listed import ListedClip, list_digest
from lse_bench.runs.agreement import disagreement
from lse_bench.runs.directory import SUMMARY_FILE, WINDOWS_FOLDER
from lse_bench.runs.follows import faults_of, valid_scores
from lse_bench.runs.read import Extra, Run
from lse_bench.runs.records import RECORDS_FILE
from lse_bench.storage import read_arrays, read_object
from lse_bench.stored import to_json
from lse_bench.sync import distance
from lse_bench.weights.readers import digest_of_digests, file_digest

WINDOWS_TOLERANCE = 1e-5  # windows are stored as float32
_SHIFTS = 2 * distance.MAX_SHIFT + 1
_STORED = ("listed", "scored", "failed", "metrics")  # of a summary, in every version


@dataclass(slots=True)
class Verdict:
    """`differences`: sentences; `unverified`: what could not be looked at, and why; `checked`: how much was."""

    differences: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Note that so much was looked at."""
        self.checked[what] = self.checked.get(what, 0) + number


def verify(entry: Run) -> Verdict:
    """Everything that needs no network: also windows and the files of clips, as far as they are at hand."""
    verdict = consequences(entry)
    _windows(entry, verdict)
    _files(entry, verdict)
    return verdict


def consequences(entry: Run) -> Verdict:
    """The cheap part: what records, summary, fid.json and fd_sync.json say of each other."""
    verdict = Verdict()
    rule = entry.description.track_rule
    for record in entry.records:
        verdict.differences += [f"{RECORDS_FILE}: {record.id}: {told}" for told in faults_of(record, rule)]
    verdict.count("records", len(entry.records))
    verdict.differences += _summary(entry)
    verdict.count("summaries")
    for name, extra in entry.extras.items():
        _extra(entry, name, extra, verdict)
    return verdict


def refuse_edited(entries: Sequence[Run]) -> None:
    """Raise UsageError naming the first thing in a run that does not follow from the rest of it."""
    for entry in entries:
        differences = consequences(entry).differences
        if differences:
            more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
            raise UsageError(
                f"{entry.folder}: {differences[0]}{more}: it was edited, or is damaged. lse-bench verify "
                f"{entry.folder} lists everything; the command that made the run writes it again"
            )


def _summary(entry: Run) -> Iterator[str]:
    try:
        stored = read_object(entry.folder / SUMMARY_FILE, "the command that made the run writes it again")
    except UsageError as error:
        yield str(error)
        return
    ours, theirs = ({name: one.get(name) for name in _STORED} for one in (stored, to_json(entry.summary)))
    if (told := disagreement(ours, theirs)) is not None:
        yield f"{SUMMARY_FILE} does not follow from {RECORDS_FILE}: {told}"
    if stored.get("key") != entry.description.key:
        yield f"{SUMMARY_FILE}: it has another comparison key than run.json"
    clips = entry.description.clip_list.clips
    if not entry.description.shard and stored.get("listed") != clips:
        yield f"{SUMMARY_FILE}: {stored.get('listed')} clips are listed, run.json has {clips}"
    if len(entry.records) > clips:
        yield f"{RECORDS_FILE}: {len(entry.records)} records of {clips} clips"


def _extra(entry: Run, name: str, extra: Extra, verdict: Verdict) -> None:
    """Whether fid.json or fd_sync.json was computed from the files of this run."""
    held = None if extra.generated is None else extra.generated.files_sha256
    if held is None:
        verdict.unverified.append(f"{name}: made by an older version, which did not store what it was computed from")
        return
    verdict.count(name)
    listed = [record.sha256 for record in entry.records if record.sha256 is not None]
    scored = [record.sha256 for record in entry.records if record.sha256 is not None and record.status == "ok"]
    if held not in (digest_of_digests(listed), digest_of_digests(scored)):
        verdict.differences.append(
            f"{name}: computed from other files than this run's ({held[:12]}…, the run's give "
            f"{digest_of_digests(scored)[:12]}…)"
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
            held = read_arrays(path, "Score the clip again")
            stored = {name: np.asarray(held[name], dtype=np.float64) for name in wanted}
        except UsageError as error:
            verdict.differences.append(str(error))
            continue
        except KeyError as error:
            verdict.differences.append(f"{WINDOWS_FOLDER}/{path.name}: holds no {error}")
            continue
        verdict.count("windows")
        for name, follows in wanted.items():
            rows = stored[name]
            shape = (follows["windows"], _SHIFTS)
            if follows["windows"] is not None and rows.shape != shape:
                verdict.differences.append(
                    f"{WINDOWS_FOLDER}/{path.name}: {name} is {rows.shape}, the record says {shape}"
                )
            elif not np.allclose(rows.mean(axis=0), follows["curve"], rtol=0, atol=WINDOWS_TOLERANCE):
                apart = float(np.abs(rows.mean(axis=0) - follows["curve"]).max())
                verdict.differences.append(
                    f"{RECORDS_FILE}: {record.id}: the curve differs by {apart:.2g} from the mean of its windows"
                )
            elif (told := _valid(follows if tracks else record.model_dump(), rows)) is not None:
                verdict.differences.append(f"{RECORDS_FILE}: {record.id}: {told}")


def _valid(stored: dict[str, Any], rows: NDArray[np.float64]) -> str | None:
    """What of `…_valid` does not follow from the windows."""
    for name, value in valid_scores(rows).items():
        held = stored.get(name)
        same = held == value if held is None or value is None else abs(held - value) <= WINDOWS_TOLERANCE
        if not same:
            return f"{name}: {held} is recorded, {value} follows from its windows"
    return None


def _files(entry: Run, verdict: Verdict) -> None:
    """Whether the clips at hand are those that were scored, and the list is the one that was asked for."""
    listed = listed_clips(entry)
    if isinstance(listed, str):
        verdict.unverified.append(listed)
        return
    asked = entry.description.clip_list
    if list_digest(listed) != asked.sha256:
        verdict.differences.append("the list of clips has changed since: other ids, names or groups")
    elif len(listed) != asked.clips:
        verdict.differences.append(f"run.json: {asked.clips} clips, the list of clips has {len(listed)}")
    paths = {clip.id: clip.path for clip in listed}
    gone = 0
    for record in entry.records:
        path = paths.get(record.id)
        if record.sha256 is None or path is None or not path.is_file():
            gone += record.sha256 is not None
            continue
        verdict.count("clips")
        if file_digest(path) != record.sha256:
            verdict.differences.append(f"{record.clip}: the file is another one than was scored ({path})")
    if gone:
        verdict.unverified.append(
            f"{gone} clips are no longer where they were, {entry.folder.name} is taken at its word"
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
    """The clips of a run where they lie today, or why they cannot be listed."""
    if not entry.description.source:
        return "run.json does not say where the clips are"
    try:
        return Source.from_json(entry.description.source).clips()
    except LseBenchError as error:
        return f"the clips are not at hand: {error}"
