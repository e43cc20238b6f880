"""What the scorer found about a clip, as its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lse_bench.manifests.listed import ListedClip
from lse_bench.runs.schema import Record, Scores, TrackRecord
from lse_bench.sync.clip_facts import why_too_short, windows_of
from lse_bench.sync.remarks import warnings_of_score
from lse_bench.weights.readers import file_digest

_DROPPED = 50  # dropped tracks that get a row of their own

if TYPE_CHECKING:
    from lse_bench.faces.tracks import Track
    from lse_bench.sync.batch import ClipOutcome
    from lse_bench.sync.distance import LseScore


def score_fields(score: LseScore) -> dict[str, Any]:
    """The fields of a record that a score fills."""
    found = {name: getattr(score, name) for name in Scores.model_fields}
    if score.offset_valid is None:
        found |= {"lse_d_valid": None, "lse_c_valid": None}
    return found | {"curve": score.curve.tolist()}


def record_of(clip: ListedClip, outcome: ClipOutcome) -> Record:
    """The record of a clip that the scorer has finished."""
    facts, score, failure = outcome.facts, outcome.score, outcome.failure
    common: dict[str, Any] = {
        "clip": clip.clip,
        "id": clip.id,
        "warnings": facts.warnings,
        "frames": facts.frames or None,
        "fps": facts.fps,
        "seconds": facts.seconds,
        "groups": clip.groups,
        "sha256": digest_or_none(clip.path),
        "tracks": track_rows(outcome),
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
    """One record per face track, those that were not scored with the reason; None under protocols without tracks.

    Of the tracks that were dropped the 50 longest, the rest in one row. `first` and `last`: frames as scored; `box`:
    mean left, top, right, bottom in pixels; `detections`: frames with one.
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
    """Frames and samples of a track; none where the clip failed before it was read."""
    return outcome.facts.parts[number] if number < len(outcome.facts.parts) else (0, 0)


def track_facts(track: Track) -> dict[str, Any]:
    """Where and when a track is."""
    return {
        "first": track.first,
        "last": track.stop - 1,
        "frames": len(track),
        "detections": track.detections,
        "box": [round(float(value), 2) for value in track.boxes.mean(axis=0)],
    }


def digest_or_none(path: Path) -> str | None:
    """Digest of a file; None where it cannot be read."""
    try:
        return file_digest(path)
    except OSError:
        return None
