"""The clips of a plain folder of videos or of a list, and who speaks in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.manifests.listed import ListedClip
from lse_bench.manifests.pair_lists import Preview, speaker_rule
from lse_bench.manifests.search import Passed
from lse_bench.media.opening import open_media

_SHOWN = 3  # speakers that a message names


def clips_in(source: Path, passed: Passed, root: Path | None = None) -> tuple[Path, list[CorpusClip]]:
    """Return the videos of a plain folder or of a list of clips, and the folder that holds them all.

    The videos have a picture, a sound and a name that is valid UTF-8. A manifest cannot hold other names. `passed`
    collects the other videos. `root`: the folder that the names of a list are relative to, None for the list's. Raises
    UsageError if no video is left, or if a list gives a clip another sound or a part of a file.
    """
    found = find_clips([source], root, passed)
    folder = source if source.is_dir() else _folder_of(found, root or source.parent)
    clips = []
    for clip in found:
        if clip.sound is not None or not clip.files.whole:
            raise UsageError(f"{source}: {clip.clip} has another sound or is a part of a file; whole clips are needed")
        name = name_in(folder, clip.path)
        if clip.absent is not None or name != os.fsencode(name).decode("utf-8", "replace"):
            passed.unfit.append(clip.clip)
            continue
        try:
            with open_media(clip.path) as media:
                fit = bool(media.streams.video and media.streams.audio)
        except ClipError:
            fit = False
        if fit:
            clips.append(clip)
        else:
            passed.unfit.append(clip.clip)
    if not clips:
        raise UsageError(f"{source}: none of its {len(passed.unfit)} videos has a picture and a sound")
    ids = ids_of_files([name_in(folder, clip.path) for clip in clips])
    return folder, [
        CorpusClip(id_, clip.path, "test", clip.groups.get("speaker"), "") for id_, clip in zip(ids, clips, strict=True)
    ]


def ids_of_files(names: Sequence[str]) -> list[str]:
    """Return ids for files: their names without suffix, or with it where two files differ in it only."""
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in names]
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]


def name_in(folder: Path, path: Path) -> str:
    """Return the name of a file relative to a folder, with links as they are."""
    return Path(os.path.abspath(path)).relative_to(os.path.abspath(folder)).as_posix()  # noqa: PTH100 - links stay


def _folder_of(clips: Sequence[ListedClip], base: Path) -> Path:
    """Return `base` if it holds all clips, else the deepest folder that does."""
    paths = [Path(os.path.abspath(clip.path)) for clip in clips]  # noqa: PTH100 - links stay
    whole = Path(os.path.abspath(base))  # noqa: PTH100 - links stay
    if all(path.is_relative_to(whole) for path in paths):
        return base
    return Path(os.path.commonpath([path.parent for path in paths]))


def with_speakers(
    clips: Sequence[CorpusClip], folder: Path, speaker_from: str | None, preview: Preview
) -> list[CorpusClip]:
    """Return the clips of a plain folder with their speakers as `video`, the recording that a clip was cut from.

    `speaker_from`: see `speaker_rule`. None takes the first folder of the path in which the videos differ; videos that
    lie in one folder have no speaker. `preview` gets what was done. Raises UsageError if `speaker_from` finds nothing
    in a path.
    """
    told = {clip.video for clip in clips if clip.video is not None}
    if told and speaker_from is not None:
        raise UsageError("the list has a column speaker already. Leave out --speaker-from, or remove the column")
    if told:
        preview.lines.append(f"speaker ← column speaker: {len(told)} speakers")
        if lost := sum(clip.video is None for clip in clips):
            preview.doubts.append(f"{lost} clips name no speaker; each counts as a speaker of its own")
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
