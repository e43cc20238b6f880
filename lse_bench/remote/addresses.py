"""Addresses, such as `s3://bucket/clips/a.mp4`, in places where a path can stand.

An address travels as a `Path`, so names are joined and suffixes are read in one way for both. `Path` writes one slash
where an address has two; `address_of` puts it back.
"""

from __future__ import annotations

import re
from pathlib import Path

# A colon ends the first part of a path, and a double colon separates an archive from its place.
SCHEMES = ("s3", "gs", "hf", "http", "https", "zip", "tar", "memory")
NETWORK = ("s3", "gs", "hf", "http", "https")
_START = re.compile(rf"({'|'.join(SCHEMES)}):/+")
_ANY = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_SECRET = re.compile(r"([a-z0-9]+://)(?:[^/\s@'\"]*@)?([^\s?'\"]*)(\?[^\s'\"]*)?")


def address_of(path: Path | str) -> str | None:
    """Return the address that a path stands for; None for a local file.

    >>> address_of(Path("s3://bucket/a.mp4"))
    's3://bucket/a.mp4'
    """
    text = str(path)
    if ":/" not in text or _START.match(text) is None:  # lists have millions of paths
        return None
    parts = [_START.sub(lambda found: f"{found[1]}://", part, count=1) for part in text.split("::")]
    return "::".join(parts)


def unknown_scheme(text: str) -> str | None:
    """Return the scheme of an address that is not opened; None for a path and for the listed schemes."""
    found = _ANY.match(text)
    return found[1] if found is not None and found[1].lower() not in SCHEMES else None


def is_network(address: str) -> bool:
    """Return whether reading an address needs the network."""
    return any(part.split("://")[0] in NETWORK for part in address.split("::") if "://" in part)


def suffix_of(path: Path) -> str:
    """Return the suffix of a path or an address in lower case. A query and an archive after the name do not count.

    >>> suffix_of(Path("https://host/list.CSV?key=1"))
    '.csv'
    """
    if address_of(path) is None:
        return path.suffix.lower()
    return Path(str(path).partition("::")[0].partition("?")[0]).suffix.lower()


def joined(folder: Path, name: str) -> Path:
    """Return a name below a folder, which can lie in an archive. A name that is an address itself stays as it is."""
    if address_of(name) is not None:
        return Path(name)
    inside, colons, archive = str(folder).partition("::")
    return Path(f"{Path(inside) / name}{colons}{archive}") if colons else folder / name


def without_place(name: str) -> str:
    """Return the name of an address without its scheme and its query, which can be a key. Another name stays.

    >>> without_place("https://host/clips/a.mp4?key=1")
    'host/clips/a.mp4'
    """
    return name.partition("://")[2].partition("?")[0] if address_of(name) is not None else name


def without_secrets(text: str) -> str:
    """Return a text without the queries and user names of the addresses in it, which can be keys.

    >>> without_secrets("https://me:key@host/a.mp4?signature=abc failed")
    'https://host/a.mp4?… failed'
    """
    return _SECRET.sub(lambda found: f"{found[1]}{found[2]}{'?…' if found[3] else ''}", text)
