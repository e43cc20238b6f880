"""Who speaks in the clips of a folder or a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.folders import name_in
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.manifests.preview import Preview

SpeakerOf = Callable[[str], str | None]


def speaker_rule(pattern: str | None) -> SpeakerOf:
    """Return a function that finds the speaker in a path relative to the root. None as the pattern finds none.

    `pattern`: a regular expression with the group `(?P<speaker>…)`. Raises UsageError if it is not.
    """
    if pattern is None:
        return lambda name: None
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--speaker-from {pattern}: not a regular expression: {error}") from None
    if "speaker" not in found.groupindex:
        raise UsageError(
            f"--speaker-from {pattern}: the group (?P<speaker>…) is missing. It marks the speaker, as in "
            "'HDTF/(?P<speaker>[^/]+)/'"
        )
    return lambda name: match["speaker"] or None if (match := found.search(name)) else None


def with_speakers(
    clips: Sequence[CorpusClip], folder: Path, speaker_from: str | None, preview: Preview
) -> list[CorpusClip]:
    """Return the clips of a plain folder with their speakers as `video`, the recording that a clip was cut from.

    `speaker_from`: see `speaker_rule`. None takes the first folder of the path in which the videos differ; videos that
    lie in one folder have no speaker. `preview` gets what was done. Raises UsageError if `speaker_from` finds nothing
    in a path.
    """
    told = [clip.video for clip in clips]
    if any(told) and speaker_from is not None:
        raise UsageError("the list has a column speaker already. Leave out --speaker-from, or remove the column")
    if any(told):
        _add_speakers(preview, "column speaker", told)
        return list(clips)
    names = [name_in(folder, clip.path) for clip in clips]
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
    _add_speakers(preview, origin, found)
    return [replace(clip, video=name) for clip, name in zip(clips, found, strict=True)]


def _add_speakers(preview: Preview, origin: str, speakers: Sequence[str | None]) -> None:
    preview.add_speakers(origin, speakers)
    if nameless := speakers.count(None):
        preview.doubts.append(
            f"videos without a speaker: {nameless} of {len(speakers)}; each counts as a speaker of its own"
        )


def _level(names: Sequence[str]) -> int | None:
    """Return the first level of folders, from 0, in which the paths differ; None if all lie in one folder."""
    folders = [name.split("/")[:-1] for name in names]
    for level in range(max(map(len, folders))):
        if len({tuple(parts[level : level + 1]) for parts in folders}) > 1:
            return level
    return None
