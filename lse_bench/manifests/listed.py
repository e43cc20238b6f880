"""A listed clip: its id, safe as a file name, its file and what it shares with others."""

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
    """Why a listed clip has no file, as its record will say it."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class ListedClip:
    """One clip to score. `clip`: its name in results, relative where it can be."""

    id: str
    clip: str
    path: Path
    groups: dict[str, str] = field(default_factory=dict)
    absent: Absent | None = None


def list_digest(clips: Iterable[ListedClip]) -> str:
    """SHA-256 over ids, names and groups: two runs with the same digest were asked to score the same list."""
    rows = [[clip.id, clip.clip, sorted(clip.groups.items())] for clip in clips]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
