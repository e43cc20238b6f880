"""Scores as the fields of a record, and a record's face tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lse_bench.sync.windows import why_too_short, windows_of

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

    `first` and `last`: frames at 25 fps; `box`: mean left, top, right, bottom in pixels; `detections`: frames with one.
    """
    scene = outcome.facts.scene
    if scene is None:
        return None
    rows = []
    for number, track in enumerate(scene.tracks.kept):
        row = {"track": number, **track_facts(track)}
        if number in outcome.tracks:
            rows.append(row | {"status": "ok"} | score_fields(outcome.tracks[number]))
        elif number < len(outcome.facts.parts) and not windows_of(*outcome.facts.parts[number]):
            rows.append(row | {"status": "too_short", "reason": why_too_short(*outcome.facts.parts[number])})
        else:
            rows.append(row | {"status": "error", "reason": "the clip failed before this track was scored"})
    rows += [
        {"track": None, **track_facts(track), "status": "no_track", "reason": reason}
        for track, reason in scene.tracks.dropped
    ]
    return rows


def track_facts(track: Track) -> dict[str, Any]:
    """Where and when a track is."""
    return {
        "first": track.first,
        "last": track.stop - 1,
        "frames": len(track),
        "detections": track.detections,
        "box": [round(float(value), 2) for value in track.boxes.mean(axis=0)],
    }
