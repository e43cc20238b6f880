"""The weights store: it finds, fetches and verifies the files of the table.

The files are in one folder: `LSE_BENCH_WEIGHTS`, else the user's cache. A download is written to `NAME.partial` and can
be resumed. Its size and SHA-256 are checked before it gets its final name. `LSE_BENCH_MIRROR` is the address of a
server that is tried first. `LSE_BENCH_OFFLINE=1` forbids the network. A download is stopped if it gets less than 1 kB/s
for two minutes or takes more than six hours. The part that was received is kept.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lse_bench.errors import WeightsError
from lse_bench.storage import NO_LOCKS
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import Entry, entry, table

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
State = Literal["ok", "absent", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Options:
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
        return "LSE_BENCH_OFFLINE" if os.environ.get("LSE_BENCH_OFFLINE", "0") not in ("", "0") else None


def folder() -> Path:
    """Return the folder of the weights.

    Raises WeightsError if the user has no home folder and `LSE_BENCH_WEIGHTS` is not set.
    """
    chosen = os.environ.get("LSE_BENCH_WEIGHTS")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    try:
        return user_cache_path("lse-bench") / "weights"
    except RuntimeError:  # no HOME, and no entry among the users
        raise WeightsError("this user has no home folder. Set LSE_BENCH_WEIGHTS to a folder for weights") from None


def path_of(item: Entry) -> Path:
    """Return the place of an entry's file. The file may be absent."""
    if item.embedded:
        return Path(__file__).with_name(item.file)
    return folder() / item.file


def resolve(name_or_path: str | Path, options: Options | None = None) -> Path:
    """Return the file for a name in the table, which is fetched if it is absent, or for a path.

    A file that is given by its path is not verified. Raises WeightsError if the name is unknown, if the path does not
    exist, or if the file cannot be had.
    """
    path = Path(name_or_path)
    if str(name_or_path) in table():  # a folder with the name of an entry must not hide the entry
        return fetch(entry(str(name_or_path)), options)
    if path.exists():
        return path
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(f"{path}: no such file")
    return fetch(entry(str(name_or_path)), options)


def state_of(item: Entry) -> State:
    """Return the state of an entry's file.

    `absent`: there is no file. `ok`: it has the expected digest. `wrong`: it has another digest. `unknown`: there is no
    digest to compare with.
    """
    path = path_of(item)
    if not path.exists():
        return "absent"
    expected = item.sha256 or _remembered(item)
    if expected is None:
        return "unknown"
    return "ok" if file_digest(path) == expected else "wrong"


def fetch(item: Entry, options: Options | None = None) -> Path:
    """Return the verified file of `item`, from the store or from the network. Several processes may call this at once.

    Raises WeightsError if the file cannot be had. The message gives the file, the result of each address and the
    solution.
    """
    options = options or Options()
    path = path_of(item)
    if item.embedded and state_of(item) != "ok":
        raise WeightsError(f"{path}: this file of the package is missing or changed. Reinstall lse-bench")
    if path.exists():
        _refuse_wrong(item)
        return path
    if (reason := why_missing(item, options)) is not None:
        raise WeightsError(reason)
    with _alone(path):
        if path.exists():  # another process has fetched it in the meantime
            _refuse_wrong(item)
            return path
        options.say(f"fetching {item.name}: {item.what}\n  from {_addresses(item)[0]}\n  licence: {item.licence}")
        partial = path.with_name(path.name + ".partial")
        if item.sha256 is None:
            partial.unlink(missing_ok=True)  # without a digest nothing shows that two parts belong together
        digest = _download(item, partial, options)
        if item.sha256 is None:
            options.say(f"{item.name}: sha256 {digest}, accepted because of --trust and stored for later checks")
            _memory(item).write_text(digest + "\n")
        os.replace(partial, path)
    return path


def why_missing(item: Entry, options: Options | None = None) -> str | None:
    """Return why `fetch` cannot start a download and what to do, or None if the file exists or a download may start."""
    options, path = options or Options(), path_of(item)
    if path.exists():
        return None
    if item.by_hand:
        return _by_hand(item, path)
    if options.forbidden:
        return (
            f"{item.name} is absent, and {options.forbidden} forbids fetching it. Put the file from {item.urls[0]} at "
            f"{path}{_digest_words(item)}, or allow the network"
        )
    if item.sha256 is None and not options.trust:
        return (
            f"{item.name}: there is no published digest of {item.file}, so a download cannot be verified. Pass "
            f"--trust to accept the file from {item.urls[0]}; its digest is then shown and stored"
        )
    return None


class _WrongFileError(Exception):
    """An error of an address that sends another file."""


def _addresses(item: Entry) -> list[str]:
    mirror = os.environ.get("LSE_BENCH_MIRROR")
    return ([f"{mirror.rstrip('/')}/{item.file}"] if mirror else []) + list(item.urls)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock, so that one process at a time fetches a file. Other processes wait and then find the file.

    Raises WeightsError if the folder cannot be written to. On a file system without locks it only logs a warning.
    """
    from filelock import FileLock

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        held = True
    except NotImplementedError:  # filelock raises this for ENOSYS
        held = False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise WeightsError(f"{path.parent}: cannot be written: {error.strerror}. Set LSE_BENCH_WEIGHTS") from None
        held = False
    if not held:
        logging.getLogger(__name__).warning(
            "%s: its file system has no locks. Fetch %s with one command at a time, or set LSE_BENCH_WEIGHTS",
            *(path.parent, path.name),
        )
    try:
        yield
    finally:
        if held:
            lock.release()


def _refuse_wrong(item: Entry) -> None:
    path = path_of(item)
    if state_of(item) == "wrong":
        raise WeightsError(
            f"{path}: sha256 {file_digest(path)}, {item.sha256 or _remembered(item)} is expected of {item.name}. "
            "Delete the file to fetch it again, or give another file by its path"
        )


def _download(item: Entry, partial: Path, options: Options) -> str:
    """Fill `partial` from the first address that sends the right file, and return its digest.

    Bytes that `partial` already has are not requested again. After a failure the next address is tried.
    Raises WeightsError with the result of each address if all fail, or if the disk cannot be written.
    """
    import requests

    failures = []
    for address in _addresses(item):
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
        f"put the file at {path_of(item)}{_digest_words(item)}"
    )


def _watched(address: str, item: Entry, partial: Path, options: Options) -> None:
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


class _TooSlowError(Exception):
    """An error of a server that sends too slowly."""


def _stream(
    session: requests.Session, address: str, item: Entry, partial: Path, options: Options, given_up: threading.Event
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


def _memory(item: Entry) -> Path:
    return path_of(item).with_name(item.file + ".sha256")


def _remembered(item: Entry) -> str | None:
    path = _memory(item)
    return path.read_text().strip() if path.exists() else None


def _digest_words(item: Entry) -> str:
    return f" (sha256 {item.sha256})" if item.sha256 else ""


def _by_hand(item: Entry, path: Path) -> str:
    return (
        f"{item.name} cannot be fetched by a program. Download {item.file} in a browser from {item.urls[0]} "
        f"(licence: {item.licence}) and put it at {path}{_digest_words(item)}"
    )
