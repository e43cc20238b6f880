"""Give clips the sound of other files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.listed import ListedClip, shown
from lse_bench.manifests.search import Passed, search
from lse_bench.naming import MEDIA_SUFFIXES, safe_id, some

# A folder is searched for these and for videos; a file that the user names may have any suffix.
SOUND_SUFFIXES = MEDIA_SUFFIXES | {
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".ac3", ".eac3", ".wma", ".aif", ".aiff"),
    *(".au", ".amr", ".mka", ".mp2", ".caf", ".w64", ".ape", ".wv"),
}


def with_one_sound(clips: Sequence[ListedClip], sound: Path) -> list[ListedClip]:
    """Return the only clip with the sound of the file `sound`.

    Raises UsageError if there are several clips, if the clip has a sound already, or if the file does not exist.
    """
    if len(clips) != 1:
        raise UsageError(f"--sound gives one clip its sound, but there are {len(clips)} clips. Use --sounds FOLDER")
    _refuse_two(clips)
    if not sound.is_file():
        raise UsageError(f"{sound}: no such file")
    return [replace(clips[0], sound=sound, sound_name=shown(sound.name))]


def with_sounds(clips: Sequence[ListedClip], folder: Path) -> list[ListedClip]:
    """Return the clips with the sounds of `folder`. A sound belongs to the clip whose id its name without suffix gives.

    Sub-folders count as in ids of clips: `a/b.wav` belongs to `a/b.mp4`. Raises UsageError if the folder does not
    exist, if a clip has a sound already, or if a clip has no sound or several in the folder. The message names them.
    """
    _refuse_two(clips)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in search(folder, SOUND_SUFFIXES, Passed()).files:
        found[safe_id(path.relative_to(folder).with_suffix("").as_posix())].append(path)
    none = [clip.id for clip in clips if clip.id not in found]
    if none:
        there = some(sorted(found)) or "no sounds"
        raise UsageError(
            f"{folder}: no sound for {len(none)} of {len(clips)} clips: {some(none)}. A sound has the id of its clip "
            f"as its name; the folder holds {there}"
        )
    several = [clip.id for clip in clips if len(found[clip.id]) > 1]
    if several:
        names = ", ".join(path.name for path in found[several[0]])
        raise UsageError(f"{folder}: {len(several)} clips have several sounds: {several[0]} has {names}. Keep one each")
    sounds = {clip.id: found[clip.id][0] for clip in clips}
    return [
        replace(clip, sound=sounds[clip.id], sound_name=shown(sounds[clip.id].relative_to(folder).as_posix()))
        for clip in clips
    ]


def _refuse_two(clips: Sequence[ListedClip]) -> None:
    given = [clip.id for clip in clips if clip.sound is not None]
    if given:
        raise UsageError(f"{some(given)}: the list gives this clip a sound already. Leave out --sound and --sounds")
