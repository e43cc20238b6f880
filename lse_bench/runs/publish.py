"""Put the files of a run directory into a store, at the end and now and then before."""

from __future__ import annotations

import time
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.remote.addresses import address_of
from lse_bench.remote.stores import RemoteError, State, patiently, store_of

_EVERY = 300.0  # seconds between two checkpoints
_WHOLE = ("s3", "gs", "hf")  # stores in which an object appears only when it is complete


class Publisher:
    """Copies the files of a run directory to an address. A file there is replaced only by a complete one."""

    def __init__(self, out: Path, address: Path | str) -> None:
        """Prepare the copying of `out`. Raises UsageError if `address` is none, or without the extra of its store."""
        found = address_of(address)
        if found is None:
            raise UsageError(f"--publish {address}: an address is needed, such as s3://bucket/runs/mine")
        self._out, self._address = out, found.rstrip("/")
        self._done: dict[str, State] = {}
        self._last = time.monotonic()
        store_of(found)

    def now_and_then(self) -> str | None:
        """Copy what is new if the last time is long ago. Return a sentence if that fails; a later call tries again."""
        if time.monotonic() - self._last < _EVERY:
            return None
        try:
            self.publish()
        except RemoteError as error:
            self._last = time.monotonic()
            return f"the run was not copied to the store, and will be later: {error}"
        return None

    def publish(self) -> int:
        """Copy every file that is new or has changed, and return their number. Raises RemoteError if that fails."""
        copied = 0
        for path in sorted(path for path in self._out.rglob("[!.]*") if path.is_file()):
            name, about = path.relative_to(self._out).as_posix(), path.stat()
            state = State(about.st_size, about.st_mtime_ns // 1000)
            if self._done.get(name) != state:
                self._put(path, name)
                self._done[name] = state
                copied += 1
        self._last = time.monotonic()
        return copied

    def _put(self, path: Path, name: str) -> None:
        address = f"{self._address}/{name}"
        store, target = store_of(address)

        def put() -> None:
            if self._address.split("://")[0] in _WHOLE:
                store.put_file(str(path), target)
                return
            folder, _, last = target.rpartition("/")
            partial = f"{folder}/.{last}.partial"
            store.makedirs(folder, exist_ok=True)
            store.put_file(str(path), partial)
            store.mv(partial, target)

        patiently(address, put)
