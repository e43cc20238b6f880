"""Scoring runs: a list of clips and a scorer into a run directory, resumable, in shards, mergeable.

A run directory holds `run.json` (what, with what), `records.jsonl` (one line per clip), `summary.json` (rebuilt from
the records) and, when asked for, `windows/ID.npz` with the distances of every window.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.generation import read_generation
from lse_bench.manifests.listed import ListedClip, list_digest
from lse_bench.runs.follows import refuse_edited_records
from lse_bench.runs.records import Record, open_records, read_records, refuse_doubles
from lse_bench.runs.summary import summarise
from lse_bench.runs.tracks import score_fields, track_rows
from lse_bench.storage import json_bytes, read_described, read_object, write_atomically
from lse_bench.sync.remarks import warnings_of_score
from lse_bench.versions import joined, surroundings, surroundings_of
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import name_of_digest

if TYPE_CHECKING:
    from lse_bench.sync.distance import LseScore
    from lse_bench.sync.protocol import FpsPolicy
    from lse_bench.sync.scorer import ClipOutcome, OnStep, SyncScorer

SCHEMA = 1
_WAY_OUT = "Score into a new --out, or bring the file back"
RUN_FILE, SUMMARY_FILE, WINDOWS_FOLDER = "run.json", "summary.json", "windows"

OnRecord = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, counted from 1: every `count`-th clip of the list."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/5`. Raises UsageError for anything else."""
        index, _, count = text.partition("/")
        written = re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", text)
        if written is None or not 1 <= int(index) <= int(count):
            raise UsageError(f"--shard {text[:40]}: a shard is written i/n with 1 <= i <= n, as in 2/5")
        return cls(int(index), int(count))

    def of(self, clips: Sequence[ListedClip]) -> list[ListedClip]:
        """This shard's clips."""
        return list(clips[self.index - 1 :: self.count])


def describe_run(
    scorer: SyncScorer,
    clips: Sequence[ListedClip],
    *,
    weights: str,
    command: Sequence[str],
    source: Source | None = None,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """The content of run.json. `clips`: the whole list, of which `shard` is a part; `source`: where it came from."""
    generation = _generation_of(source)
    return {
        "schema": SCHEMA,
        "kind": "score",
        "protocol": scorer.key["protocol"],
        "key": scorer.key,
        "weights": {
            "file": weights,
            "sha256": scorer.weights_sha256,
            "name": name_of_digest(scorer.weights_sha256),
        },
        "list": {"clips": len(clips), "sha256": list_digest(clips)},
        "source": None if source is None else source.as_json(),
        "manifest_sha256": None if generation is None else generation["manifest"].get("asked_sha256"),
        "generation": generation,
        "shard": None if shard is None else f"{shard.index}/{shard.count}",
        **surroundings(),
        "device": scorer.device,
        "precision": scorer.precision,
        "seed": None,
        "command": list(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _generation_of(source: Source | None) -> dict[str, Any] | None:
    """What made the clips, where they are the folder of one generation."""
    found = None if source is None or len(source.inputs) != 1 else read_generation(source.inputs[0])
    if found is None:
        return None
    held = {name: found.get(name) for name in ("generator", "key", "manifest", "looked")}
    return held | surroundings_of(found)


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
) -> dict[str, Any]:
    """Score `clips` into the run directory `out` and return its summary; goes on where an earlier call stopped.

    `overlay`: a folder for copies of the scored clips with their face tracks drawn in. `on_record` is called with
    every record, those found there included; `on_step` as by `SyncScorer.score_all`; `on_problem` with a sentence about
    an overlay that could not be made, which costs no score. Raises UsageError when `out` holds a run of something else,
    and names what differs.
    """
    description = describe_run(scorer, clips, weights=weights, command=command, source=source, shard=shard)
    if overlay is not None and scorer.tracking is None:
        raise UsageError(f"--overlay draws face tracks, and {scorer.protocol.id} has none; use --protocol tracked")
    _prepare(out, description)
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
        return _write_summary(out, read_records(out), len(mine), description["key"])


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
        yield _record(clips[outcome.clip], outcome), outcome


def merge_runs(runs: Sequence[Path], out: Path, command: Sequence[str] = ()) -> dict[str, Any]:
    """Join the shards of one list into a run directory `out` and return its summary.

    Raises UsageError when the runs do not belong together (naming the field), overlap, or `out` is not empty.
    """
    if not runs:
        raise UsageError("no runs to merge")
    descriptions = [read_description(run) for run in runs]
    for run, description in zip(runs, descriptions, strict=True):
        _refuse_difference(runs[0], descriptions[0], run, description)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: already holds something; merge into a new folder")
    records = [record for run in runs for record in read_records(run)]
    refuse_doubles(records, out)
    for run in runs:
        refuse_edited_records(run, read_records(run), descriptions[0]["key"].get("track_rule"))
    whole = descriptions[0]
    for description in descriptions[1:]:
        for one in (surroundings_of(description), *description.get("continued_with", [])):
            whole = whole | (joined(whole, one) if one else {})
    merged = whole | {
        "shard": None,
        "merged_from": [description.get("shard") for description in descriptions],
        "command": list(command),
    }
    _prepare(out, merged)
    with open_records(out) as append:
        for record in records:
            append(record)
    for run in runs:
        for kept in (run / WINDOWS_FOLDER).glob("[!.]*.npz"):
            write_atomically(out / WINDOWS_FOLDER / kept.name, kept.read_bytes())
    return _write_summary(out, records, merged["list"]["clips"], merged["key"])


def _record(clip: ListedClip, outcome: ClipOutcome) -> Record:
    facts, score, failure = outcome.facts, outcome.score, outcome.failure
    common: dict[str, Any] = {
        "clip": clip.clip,
        "id": clip.id,
        "warnings": facts.warnings,
        "frames": facts.frames or None,
        "fps": facts.fps,
        "seconds": facts.seconds,
        "groups": clip.groups,
        "sha256": _digest_or_none(clip.path),
        "tracks": track_rows(outcome),
    }
    if score is None:
        assert failure is not None
        return Record(status=failure.status, reason=failure.reason, **common)
    if not np.isfinite(score.curve).all():
        reason = "the network gave values that are not numbers; are the weights sound, or is bf16 too narrow for them?"
        return Record(status="error", reason=reason, **common)
    common["warnings"] = [*facts.warnings, *warnings_of_score(score)]
    return Record(status="ok", **score_fields(score), **common)


def _refuse_changed(out: Path, records: Sequence[Record], clips: dict[str, ListedClip]) -> None:
    """A run goes on only while the files it has scored are still the same."""
    for record in records:
        if record.id in clips and _digest_or_none(clips[record.id].path) != record.sha256:
            raise UsageError(
                f"{out}: {record.clip} has changed since this run recorded it ({record.status}); its old result would "
                "stand for a new file. Choose another --out"
            )


def _digest_or_none(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _prepare(out: Path, description: dict[str, Any]) -> None:
    """Write run.json, or check that the one there is of the same run."""
    if (out / RUN_FILE).exists():
        there = read_description(out)
        _refuse_difference(out, there, Path("this call"), description)
        if there.get("shard") != description["shard"]:
            raise UsageError(
                f"{out}: holds shard {there.get('shard')}, asked for {description['shard']}; choose another --out"
            )
        whole = there | joined(there, surroundings_of(description))
        if whole != there:
            write_atomically(out / RUN_FILE, json_bytes(whole))
        return
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; --out names a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / RUN_FILE, json_bytes(description))
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from None


def read_description(run: Path) -> dict[str, Any]:
    """The content of a run directory's run.json. Raises UsageError when it is not one that this version reads."""
    path = run / RUN_FILE
    if not path.is_file():
        raise UsageError(f"{run}: not a run directory (no {RUN_FILE} that can be read)")
    description = read_object(path, _WAY_OUT)
    if description.get("schema") != SCHEMA:
        there = description
        versions = there.get("versions")
        writer = versions.get("lse-bench") if isinstance(versions, dict) else None
        way = (
            f"lse-bench {writer} wrote it, and reads it: pip install 'lse-bench=={writer}'"
            if writer
            else "it does not say which version wrote it; is it a run directory of lse-bench score?"
        )
        raise UsageError(f"{path}: schema {there.get('schema')}, this version reads schema {SCHEMA}. {way}")
    return read_described(path, _Description, _WAY_OUT)


class _ListAbout(BaseModel):
    clips: int = Field(ge=0)
    sha256: str


class _Description(BaseModel):
    """Types of what is read of a run.json; other fields may be there."""

    protocol: str
    key: dict[str, str]
    list: _ListAbout
    weights: dict[str, str | None]
    versions: dict[str, Any] = {}
    source: dict[str, Any] | None = None
    generation: dict[str, Any] | None = None
    shard: str | None = None
    command: Sequence[str] = ()


def key_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The fields of the comparison key in which two run.json differ, with both values."""
    fields = sorted({*one["key"], *other["key"]})
    values = [(name, one["key"].get(name), other["key"].get(name)) for name in fields]
    return [value for value in values if value[1] != value[2]]


def _refuse_difference(first: Path, one: dict[str, Any], second: Path, other: dict[str, Any]) -> None:
    differing = key_differences(one, other)
    if one["list"]["sha256"] != other["list"]["sha256"]:
        differing.append(("list", one["list"]["sha256"], other["list"]["sha256"]))
    for name, here, there in differing:
        raise UsageError(
            f"{first} and {second} cannot be joined: {name} differs ({here} and {there}). Scores that differ in it are "
            "never averaged together; choose another --out"
        )


def _write_summary(out: Path, records: Sequence[Record], listed: int, key: dict[str, str]) -> dict[str, Any]:
    summary = summarise(records, listed, key)
    write_atomically(out / SUMMARY_FILE, json_bytes(summary))
    return summary


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
