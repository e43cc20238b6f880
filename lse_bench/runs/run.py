"""Scoring runs: a list of clips and a scorer into a run directory, resumable, in shards, mergeable.

A run directory holds `run.json` (what, with what), `records.jsonl` (one line per clip), `summary.json` (rebuilt from
the records) and, when asked for, `windows/ID.npz` with the distances of every window.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import ListedClip
from lse_bench.runs.directory import (
    WINDOWS_FOLDER,
    Shard,
    describe_run,
    prepare_directory,
    write_summary,
)
from lse_bench.runs.outcomes import digest_or_none, record_of
from lse_bench.runs.records import open_records, read_records
from lse_bench.runs.schema import Record, Summary

if TYPE_CHECKING:
    from lse_bench.choices import FpsPolicy
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
    """Score `clips` into the run directory `out` and return its summary; goes on where an earlier call stopped.

    `overlay`: a folder for copies of the scored clips with their face tracks drawn in. `on_record` is called with
    every record, those found there included; `on_step` as by `SyncScorer.score_all`; `on_problem` with a sentence about
    an overlay that could not be made, which costs no score. Raises UsageError when `out` holds a run of something else,
    and names what differs.
    """
    description = describe_run(scorer, clips, weights=weights, command=command, source=source, shard=shard)
    if overlay is not None and scorer.tracking is None:
        raise UsageError(f"--overlay draws face tracks, and {scorer.protocol.id} has none; use --protocol tracked")
    prepare_directory(out, description)
    paths = {clip.id: clip.path for clip in clips}
    mine = shard.of(clips) if shard is not None else list(clips)
    with open_records(out) as append:
        done = read_records(out)
        _refuse_changed(out, done, {clip.id: clip for clip in mine})
        if keep_windows:
            bare = [r.id for r in done if r.status == "ok" and not (out / WINDOWS_FOLDER / f"{r.id}.npz").exists()]
            if bare:
                raise UsageError(f"{out}: was begun without --keep-windows ({bare[0]} has none); choose another --out")
        for record in done:
            on_record(record)
            if overlay is not None and record.status == "ok" and not (overlay / f"{record.id}.mp4").exists():
                on_problem(f"{record.clip}: no overlay: it was scored before; another --out scores and draws it again")
        finished = {record.id for record in done}
        rest = [clip for clip in mine if clip.id not in finished]
        for record, outcome in score_clips(scorer, rest, keep_windows or overlay is not None, on_step):
            if outcome is not None and outcome.score is not None and keep_windows:
                _write_windows(out, record.id, outcome)
            append(record)
            on_record(record)
            if overlay is not None and outcome is not None and outcome.score is not None:
                target = overlay / f"{record.id}.mp4"
                try:
                    _write_overlay(outcome, paths[record.id], target, scorer.fps_policy)
                except Exception as error:  # noqa: BLE001 - whatever it is, a drawing costs no score
                    on_problem(f"{record.clip}: no overlay: {type(error).__name__}: {error}")
        return write_summary(out, read_records(out), len(mine), description)


def score_clips(
    scorer: SyncScorer, clips: Sequence[ListedClip], keep_windows: bool = False, on_step: OnStep | None = None
) -> Iterator[tuple[Record, ClipOutcome | None]]:
    """The record of each clip, and what the scorer found, as they are finished; absent files come first."""
    present = []
    for number, clip in enumerate(clips):
        if clip.absent is None:
            present.append((number, clip.path))
        else:
            status, reason = clip.absent
            yield Record(clip=clip.clip, id=clip.id, status=status, reason=reason, groups=clip.groups), None
    for outcome in scorer.score_all(present, keep_windows, on_step):
        yield record_of(clips[outcome.clip], outcome), outcome


def _refuse_changed(out: Path, records: Sequence[Record], clips: dict[str, ListedClip]) -> None:
    """A run goes on only while the files it has scored are still the same."""
    for record in records:
        if record.id in clips and digest_or_none(clips[record.id].path) != record.sha256:
            raise UsageError(
                f"{out}: {record.clip} has changed since this run recorded it ({record.status}); its old result would "
                "stand for a new file. Choose another --out"
            )


def _write_windows(out: Path, clip_id: str, outcome: ClipOutcome) -> None:
    """`distances` (windows,31) or, under tracked protocols, `track_0`, … one array for each scored face track."""
    folder = out / WINDOWS_FOLDER
    folder.mkdir(exist_ok=True)
    scores = {f"track_{number}": score for number, score in outcome.tracks.items()}
    if not scores:
        assert outcome.score is not None
        scores = {"distances": outcome.score}
    partial = folder / f".{clip_id}.partial.npz"
    np.savez_compressed(partial, **{name: _per_window(score) for name, score in scores.items()})
    os.replace(partial, folder / f"{clip_id}.npz")


def _per_window(score: LseScore) -> Any:
    assert score.per_window is not None
    return score.per_window


def _write_overlay(outcome: ClipOutcome, clip: Path, path: Path, policy: FpsPolicy) -> None:
    from lse_bench.runs.overlay import write_overlay

    write_overlay(clip, outcome, path, policy)
