"""The clips of a plain folder of videos, and who speaks in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.manifests.pair_lists import Preview, speaker_rule
from lse_bench.manifests.search import Passed
from lse_bench.media.opening import open_media

_SHOWN = 3  # speakers that a message names


def clips_in(folder: Path, passed: Passed) -> list[CorpusClip]:
    """Return the videos of a plain folder that have a picture, a sound and a name that is valid UTF-8.

    A manifest cannot hold other names. `passed` collects the other videos. Raises UsageError if no video is left.
    """
    clips = []
    for clip in find_clips([folder], passed=passed):
        name = clip.path.relative_to(folder).as_posix()
        if clip.absent is not None or name != os.fsencode(name).decode("utf-8", "replace"):
            passed.unfit.append(clip.clip)
            continue
        try:
            with open_media(clip.path) as media:
                fit = bool(media.streams.video and media.streams.audio)
        except ClipError:
            fit = False
        if fit:
            clips.append(CorpusClip(clip.id, clip.path, "test", None, ""))
        else:
            passed.unfit.append(clip.clip)
    if not clips:
        raise UsageError(f"{folder}: none of its {len(passed.unfit)} videos has a picture and a sound")
    return clips


def with_speakers(
    clips: Sequence[CorpusClip], folder: Path, speaker_from: str | None, preview: Preview
) -> list[CorpusClip]:
    """Return the clips of a plain folder with their speakers as `video`, the recording that a clip was cut from.

    `speaker_from`: see `speaker_rule`. None takes the first folder of the path in which the videos differ; videos that
    lie in one folder have no speaker. `preview` gets what was done. Raises UsageError if `speaker_from` finds nothing
    in a path.
    """
    names = [clip.path.relative_to(folder).as_posix() for clip in clips]
    if speaker_from is not None:
        rule = speaker_rule(speaker_from)
        found = [rule(name) for name in names]
        if None in found:
            raise UsageError(f"{folder}: --speaker-from {speaker_from} finds nothing in {names[found.index(None)]}")
        origin = f"--speaker-from {speaker_from}"
    else:
        level = _level(names)
        if level is None:
            preview.lines.append("speaker ← none: each video counts as a speaker of its own")
            preview.doubts.append("two videos may show one person; --speaker-from tells who speaks, if paths tell it")
            return list(clips)
        found = [name.split("/")[level] if name.count("/") > level else None for name in names]
        origin = f"folder {level + 1} of each path, a guess (--speaker-from sets another rule)"
    counts = Counter(name for name in found if name is not None)
    listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common(_SHOWN))
    more = ", …" if len(counts) > _SHOWN else ""
    preview.lines.append(f"speaker ← {origin}: {len(counts)} speakers: {listed}{more}")
    return [replace(clip, video=name) for clip, name in zip(clips, found, strict=True)]


def _level(names: Sequence[str]) -> int | None:
    """Return the first level of folders, from 0, in which the paths differ; None if all lie in one folder."""
    folders = [name.split("/")[:-1] for name in names]
    for level in range(max(map(len, folders))):
        if len({tuple(parts[level : level + 1]) for parts in folders}) > 1:
            return level
    return None
