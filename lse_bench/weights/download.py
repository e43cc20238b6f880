"""Downloads: one file from several addresses, resumed after a cut, checked by size and SHA-256.

A download is stopped if it gets less than 1 kB/s for two minutes or takes more than six hours. The part that was
received is kept. `LSE_BENCH_MIRROR` is the address of a server that is tried first. `LSE_BENCH_OFFLINE=1` forbids the
network.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lse_bench.errors import WeightsError
from lse_bench.remote.stores import OFFLINE, forbidden
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import Entry

if TYPE_CHECKING:
    import requests

_BLOCK = 1 << 16  # bytes
_SLOWEST = 1000  # bytes per second that a download needs on average over `_WINDOW`
_WINDOW = 120.0  # seconds
_LONGEST = 6 * 3600.0  # seconds for one try
_TIMEOUT = (10, 60)  # seconds to connect, and between two blocks
_TRIES = 3  # for each address
_SPARE_DISK = 50 << 20  # bytes that a download must leave free

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]  # bytes so far, total bytes (None if unknown)


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """The options for fetching.

    `offline`: True forbids the network. `trust`: True accepts a file without a published digest, and its digest is
    stored. `say`: receives messages. `progress`: receives the number of bytes so far and the total.
    """

    offline: bool = False
    trust: bool = False
    say: Say = lambda text: None
    progress: Progress = lambda done, total: None

    @property
    def forbidden(self) -> str | None:
        """The setting that forbids the network, `--offline` or `LSE_BENCH_OFFLINE`, or None."""
        if self.offline:
            return "--offline"
        return OFFLINE if forbidden() else None


def addresses_of(item: Entry) -> list[str]:
    """Return the addresses of an entry in the order in which they are tried: the mirror's first."""
    mirror = os.environ.get("LSE_BENCH_MIRROR")
    return ([f"{mirror.rstrip('/')}/{item.file}"] if mirror else []) + list(item.urls)


def download(item: Entry, partial: Path, options: FetchSettings, way_out: str) -> str:
    """Fill `partial` from the first address that sends the right file, and return its digest.

    Bytes that `partial` already has are not requested again. After a failure the next address is tried. `way_out`: what
    the user can do if all fail, for the message.
    Raises WeightsError with the result of each address if all fail, or if the disk cannot be written.
    """
    import requests

    failures = []
    for address in addresses_of(item):
        for attempt in range(_TRIES):
            try:
                _watched(address, item, partial, options)
                return _verify(item, partial)
            except _WrongFileError as error:
                failures.append(f"{address}: {error}")
                break
            except requests.HTTPError as error:
                status = error.response.status_code
                failures.append(f"{address}: HTTP {status} {error.response.reason}")
                if status < 500:
                    break
            except requests.RequestException as error:
                failures.append(f"{address}: {type(error).__name__}, try {attempt + 1} of {_TRIES}")
            except _TooSlowError as error:
                failures.append(f"{address}: {error}")
                break
            except OSError as error:
                raise WeightsError(_disk_words(partial, error)) from None
            except ValueError as error:  # a redirect to an invalid address
                failures.append(f"{address}: its answer is not valid HTTP: {error}")
                break
    held = partial.stat().st_size if partial.exists() else 0
    kept = f" {held:,} bytes are kept, and the next try continues from there." if held else ""
    raise WeightsError(
        f"{item.name} could not be fetched: {'; '.join(failures)}.{kept} Check the network, set LSE_BENCH_MIRROR, or "
        f"{way_out}"
    )


def _watched(address: str, item: Entry, partial: Path, options: FetchSettings) -> None:
    """Run `_stream` in a separate thread, and stop it if it is too slow.

    The time limits of a socket are not enough: a server that sends single bytes, even of its headers, never reaches
    them.
    """
    import requests

    given_up, ended = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with requests.Session() as session:
                _stream(session, address, item, partial, options, given_up)
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it again
            raised.append(error)
        finally:
            ended.set()

    began = time.monotonic()
    threading.Thread(target=work, daemon=True, name="download").start()
    before = _size(partial)
    while not ended.wait(_WINDOW):
        now = _size(partial)
        if abs(now - before) < _SLOWEST * _WINDOW or time.monotonic() - began > _LONGEST:
            given_up.set()
            lasted = time.monotonic() - began
            raise _TooSlowError(
                f"stopped after {lasted:,.0f} s with {now:,} bytes: a download needs at least {_SLOWEST / 1000:g} kB/s "
                f"over {_WINDOW:g} s and at most {_LONGEST / 3600:g} hours"
            )
        before = now
    if raised:
        raise raised[0]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _WrongFileError(Exception):
    """An error of an address that sends another file."""


class _TooSlowError(Exception):
    """An error of a server that sends too slowly."""


def _stream(
    session: requests.Session,
    address: str,
    item: Entry,
    partial: Path,
    options: FetchSettings,
    given_up: threading.Event,
) -> None:
    import requests

    held = partial.stat().st_size if partial.exists() else 0
    if item.bytes is not None and held >= item.bytes:  # complete, or the rest of another file
        if held == item.bytes:
            return
        partial.unlink()
        held = 0
    headers = {"Range": f"bytes={held}-", "Accept-Encoding": "identity"} if held else {"Accept-Encoding": "identity"}
    with session.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416:  # the server's file has no byte at this position, so our part is of another file
            partial.unlink()
            return _stream(session, address, item, partial, options, given_up)
        answer.raise_for_status()
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {held}-")
        done = held if resumed else 0
        length = answer.headers.get("Content-Length")
        known = length is not None and length.isascii() and length.isdecimal()
        total = done + int(length) if known and length is not None else item.bytes
        if item.bytes is not None and total != item.bytes:
            partial.unlink(missing_ok=True)
            raise _WrongFileError(f"it announces {total:,} bytes, but {item.file} has {item.bytes:,}")
        _refuse_full_disk(partial, (total or 0) - done)
        with partial.open("ab" if resumed else "wb") as file:
            for block in answer.iter_content(_BLOCK):
                if given_up.is_set():  # another try may be writing the file now
                    return None
                file.write(block)
                file.flush()
                done += len(block)
                options.progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:  # the connection ended early
        raise requests.ConnectionError(f"cut after {done} of {total} bytes")
    return None


def _verify(item: Entry, partial: Path) -> str:
    """Return the digest of a complete download. If it is wrong, delete the file and raise _WrongFileError."""
    digest = file_digest(partial)
    if item.sha256 is not None and digest != item.sha256:
        with partial.open("rb") as file:
            page = file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
        partial.unlink()
        guess = "the server sent a web page" if page else "the download was damaged or the file was replaced"
        raise _WrongFileError(
            f"the download has sha256 {digest}, but {item.sha256} is expected: {guess}. It was deleted"
        )
    return digest


def _refuse_full_disk(partial: Path, needed: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if needed + _SPARE_DISK > free:
        raise WeightsError(
            f"{partial.parent}: {free:,} bytes are free, and {needed:,} are needed. Free space or set LSE_BENCH_WEIGHTS"
        )


def _disk_words(partial: Path, error: OSError) -> str:
    held = partial.stat().st_size if partial.exists() else 0
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    cause = "the disk is full" if full else f"cannot be written: {error.strerror}"
    return f"{partial}: {cause} after {held:,} bytes. Free space or set LSE_BENCH_WEIGHTS; the next try continues there"
