"""Score a list of clips into a run directory. A run can be resumed, or split into shards and merged.

A run directory holds `run.json` (a description of clips, scorer and settings), `records.jsonl` (one line per clip) and
`summary.json` (rebuilt from the records). On request it also holds `windows/ID.npz` with the distances of every window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import ListedClip
from lse_bench.runs.directory import (
    TIMELINES_FOLDER,
    WINDOWS_FOLDER,
    Shard,
    describe_run,
    prepare_directory,
    write_summary,
)
from lse_bench.runs.outcomes import identity_of, record_of
from lse_bench.runs.records import open_records, read_records
from lse_bench.runs.schema import Record, Summary
from lse_bench.storage import json_bytes, replacing, write_atomically

if TYPE_CHECKING:
    from lse_bench.media.clip_files import ClipFiles
    from lse_bench.sync.batch import ClipOutcome
    from lse_bench.sync.distance import LseScore
    from lse_bench.sync.scorer import OnStep, SyncScorer


OnRecord = Callable[[Record], None]


def score_run(
    scorer: SyncScorer,
    clips: Sequence[ListedClip],
    out: Path,
    *,
    weights: str = "",
    command: Sequence[str] = (),
    source: Source | None = None,
    shard: Shard | None = None,
    keep_windows: bool = False,
    overlay: Path | None = None,
    on_record: OnRecord = lambda record: None,
    on_step: OnStep | None = None,
    on_problem: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Score `clips` into the run directory `out` and return its summary.

    Clips that are already recorded in `out` are not scored again. `weights`, `command`, `source`: stored in run.json,
    see `describe_run`. `shard`: the part of the list to score; None for all. `keep_windows`: store the distances of
    every window. `overlay`: a folder for copies of the scored clips with their face tracks drawn in; None for no
    copies. `on_record`: called with every record, also with those of earlier calls. `on_step`: see
    `SyncScorer.score_all`. `on_problem`: called with a sentence if an overlay cannot be drawn; the score is kept.

    Raises UsageError if `out` holds a different run (the message names the difference), if a recorded file has changed,
    if an earlier call did not keep windows, or if `overlay` is set under a protocol without face tracks.
    """
    description = describe_run(scorer, clips, weights=weights, command=command, source=source, shard=shard)
    if overlay is not None and scorer.tracking is None and scorer.offsets.timeline is None:
        raise UsageError(
            f"--overlay draws face tracks or the offset over time, but {scorer.protocol.id} has no tracks; use "
            "--protocol tracked or --timeline SECONDS"
        )
    prepare_directory(out, description)
    files = {clip.id: clip.files for clip in clips}
    mine = shard.of(clips) if shard is not None else list(clips)
    with open_records(out) as append:
        done = read_records(out)
        _refuse_changed(out, done, {clip.id: clip for clip in mine})
        if keep_windows:
            bare = [r.id for r in done if r.status == "ok" and not (out / WINDOWS_FOLDER / f"{r.id}.npz").exists()]
            if bare:
                raise UsageError(f"{out}: was begun without --keep-windows (none of {bare[0]}); choose another --out")
        for record in done:
            on_record(record)
            if overlay is not None and record.status == "ok" and not (overlay / f"{record.id}.mp4").exists():
                on_problem(f"{record.clip}: no overlay, because it was scored before; draw it with another --out")
        finished = {record.id for record in done}
        rest = [clip for clip in mine if clip.id not in finished]
        for record, outcome in score_clips(scorer, rest, keep_windows or overlay is not None, on_step):
            if outcome is not None and outcome.score is not None and keep_windows:
                _write_windows(out, record.id, outcome)
            if outcome is not None and outcome.score is not None and outcome.score.timeline is not None:
                _write_timelines(out, record.id, outcome)
            append(record)
            on_record(record)
            if overlay is not None and outcome is not None and outcome.score is not None:
                target = overlay / f"{record.id}.mp4"
                try:
                    _write_overlay(outcome, files[record.id], target, scorer)
                except Exception as error:  # noqa: BLE001 - no error in drawing may cost the score
                    on_problem(f"{record.clip}: no overlay could be drawn: {type(error).__name__}: {error}")
        return write_summary(out, read_records(out), len(mine), description)


def score_clips(
    scorer: SyncScorer, clips: Sequence[ListedClip], keep_windows: bool = False, on_step: OnStep | None = None
) -> Iterator[tuple[Record, ClipOutcome | None]]:
    """Yield the record of each clip and the scorer's outcome, in the order in which they finish.

    Listed clips without a file come first, with None as outcome. `keep_windows`: keep the distances of every window in
    the outcome.
    """
    present = []
    for number, clip in enumerate(clips):
        if clip.absent is None:
            present.append((number, clip.files))
        else:
            status, reason = clip.absent
            yield Record(status=status, reason=reason, **identity_of(clip)), None
    for outcome in scorer.score_all(present, keep_windows, on_step):
        yield record_of(clips[outcome.clip], outcome), outcome


def _refuse_changed(out: Path, records: Sequence[Record], clips: dict[str, ListedClip]) -> None:
    """Raise UsageError if the file of a recorded clip has changed. The record would not belong to the new file."""
    for record in records:
        if record.id not in clips:
            continue
        now = identity_of(clips[record.id])
        for name, digest in ((record.clip, "sha256"), (record.sound, "sound_sha256")):
            if now[digest] != getattr(record, digest):
                raise UsageError(
                    f"{out}: {name} has changed since this run recorded it ({record.status}). The old result is "
                    "not one of the new file; choose another --out"
                )


def _write_windows(out: Path, clip_id: str, outcome: ClipOutcome) -> None:
    """Write the distances of every window to `windows/ID.npz`, float32, (windows, 31).

    The array is called `distances`. Under tracked protocols each scored face track has its own array, `track_0` etc.
    """
    folder = out / WINDOWS_FOLDER
    folder.mkdir(exist_ok=True)
    scores = {f"track_{number}": score for number, score in outcome.tracks.items()}
    if not scores:
        assert outcome.score is not None
        scores = {"distances": outcome.score}
    with replacing(folder / f"{clip_id}.npz") as partial:
        np.savez_compressed(partial, **{name: _per_window(score) for name, score in scores.items()})


def _write_timelines(out: Path, clip_id: str, outcome: ClipOutcome) -> None:
    """Write the offsets over time to `timelines/ID.json`, by face track under tracked protocols, else as `clip`."""
    scores: dict[str, LseScore | None] = {f"track_{number}": score for number, score in outcome.tracks.items()}
    scores = scores or {"clip": outcome.score}
    found = {name: asdict(score.timeline) for name, score in scores.items() if score is not None and score.timeline}
    write_atomically(out / TIMELINES_FOLDER / f"{clip_id}.json", json_bytes(found))


def _per_window(score: LseScore) -> Any:
    assert score.per_window is not None
    return score.per_window


def _write_overlay(outcome: ClipOutcome, clip: ClipFiles, path: Path, scorer: SyncScorer) -> None:
    from lse_bench.runs.overlay import write_overlay

    write_overlay(clip, outcome, path, scorer.fps_policy, scorer.sound_stream)
