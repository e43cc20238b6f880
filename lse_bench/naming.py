"""Names of clips and files: safe ids, natural order, suffixes, absolute paths, and lists of names in messages."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from lse_bench.remote.addresses import address_of

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
)  # a folder is searched for these; a file that the user names may have any suffix


_MAX_ID = 160  # bytes of UTF-8; file systems allow 255


def safe_id(name: str) -> str:
    """Return `name` as a safe file name. Different names give different results.

    `/` becomes `__`, and another unusual character becomes `%XX`. Ids of LRS contain `/`, and YouTube ids may begin
    with `-`. A result of more than 160 bytes is cut and ends in a part of the name's SHA-256.
    """
    escaped = name.replace("%", "%25").replace("__", "%5F%5F").replace("\\", "/")
    escaped = re.sub("_(?=/)|(?<=/)_", "%5F", escaped).replace("/", "__")
    escaped = re.sub(r"[^\w%.+=@ -]", lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])), escaped)
    escaped = re.sub(r"^[-. ]", lambda match: f"%{ord(match[0]):02X}", escaped)
    if len(escaped.encode()) > _MAX_ID:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        escaped = escaped.encode()[: _MAX_ID - 13].decode(errors="ignore") + "~" + digest
    return escaped or "%00"


def id_of(name: str) -> str:
    """Return an id that was given by name: as it is, if it is safe as a file name, else made safe."""
    safe = re.fullmatch(r"[\w%+=@~][\w%.+=@ ~-]*", name) is not None and len(name.encode()) <= _MAX_ID
    return name if safe else safe_id(name)


def matches(name: str, pattern: str) -> bool:
    """Return whether a name fits a pattern, in which only `*` and `?` are special."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def slug(name: str) -> str:
    """Return `name` as a readable folder name of lower-case letters, digits and `-`.

    Different names may give the same result.

    >>> slug("MiniLRS (lrs2)"), slug("Wav2Lip, L1 only")
    ('minilrs-lrs2', 'wav2lip-l1-only')
    """
    return re.sub(r"[\W_]+", "-", name.lower()).strip("-") or safe_id(name)


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Return a sort key that puts 2.mp4 before 10.mp4."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"([0-9]{1,18})", name) if part]


def without_suffix(name: str) -> str:
    """Return the name of a media file without its suffix. `1.05.speech.wav` keeps its other dots."""
    return re.sub(r"\.\w{2,4}$", "", name)


def whole(path: Path) -> Path:
    """Return the absolute path without `..`. Links stay: a link to a Python is not that Python. So does an address."""
    return path if address_of(path) is not None else Path(os.path.normpath(path.absolute()))


def some(names: Sequence[str]) -> str:
    """Return the first three names for a message, and `…` if there are more.

    >>> some(["a", "b"]), some(["a", "b", "c", "d"])
    ('a, b', 'a, b, c, …')
    """
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
