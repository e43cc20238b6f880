"""Scores as the fields of a record, and a record's face tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lse_bench.sync.clip_facts import why_too_short, windows_of

_DROPPED = 50  # dropped tracks that get a row of their own

if TYPE_CHECKING:
    from lse_bench.faces.tracks import Track
    from lse_bench.sync.distance import LseScore
    from lse_bench.sync.scorer import ClipOutcome


def score_fields(score: LseScore) -> dict[str, Any]:
    """A score under the names that records have for it."""
    return {
        "lse_d": score.distance,
        "lse_c": score.confidence,
        "offset": score.offset,
        "lse_d_at_0": score.distance_at_0,
        "lse_d_valid": None if score.offset_valid is None else score.distance_valid,
        "lse_c_valid": None if score.offset_valid is None else score.confidence_valid,
        "offset_valid": score.offset_valid,
        "curve": score.curve.tolist(),
        "windows": score.windows,
    }


def track_rows(outcome: ClipOutcome) -> list[dict[str, Any]] | None:
    """One object per face track, those that were not scored with the reason; None under protocols without tracks.

    Of the tracks that were dropped the 50 longest, the rest in one row. `first` and `last`: frames as scored; `box`:
    mean left, top, right, bottom in pixels; `detections`: frames with one.
    """
    scene = outcome.facts.scene
    if scene is None:
        return None
    rows = []
    for number, track in enumerate(scene.tracks.kept):
        row = {"track": number, **track_facts(track)}
        if number in outcome.tracks:
            rows.append(row | {"status": "ok"} | score_fields(outcome.tracks[number]))
        elif any(part := _part(outcome, number)) and not windows_of(*part):
            rows.append(row | {"status": "too_short", "reason": why_too_short(*part)})
        else:
            rows.append(row | {"status": "error", "reason": "the clip failed before this track was scored"})
    dropped = sorted(scene.tracks.dropped, key=lambda pair: -pair[0].detections)
    rows += [
        {"track": None, **track_facts(track), "status": "no_track", "reason": reason}
        for track, reason in dropped[:_DROPPED]
    ]
    if rest := [track.detections for track, _ in dropped[_DROPPED:]]:
        reason = f"{len(rest)} more tracks, each of {max(rest)} detections at most"
        rows.append({"track": None, "detections": sum(rest), "status": "no_track", "reason": reason})
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
