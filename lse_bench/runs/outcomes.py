"""Turn the scorer's result for a clip into its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lse_bench.errors import ClipError
from lse_bench.manifests.listed import ListedClip, state_of
from lse_bench.rates import SAMPLE_RATE
from lse_bench.remote.stores import RemoteError, State
from lse_bench.runs.schema import Record, Scores, TrackRecord, Trend, WideSearch
from lse_bench.sync.clip_facts import why_too_short, windows_of
from lse_bench.sync.remarks import warnings_of_score
from lse_bench.weights.readers import file_digest

_DROPPED = 50  # at most this many dropped tracks get a row each

if TYPE_CHECKING:
    from lse_bench.faces.tracks import Track
    from lse_bench.sync.batch import ClipOutcome
    from lse_bench.sync.distance import LseScore


def score_fields(score: LseScore) -> dict[str, Any]:
    """Return the fields of a record that a score fills. The `…_valid` fields are None if no shift has enough pairs."""
    found = {name: getattr(score, name) for name in Scores.model_fields}
    if score.offset_valid is None:
        found |= {"lse_d_valid": None, "lse_c_valid": None}
    beside = {
        "search": None if score.search is None else WideSearch.model_validate(score.search),
        "timeline": None if score.timeline is None else Trend.model_validate(score.timeline),
    }
    return found | {"curve": score.curve.tolist()} | beside


def identity_of(clip: ListedClip) -> dict[str, Any]:
    """Return the fields of a record that tell which clip it is, with the digests of its files."""
    state = clip.state or _state_or_none(clip.path)
    sound = None if clip.sound is None else _state_or_none(clip.sound)
    return {
        "clip": clip.clip,
        "id": clip.id,
        "groups": clip.groups,
        "sha256": digest_or_none(clip.path),
        "bytes": None if state is None else state.bytes,
        "changed": None if state is None else state.changed,
        "sound": clip.sound_name,
        "sound_sha256": None if clip.sound is None else digest_or_none(clip.sound),
        "sound_bytes": None if sound is None else sound.bytes,
        "sound_changed": None if sound is None else sound.changed,
        "start": clip.start,
        "end": clip.end,
    }


def record_of(clip: ListedClip, outcome: ClipOutcome) -> Record:
    """Return the record of a clip that the scorer has finished.

    A clip whose curve contains a non-finite value gets the status `error` and no scores.
    """
    facts, score, failure = outcome.facts, outcome.score, outcome.failure
    common: dict[str, Any] = {
        "warnings": facts.warnings,
        "frames": facts.frames or None,
        "fps": facts.fps,
        "seconds": facts.seconds,
        "sound_stream": facts.sound_stream,
        "conversion_ms": facts.conversion_ms,
        "sound_seconds": round(facts.samples / SAMPLE_RATE, 4) if facts.samples else None,
        "tracks": track_rows(outcome),
        **identity_of(clip),
    }
    if score is None:
        assert failure is not None
        return Record(status=failure.status, reason=failure.reason, **common)
    if not np.isfinite(score.curve).all():
        reason = (
            "the network produced NaN or Inf. The checkpoint may be damaged, or bf16 may overflow; try --precision fp32"
        )
        return Record(status="error", reason=reason, **common)
    common["warnings"] = [*facts.warnings, *warnings_of_score(score)]
    return Record(status="ok", **score_fields(score), **common)


def track_rows(outcome: ClipOutcome) -> list[TrackRecord] | None:
    """Return one record per face track; None under protocols without tracks.

    A track that was not scored has the reason. Of the dropped tracks, the 50 with the most detections have a record
    each. One more record stands for all others.
    """
    scene = outcome.facts.scene
    if scene is None:
        return None
    rows = []
    for number, track in enumerate(scene.tracks.kept):
        facts: dict[str, Any] = {"track": number, **track_facts(track)}
        if number in outcome.tracks:
            rows.append(TrackRecord(status="ok", **facts, **score_fields(outcome.tracks[number])))
        elif any(part := _part(outcome, number)) and not windows_of(*part):
            rows.append(TrackRecord(status="too_short", reason=why_too_short(*part), **facts))
        else:
            reason = "the clip failed before this track was scored"
            rows.append(TrackRecord(status="error", reason=reason, **facts))
    dropped = sorted(scene.tracks.dropped, key=lambda pair: -pair[0].detections)
    rows += [
        TrackRecord(status="no_track", reason=reason, **track_facts(track)) for track, reason in dropped[:_DROPPED]
    ]
    if rest := [track.detections for track, _ in dropped[_DROPPED:]]:
        reason = f"{len(rest)} more tracks, each of {max(rest)} detections at most"
        rows.append(TrackRecord(status="no_track", reason=reason, detections=sum(rest)))
    return rows


def _part(outcome: ClipOutcome, number: int) -> tuple[int, int]:
    """Return the frames and samples of a track; (0, 0) if the clip failed before the track was read."""
    return outcome.facts.parts[number] if number < len(outcome.facts.parts) else (0, 0)


def track_facts(track: Track) -> dict[str, Any]:
    """Return the position of a track in the clip, as fields of `TrackRecord`.

    `first`, `last`: frames as scored, both inclusive. `box`: mean left, top, right, bottom in pixels. `detections`:
    number of frames in which the face was detected.
    """
    return {
        "first": track.first,
        "last": track.stop - 1,
        "frames": len(track),
        "detections": track.detections,
        "box": [round(float(value), 2) for value in track.boxes.mean(axis=0)],
    }


def _state_or_none(path: Path) -> State | None:
    """Return the size and time of a file; None if it cannot be read, or its store cannot be reached any more."""
    try:
        return state_of(path)
    except RemoteError:
        return None


def digest_or_none(path: Path) -> str | None:
    """Return the SHA-256 of a file; None if it cannot be read."""
    try:
        return file_digest(path)
    except (OSError, ClipError):
        return None
