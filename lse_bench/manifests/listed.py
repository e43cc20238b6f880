"""A listed clip: its id, safe as a file name, its file and what it shares with others."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lse_bench.errors import Status

MEDIA_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".flv",
        ".wmv",
        ".3gp",
        ".ogv",
        ".mxf",
        ".m2ts",
        ".m2t",
        ".f4v",
        ".vob",
        ".asf",
        ".dv",
        ".3g2",
        ".qt",
    ]
)  # what a folder is searched for; a file named outright may end in anything
GROUPS = ("video", "sound", "speaker")
_MAX_ID = 160  # characters; file systems allow 255 bytes


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


def safe_id(name: str) -> str:
    """`name` as a file name: `/` becomes `__`, other unusual characters `%XX`; different names stay different.

    Ids of LRS contain `/`, YouTube ids may begin with `-`.
    """
    escaped = name.replace("%", "%25").replace("__", "%5F%5F").replace("\\", "/")
    escaped = re.sub("_(?=/)|(?<=/)_", "%5F", escaped).replace("/", "__")
    escaped = re.sub(r"[^\w%.+=@ -]", lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])), escaped)
    escaped = re.sub(r"^[-. ]", lambda match: f"%{ord(match[0]):02X}", escaped)
    if len(escaped.encode()) > _MAX_ID:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        escaped = escaped.encode()[: _MAX_ID - 13].decode(errors="ignore") + "~" + digest
    return escaped or "%00"


def list_digest(clips: Iterable[ListedClip]) -> str:
    """SHA-256 over ids, names and groups: two runs with the same digest were asked to score the same list."""
    rows = [[clip.id, clip.clip, sorted(clip.groups.items())] for clip in clips]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts 2.mp4 before 10.mp4."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"([0-9]{1,18})", name) if part]
