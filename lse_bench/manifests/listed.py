"""A listed clip: its id, which is safe as a file name, its file and the groups that it shares with other clips."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lse_bench.errors import Status
from lse_bench.media.clip_files import ClipFiles
from lse_bench.remote.addresses import address_of, without_secrets
from lse_bench.remote.stores import State, state_at


class Absent(NamedTuple):
    """The status and reason of a listed clip that has no file. The clip's record repeats them."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class ListedClip:
    """One clip to score.

    `clip`: the clip's name in results, relative if possible. `path`: the file. `groups`: what the clip shares with
    others, by name; `video`, `sound` and `speaker` have a meaning in statistics. `absent`: why there is no file, or
    None if there is one. `sound`: another file whose sound is heard, and `sound_name` its name in results; None for the
    clip's own sound. `start`, `end`: the part to score, in seconds; None for the beginning and the end.
    `state`: size and time of the file when it was listed; None if nobody looked.
    """

    id: str
    clip: str
    path: Path
    groups: dict[str, str] = field(default_factory=dict)
    absent: Absent | None = None
    sound: Path | None = None
    sound_name: str | None = None
    start: float | None = None
    end: float | None = None
    state: State | None = None

    @property
    def files(self) -> ClipFiles:
        """The files of the clip."""
        return ClipFiles(self.path, self.sound, self.start, self.end)


def state_of(path: Path | str) -> State | None:
    """Return the size of a file and the time of its last change; None if it cannot be had, or for a folder."""
    address = address_of(path)
    if address is not None:
        return state_at(address)
    try:
        about = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, and lists have millions
    except (OSError, ValueError):
        return None
    return State(about.st_size, about.st_mtime_ns // 1000)


def shown(name: str) -> str:
    """Return `name` with bytes that are not UTF-8 written as \\xNN, and addresses without their keys."""
    if name.isascii() and ":/" not in name:  # lists have millions of names
        return name
    return without_secrets(os.fsencode(address_of(name) or name).decode("utf-8", errors="backslashreplace"))


def is_there(path: Path) -> bool:
    """Return whether a file or folder exists. A name that no file can have, because it is too long, does not."""
    if (address := address_of(path)) is not None:
        return state_at(address) is not None
    try:
        return os.path.exists(path)  # noqa: PTH110 - half the time of Path.exists, and lists have millions
    except OSError:
        return False


def _beside(clip: ListedClip) -> list[object]:
    """Return the sound and the part of a clip, nothing if the whole clip is scored with its own sound."""
    beside = [clip.sound_name, clip.start, clip.end]
    return [] if beside == [None, None, None] else [beside]


def list_digest(clips: Iterable[ListedClip]) -> str:
    """Return the SHA-256 digest of ids, names, groups, sounds and parts.

    Runs with the same digest score the same list.
    """
    rows = [[clip.id, clip.clip, sorted(clip.groups.items()), *_beside(clip)] for clip in clips]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode("utf-8", "backslashreplace")).hexdigest()
