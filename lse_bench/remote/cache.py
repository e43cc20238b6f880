"""Local copies of files at addresses, in a folder of bounded size that several processes share.

A file is fetched once. When the folder is full, the copies that were used longest ago go. A copy that was used in the
last minute stays, so a program that has its path can open it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

from filelock import FileLock

from lse_bench.errors import ClipError
from lse_bench.remote.addresses import address_of, suffix_of, without_secrets
from lse_bench.remote.stores import RemoteError, State, patiently, state_at, store_of

FOLDER, LIMIT = "LSE_BENCH_CACHE", "LSE_BENCH_CACHE_GB"
_GB, _DEFAULT = 1 << 30, 20.0
_RECENT = 60.0  # seconds
_BLOCK = 4 << 20  # bytes that are held in memory


def local_copy(path: Path) -> Path:
    """Return a local file for a path: the path itself, or the copy of the file at its address.

    Raises ClipError `unreadable` if the file cannot be had.
    """
    address = address_of(path)
    if address is None:
        return path
    try:
        return fetched(address)
    except RemoteError as error:
        raise ClipError(path, "unreadable", str(error)) from None


def fetched(address: str) -> Path:
    """Return the local copy of the file at an address, fetched if it is absent. Raises RemoteError or UsageError."""
    state = state_at(address, alone=True)
    if state is None:
        raise RemoteError(f"{without_secrets(address)}: no such object", missing=True)
    folder = cache_folder()
    suffix = suffix_of(Path(address))[:12]
    key = hashlib.sha256(f"{address} {state.bytes} {state.changed}".encode()).hexdigest()[:40]
    copy = folder / f"{key}{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{key}.lock"):
        if copy.exists():
            os.utime(copy)
            return copy
        _make_room(folder, state.bytes)
        partial = folder / f"{key}.partial-{os.getpid()}"
        try:
            patiently(address, lambda: _copy(address, state, partial))
            os.replace(partial, copy)
        finally:
            partial.unlink(missing_ok=True)
    return copy


def cache_folder() -> Path:
    """Return the folder of local copies. The environment variable LSE_BENCH_CACHE names another one."""
    given = os.environ.get(FOLDER)
    if given:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("lse-bench") / "clips"


def _copy(address: str, state: State, partial: Path) -> None:
    store, path = store_of(address)
    with store.open(path, "rb") as there, partial.open("wb") as here:
        shutil.copyfileobj(there, here, _BLOCK)
    if state.bytes and partial.stat().st_size != state.bytes:
        raise OSError(f"{partial.stat().st_size:,} bytes arrived, and {state.bytes:,} were announced")


def _make_room(folder: Path, needed: int) -> None:
    """Delete the copies that were used longest ago, until `needed` bytes fit into the limit."""
    limit = float(os.environ.get(LIMIT) or _DEFAULT) * _GB
    with FileLock(folder / "room.lock"):
        copies = []
        for path in folder.iterdir():
            if path.suffix == ".lock" or ".partial-" in path.name:
                continue
            about = path.stat()
            copies.append((about.st_mtime, about.st_size, path))
        held = sum(size for _, size, _ in copies)
        for used, size, path in sorted(copies):
            if held + needed <= limit or time.time() - used < _RECENT:
                return
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)
            held -= size
