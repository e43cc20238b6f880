"""The weights store: finds, fetches and verifies the files of the table.

Files lie in one folder (`LSE_BENCH_WEIGHTS`, else the user's cache). A download goes to `NAME.partial`, is resumed
after a cut, checked against size and SHA-256, and only then gets its final name. `LSE_BENCH_MIRROR` names a server that
is asked first; `LSE_BENCH_OFFLINE=1` forbids the network. A server that sends less than 1 kB/s for two minutes, or is
not done after six hours, is given up; what came is kept.
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
_SLOWEST = 1000  # bytes a second, over
_WINDOW = 120.0  # seconds
_LONGEST = 6 * 3600.0  # seconds for one try
_TIMEOUT = (10, 60)  # seconds to connect, and between two blocks
_TRIES = 3  # for each address
_SPARE_DISK = 50 << 20  # bytes that a download must leave free

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all
State = Literal["ok", "absent", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to fetch. `trust`: accept a file whose digest nobody published; it is remembered."""

    offline: bool = False
    trust: bool = False
    say: Say = lambda text: None
    progress: Progress = lambda done, total: None

    @property
    def forbidden(self) -> str | None:
        """Why the network may not be used, None when it may."""
        if self.offline:
            return "--offline"
        return "LSE_BENCH_OFFLINE" if os.environ.get("LSE_BENCH_OFFLINE", "0") not in ("", "0") else None


def folder() -> Path:
    """Where weights are kept."""
    chosen = os.environ.get("LSE_BENCH_WEIGHTS")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    try:
        return user_cache_path("lse-bench") / "weights"
    except RuntimeError:  # no HOME, and no entry among the users
        raise WeightsError("this user has no home folder; LSE_BENCH_WEIGHTS names one for weights") from None


def path_of(item: Entry) -> Path:
    """Where the file of an entry lies, whether it is there or not."""
    if item.embedded:
        return Path(__file__).with_name(item.file)
    return folder() / item.file


def resolve(name_or_path: str | Path, options: Options | None = None) -> Path:
    """The file meant by a name of the table, fetched if need be, or by a path.

    A file given by path is taken as it is. Raises WeightsError when there is neither, or when it cannot be had.
    """
    path = Path(name_or_path)
    if str(name_or_path) in table():  # a folder called like an entry must not hide it
        return fetch(entry(str(name_or_path)), options)
    if path.exists():
        return path
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(f"{path}: no such file")
    return fetch(entry(str(name_or_path)), options)


def state_of(item: Entry) -> State:
    """`ok`: there with the right digest; `wrong`: another digest; `unknown`: there, but no digest to compare with."""
    path = path_of(item)
    if not path.exists():
        return "absent"
    expected = item.sha256 or _remembered(item)
    if expected is None:
        return "unknown"
    return "ok" if file_digest(path) == expected else "wrong"


def fetch(item: Entry, options: Options | None = None) -> Path:
    """The verified file of `item`, from the store or from the network; safe for several processes at once.

    Raises WeightsError naming the file, the addresses and what each answered, and the way out.
    """
    options = options or Options()
    path = path_of(item)
    if item.embedded and state_of(item) != "ok":
        raise WeightsError(f"{path}: missing or not the file of this version, which carries it; reinstall lse-bench")
    if path.exists():
        _refuse_wrong(item)
        return path
    if (reason := why_missing(item, options)) is not None:
        raise WeightsError(reason)
    with _alone(path):
        if path.exists():  # another process was first
            _refuse_wrong(item)
            return path
        options.say(f"fetching {item.name}: {item.what}\n  from {_addresses(item)[0]}\n  licence: {item.licence}")
        partial = path.with_name(path.name + ".partial")
        if item.sha256 is None:
            partial.unlink(missing_ok=True)  # nothing could tell that two halves belong together
        digest = _download(item, partial, options)
        if item.sha256 is None:
            options.say(f"{item.name}: sha256 {digest}, trusted on your word and remembered")
            _memory(item).write_text(digest + "\n")
        os.replace(partial, path)
    return path


def why_missing(item: Entry, options: Options | None = None) -> str | None:
    """Why `fetch` would not even try, with the way out; None where the file is there or can be asked for."""
    options, path = options or Options(), path_of(item)
    if path.exists():
        return None
    if item.by_hand:
        return _by_hand(item, path)
    if options.forbidden:
        return (
            f"{item.name} is not here and {options.forbidden} forbids fetching it. Put the file from {item.urls[0]} at "
            f"{path}{_digest_words(item)}, or allow the network"
        )
    if item.sha256 is None and not options.trust:
        return (
            f"{item.name}: nobody has published a digest of {item.file}, so a download cannot be verified. Pass "
            f"--trust to accept what {item.urls[0]} sends; its digest is then shown and remembered"
        )
    return None


class _WrongFileError(Exception):
    """An address sends something else than the file."""


def _addresses(item: Entry) -> list[str]:
    mirror = os.environ.get("LSE_BENCH_MIRROR")
    return ([f"{mirror.rstrip('/')}/{item.file}"] if mirror else []) + list(item.urls)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process at a time fetches a file; the others wait and find it there."""
    from filelock import FileLock

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        held = True
    except NotImplementedError:  # what filelock makes of ENOSYS
        held = False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise WeightsError(f"{path.parent}: cannot be written: {error.strerror}; set LSE_BENCH_WEIGHTS") from None
        held = False
    if not held:
        logging.getLogger(__name__).warning(
            "%s: its file system knows no locks; fetch %s by one command at a time, or set LSE_BENCH_WEIGHTS",
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
    """Fill `partial` from the first address that sends the right file; what is there already is not asked for again.

    Returns the digest. An address that sends something else is named, and the next one is asked.
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
            except ValueError as error:  # a redirect to what is no address
                failures.append(f"{address}: it sends what is no HTTP: {error}")
                break
    held = partial.stat().st_size if partial.exists() else 0
    kept = f" {held:,} bytes are kept and the next try goes on from there." if held else ""
    raise WeightsError(
        f"{item.name} could not be fetched: {'; '.join(failures)}.{kept} Check the network, set LSE_BENCH_MIRROR, or "
        f"put the file at {path_of(item)}{_digest_words(item)}"
    )


def _watched(address: str, item: Entry, partial: Path, options: Options) -> None:
    """`_stream` in a thread of its own, given up when it is too slow: a byte now and then, in headers too, keeps every
    time limit of a socket from being reached."""
    import requests

    given_up, ended = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with requests.Session() as session:
                _stream(session, address, item, partial, options, given_up)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
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
                f"given up after {lasted:,.0f} s with {now:,} bytes: at least {_SLOWEST / 1000:g} kB/s over "
                f"{_WINDOW:g} s are expected, and an end within {_LONGEST / 3600:g} hours"
            )
        before = now
    if raised:
        raise raised[0]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _TooSlowError(Exception):
    """A server that sends next to nothing."""


def _stream(
    session: requests.Session, address: str, item: Entry, partial: Path, options: Options, given_up: threading.Event
) -> None:
    import requests

    held = partial.stat().st_size if partial.exists() else 0
    if item.bytes is not None and held >= item.bytes:  # complete, or the leftover of another file
        if held == item.bytes:
            return
        partial.unlink()
        held = 0
    headers = {"Range": f"bytes={held}-", "Accept-Encoding": "identity"} if held else {"Accept-Encoding": "identity"}
    with session.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416:  # what we hold is not the beginning of what they have
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
            raise _WrongFileError(f"it announces {total:,} bytes, {item.file} has {item.bytes:,}")
        _refuse_full_disk(partial, (total or 0) - done)
        with partial.open("ab" if resumed else "wb") as file:
            for block in answer.iter_content(_BLOCK):
                if given_up.is_set():  # another try may be writing
                    return None
                file.write(block)
                file.flush()
                done += len(block)
                options.progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:  # a server that gave no length and hung up
        raise requests.ConnectionError(f"cut after {done} of {total} bytes")
    return None


def _verify(item: Entry, partial: Path) -> str:
    """The digest of a complete download. A wrong one is deleted and named."""
    digest = file_digest(partial)
    if item.sha256 is not None and digest != item.sha256:
        with partial.open("rb") as file:
            page = file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))
        partial.unlink()
        guess = "the server sent a web page" if page else "the download was damaged or the file was replaced"
        raise _WrongFileError(f"the download has sha256 {digest}, {item.sha256} is expected: {guess}. It was deleted")
    return digest


def _refuse_full_disk(partial: Path, needed: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if needed + _SPARE_DISK > free:
        raise WeightsError(
            f"{partial.parent}: {free:,} bytes free, {needed:,} are needed. Make room or set LSE_BENCH_WEIGHTS"
        )


def _disk_words(partial: Path, error: OSError) -> str:
    held = partial.stat().st_size if partial.exists() else 0
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    cause = "the disk is full" if full else f"cannot be written: {error.strerror}"
    return (
        f"{partial}: {cause} after {held:,} bytes. Make room or set LSE_BENCH_WEIGHTS; the next try goes on from there"
    )


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
