"""The clips of a plain folder of videos or of a list."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.manifests.listed import ListedClip
from lse_bench.manifests.search import Passed
from lse_bench.media.opening import open_media
from lse_bench.naming import whole


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
    return whole(path).relative_to(whole(folder)).as_posix()


def _folder_of(clips: Sequence[ListedClip], base: Path) -> Path:
    """Return `base` if it holds all clips, else the deepest folder that does."""
    paths = [whole(clip.path) for clip in clips]
    if all(path.is_relative_to(whole(base)) for path in paths):
        return base
    return Path(os.path.commonpath([path.parent for path in paths]))
