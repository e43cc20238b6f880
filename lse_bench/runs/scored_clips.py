"""Find the video files of a run directory, for measures that compare pictures, such as FID."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.fidelity.sources import Item, items_of
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import ListedClip
from lse_bench.manifests.search import Passed
from lse_bench.naming import natural_key
from lse_bench.runs.directory import RUN_FILE, read_description
from lse_bench.runs.records import read_records


def items_to_compare(path: Path, passed: Passed) -> list[Item]:
    """Return the scored clips of a run directory, or the videos or pictures of any other folder, in natural order.

    `passed` collects the files that the search skips. Raises UsageError if the run does not say where its clips are, if
    scored clips are missing, or if no clip was scored.
    """
    if not (path / RUN_FILE).exists():
        return items_of(path, passed)
    description = read_description(path)
    if not description.source:
        raise UsageError(f"{path}: run.json does not say where the clips are; give their folder instead")
    clips = {clip.id: clip for clip in Source.from_json(description.source).clips()}
    scored = [record.id for record in read_records(path) if record.status == "ok"]
    gone = [name for name in scored if name not in clips or not clips[name].path.exists()]
    if gone:
        raise UsageError(
            f"{path}: {len(gone)} of its {len(scored)} scored clips are no longer there, such as {gone[0]}. "
            "Restore them, or score again"
        )
    if not scored:
        raise UsageError(f"{path}: no clip of this run was scored")
    return items_of_clips([clips[name] for name in sorted(scored, key=natural_key)])


def items_of_clips(clips: Iterable[ListedClip]) -> list[Item]:
    """Return clips as items to compare. Raises UsageError if one is a part of a file, because files are compared."""
    found = []
    for clip in clips:
        if not clip.files.whole:
            raise UsageError(
                f"{clip.clip}: is a part of a file (start, end), but pictures are compared file by file. Cut the "
                "parts into files of their own first"
            )
        found.append(Item(clip.id, clip.path, clip.sound))
    return found
