"""Choose the pairs whose videos a page plays, and find their files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import is_there
from lse_bench.naming import slug
from lse_bench.runs.directory import TIMELINES_FOLDER, WINDOWS_FOLDER
from lse_bench.runs.read import Run
from lse_bench.runs.trends import told
from lse_bench.storage import read_arrays, read_object
from lse_bench.sync.distance import running_confidence
from lse_bench.tables.paired import sources_of
from lse_bench.tables.table import REAL, UNSYNCED
from lse_bench.weights.readers import file_digest

CLIPS_FOLDER = "clips"


def copied_clips(entries: Sequence[Run], count: int) -> dict[str, dict[str, Path]]:
    """Return the videos of `count` pairs of each corpus, by run directory and clip id.

    The pairs are spread evenly over all pairs with a file, sorted by the number of methods that have one.
    """
    found: dict[str, dict[str, Path]] = {}
    for members in _by_corpus(entries):
        places = {entry.method: _files_of(entry) for entry in members}
        for pair in _pairs_to_play(places, count):
            video = _picture_of(members, pair)
            for entry in members:
                clip = _clip_of(entry, pair, video, places[entry.method])
                if clip is not None:
                    found.setdefault(str(entry.folder), {})[clip] = places[entry.method][clip]
    return found


def _by_corpus(entries: Sequence[Run]) -> list[list[Run]]:
    """Return the runs of each corpus, one per method: the first one given, if there are several protocols."""
    found: dict[str, dict[str, Run]] = {}
    for entry in entries:
        found.setdefault(entry.corpus, {}).setdefault(entry.method, entry)
    return [list(members.values()) for members in found.values()]


def _pairs_to_play(places: dict[str, dict[str, Path]], count: int) -> list[str]:
    generated = [there for name, there in places.items() if name not in (REAL, UNSYNCED)] or list(places.values())
    ids = sorted(set().union(*generated), key=lambda one: (-sum(one in there for there in generated), one))
    return ids[:: max(1, len(ids) // max(1, count))][:count]


def _clip_of(entry: Run, pair: str, video: str | None, places: dict[str, Path]) -> str | None:
    """Return the id of a method's video of a pair, or of the source video `video` for `real`; None without a file."""
    if pair in places:
        return pair
    source = sources_of(entry.records).get(video or "")
    return source.id if source is not None and source.id in places else None


def _picture_of(members: Sequence[Run], pair: str) -> str | None:
    """Return the name of a pair's source video; None if unknown."""
    return next((r.groups.get("video") for entry in members for r in entry.records if r.id == pair), None)


def copy_clips(out: Path, entries: Sequence[Run], count: int) -> list[dict[str, Any]]:
    """Copy the videos of `count` pairs of each corpus to `out`, and return the pairs for the page.

    A pair holds each method's file, scores and running confidence. Raises UsageError if a video is not the file that
    was scored.
    """
    found = list[dict[str, Any]]()
    for members in _by_corpus(entries) if count else ():
        places = {entry.method: _files_of(entry) for entry in members}
        for pair in _pairs_to_play(places, count):
            video = _picture_of(members, pair)
            clips = {entry.method: _clip_of(entry, pair, video, places[entry.method]) for entry in members}
            shown = [
                _player(out, entry, clip, places[entry.method][clip])
                for entry in members
                if (clip := clips[entry.method]) is not None
            ]
            found.append({"id": pair, "corpus": members[0].corpus, "methods": shown})
    return found


def _files_of(entry: Run) -> dict[str, Path]:
    """Return the .mp4 files of a run's recorded clips, by clip id.

    They are the run directory's copies or, if it has none, the files at their stored paths.
    """
    found = {path.stem: path for path in sorted((entry.folder / CLIPS_FOLDER).glob("*.mp4"))}
    if not found and entry.description.source:
        with suppress(UsageError):  # the clips have moved; the scores can be shown without them
            clips = Source.from_json(entry.description.source).clips()
            # A part, or a clip that was heard with another sound, would play what was not scored.
            plain = [clip for clip in clips if clip.files.whole and clip.sound is None]
            found = {clip.id: clip.path for clip in plain if clip.path.suffix == ".mp4" and is_there(clip.path)}
    return {record.id: found[record.id] for record in entry.records if record.id in found}


def _player(out: Path, entry: Run, clip: str, video: Path) -> dict[str, Any]:
    record = next(record for record in entry.records if record.id == clip)
    if record.sha256 is not None and file_digest(video) != record.sha256:
        raise UsageError(
            f"{video}: is not the file that was scored ({entry.folder}). Use --clips 0 for a page without clips"
        )
    target = Path(CLIPS_FOLDER) / slug(entry.corpus) / slug(entry.method) / f"{clip}.mp4"
    (out / target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video, out / target)
    kept = entry.folder / WINDOWS_FOLDER / f"{clip}.npz"
    confidence: list[float] = []
    if kept.exists():
        windows = read_arrays(kept, "Remove it, and the page shows no running confidence")
        if "distances" in windows:
            confidence = [round(float(value), 3) for value in running_confidence(windows["distances"])]
    shown = {"method": entry.method, "file": quote(target.as_posix()), "status": record.status, "lse_d": record.lse_d,
             "lse_c": record.lse_c, "offset": record.offset, "confidence": confidence}  # fmt: skip
    line = _timeline(entry, clip)
    return (
        shown
        if line is None or record.timeline is None
        else shown | {"timeline": line | {"told": told(record.timeline)}}
    )


def _timeline(entry: Run, clip: str) -> dict[str, Any] | None:
    """Return the offsets over time of a clip for the page, None if they were not measured."""
    kept = entry.folder / TIMELINES_FOLDER / f"{clip}.json"
    if not kept.exists():
        return None
    found = read_object(kept, "Remove it, and the page shows no offsets over time").get("clip") or {}
    pieces = [
        {name: piece[name] for name in ("start", "end")}
        | {"offset_ms": piece["offset_ms"] if piece["clear"] is not False else None}
        for piece in found.get("pieces", [])
    ]
    return {"pieces": pieces} if pieces else None
