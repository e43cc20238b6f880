"""Read from stores: fsspec's file systems with the user's options, what lies below an address, and a file's state."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple, TypeVar

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.remote.addresses import is_network, without_secrets

OPTIONS = "LSE_BENCH_STORAGE_OPTIONS"  # a file with options by scheme; worker processes inherit the variable
OFFLINE = "LSE_BENCH_OFFLINE"
_TRIES, _WAIT = 5, 0.5  # attempts, and seconds before the second one; each further wait is twice as long
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp"}
R = TypeVar("R")


class State(NamedTuple):
    """The size of a file in bytes, and the time of its last change in microseconds since 1970."""

    bytes: int
    changed: int


_LISTINGS: dict[str, dict[str, State]] = {}  # the files of folders that were listed, until `forget`


class RemoteError(UsageError):
    """A file at an address that cannot be had. `missing`: whether it does not exist."""

    def __init__(self, text: str, missing: bool = False) -> None:
        super().__init__(text)
        self.missing = missing

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, bool]]:
        return type(self), (str(self), self.missing)


def forbidden() -> bool:
    """Return whether the environment variable LSE_BENCH_OFFLINE forbids the network."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def store_of(address: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it.

    Raises UsageError without the extra `remote`, if the network is forbidden, or if the options cannot be read.
    """
    if is_network(address) and forbidden():
        raise UsageError(f"{without_secrets(address)}: needs the network, but --offline or {OFFLINE} forbids it")
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{without_secrets(address)}: reading it needs: pip install 'lse-bench[remote]'") from None
    given = _options(os.environ.get(OPTIONS, ""))
    schemes = [part.split("://")[0] for part in address.split("::") if "://" in part]
    chosen = {scheme: given[scheme] for scheme in schemes if scheme in given}
    # Listings are remembered here, until `forget`, and not for the life of the process.
    flat = {"use_listings_cache": False} | chosen.get(schemes[0], {}) if len(schemes) == 1 else chosen
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(address, **flat)
    except ImportError:
        package = next((_PACKAGES[scheme] for scheme in schemes if scheme in _PACKAGES), "")
        raise UsageError(
            f"{without_secrets(address)}: reading it needs: pip install 'lse-bench[remote]' {package}".rstrip()
        ) from None
    return found


@cache
def _options(name: str) -> dict[str, dict[str, Any]]:
    """Return the options of a file of `--storage-options`, by scheme; none without a name."""
    if not name:
        return {}
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--storage-options {path}: cannot be read: {type(error).__name__}") from None
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise UsageError(f'--storage-options {path}: give options by scheme, such as {{"s3": {{"anon": true}}}}')
    return content


def patiently(address: str, attempt: Callable[[], R]) -> R:
    """Return the result of an attempt to reach an address. Failures that may pass are tried again, five times in all.

    Raises RemoteError if the file is missing, if access is denied, or if the last attempt fails.
    """
    shown = without_secrets(address)
    for number in range(_TRIES):
        try:
            return attempt()
        except FileNotFoundError:
            raise RemoteError(f"{shown}: no such object", missing=True) from None
        except PermissionError as error:
            raise RemoteError(f"{shown}: access is denied: {_why(error)}. Check the credentials") from None
        except LseBenchError:
            raise
        except Exception as error:  # noqa: BLE001 - every store has exceptions of its own
            if "NoCredentials" in type(error).__name__:
                raise RemoteError(f"{shown}: no credentials. Set them, or pass --storage-options") from None
            if number + 1 == _TRIES:
                raise RemoteError(f"{shown}: {_TRIES} attempts failed: {_why(error)}") from None
        sleep(_WAIT * 2**number)
    raise AssertionError


def _why(error: Exception) -> str:
    text = " ".join(without_secrets(str(error)).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def below(address: str) -> Iterator[tuple[str, State]]:
    """Yield the files below an address, with names relative to it. Raises RemoteError if it cannot be listed."""
    store, root = store_of(address)
    found = patiently(address, lambda: store.find(root, detail=True))
    lead = root.rstrip("/") + "/"
    for path, about in found.items():
        if path.startswith(lead):
            yield path[len(lead) :], _state(about)


def state_at(address: str, alone: bool = False) -> State | None:
    """Return the size and time of a file at an address; None if it does not exist.

    Its folder is listed once and remembered, because asking for each of a million objects would take hours. Servers
    that cannot list are asked for each. `alone`: ask for this file only, unless its folder was listed before. Raises
    RemoteError if the store cannot be reached.
    """
    folder, name = _parted(address)
    if folder in _LISTINGS:
        return _LISTINGS[folder].get(name)
    if not alone and not address.startswith(("http://", "https://")):
        _LISTINGS[folder] = _listed(folder)
        return _LISTINGS[folder].get(name)
    try:
        store, path = store_of(address)
        return _state(patiently(address, lambda: store.info(path)))
    except RemoteError as error:
        if error.missing:
            return None
        raise


def _parted(address: str) -> tuple[str, str]:
    """Return the address of a file's folder, which can lie in an archive, and the file's name."""
    inside, colons, archive = address.partition("::")
    folder, _, name = inside.rpartition("/")
    return f"{folder}/{colons}{archive}" if folder.endswith("/") else f"{folder}{colons}{archive}", name


def _listed(folder: str) -> dict[str, State]:
    store, path = store_of(folder)
    try:
        entries = patiently(folder, lambda: store.ls(path, detail=True))
    except RemoteError as error:
        if error.missing:
            return {}
        raise
    return {entry["name"].rstrip("/").rpartition("/")[2]: _state(entry) for entry in entries if entry["type"] == "file"}


def forget() -> None:
    """Forget listings, so that what has changed in a store is seen."""
    _LISTINGS.clear()


def _state(about: dict[str, Any]) -> State:
    when = next((about[name] for name in ("LastModified", "mtime", "created", "last_modified") if about.get(name)), 0)
    if isinstance(when, datetime):
        when = when.timestamp()
    changed = int(float(when) * 1_000_000) if isinstance(when, int | float) else 0
    return State(int(about.get("size") or 0), changed)
