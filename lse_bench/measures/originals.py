"""The untouched video of each clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.interface import NoValueError
from lse_bench.naming import safe_id


class Originals:
    """The untouched videos in a folder, by id.

    A clip's original has the clip's id, or is the source video that the clip's groups name. A clip with the sound of
    another video has no original: nobody has recorded it. Raises UsageError if the folder holds no video.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"--originals {folder}: no such folder")
        found = [clip for clip in find_clips([folder]) if clip.absent is None]
        self._by_id = {clip.id: clip.path for clip in found}

    def of(self, clip: ListedClip) -> Path:
        """Return the untouched video of a clip. Raises NoValueError, with a reason, if there is none."""
        video, sound = clip.groups.get("video"), clip.groups.get("sound")
        if sound is not None and sound != video:
            raise NoValueError(f"no original: it speaks with the sound of {sound}")
        if clip.sound is not None:
            raise NoValueError("no original: it has another sound")
        return self.source(clip)

    def source(self, clip: ListedClip) -> Path:
        """Return the untouched video that a clip's picture was made of, whatever is heard.

        Raises NoValueError, with a reason, if there is none.
        """
        if not clip.files.whole:
            raise NoValueError("no original: it is a part of a file")
        video = clip.groups.get("video")
        wanted = [clip.id, *([] if video is None else [safe_id(video)])]
        path = next((self._by_id[name] for name in wanted if name in self._by_id), None)
        if path is None:
            raise NoValueError(f"no original called {' or '.join(dict.fromkeys(wanted))}")
        return path


def tell_missing(originals: Originals, clips: Sequence[ListedClip]) -> tuple[int, str]:
    """Return how many clips have no original, and why the first has none."""
    reasons = []
    for clip in clips:
        try:
            originals.of(clip)
        except NoValueError as error:
            reasons.append(str(error))
    return len(reasons), reasons[0] if reasons else ""
