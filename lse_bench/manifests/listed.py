"""A listed clip: its id, which is safe as a file name, its file and the groups that it shares with other clips."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lse_bench.errors import Status

GROUPS = ("video", "sound", "speaker")


class Absent(NamedTuple):
    """The status and reason of a listed clip that has no file. The clip's record repeats them."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class ListedClip:
    """One clip to score.

    `clip`: the clip's name in results, relative if possible. `path`: the file. `groups`: what the clip shares with
    others, by `video`, `sound` and `speaker`. `absent`: why there is no file, or None if there is one.
    """

    id: str
    clip: str
    path: Path
    groups: dict[str, str] = field(default_factory=dict)
    absent: Absent | None = None


def list_digest(clips: Iterable[ListedClip]) -> str:
    """Return the SHA-256 digest of ids, names and groups. Runs with the same digest score the same list."""
    rows = [[clip.id, clip.clip, sorted(clip.groups.items())] for clip in clips]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
