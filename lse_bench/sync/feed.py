"""Read clips into a stream of chunks, one clip after another or several at once in threads ahead of the network."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lse_bench.errors import ClipError, Status
from lse_bench.media.clip_files import ClipFiles
from lse_bench.sync.clip_facts import ClipFacts, StoppedError
from lse_bench.sync.times import Times
from lse_bench.sync.windows import Chunk

_AHEAD = 4  # chunks per thread that may wait for the network; this bounds memory
_POLL = 0.1  # seconds between checks whether the consumer has stopped
_END: Any = object()
_IDLE = 0.2  # seconds without an event after which the network finishes what it has


@dataclass(frozen=True, slots=True)
class Failure:
    """The status and the reason of a clip without a score."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """An event of clip number `clip`: one chunk, or the end of the clip if `chunk` is None.

    `failure`: at the end of the clip, why it has no score, else None.
    """

    clip: int
    chunk: Chunk | None
    facts: ClipFacts
    failure: Failure | None = None


Reader = Callable[[ClipFiles, ClipFacts], Iterator[Chunk]]


def feed(
    clips: Iterable[tuple[int, ClipFiles] | None], read: Reader, workers: int, times: Times
) -> Iterator[Event | None]:
    """Yield the chunks of every clip in order, then its end. None means that nothing is ready now.

    `clips`: (number, files) of each clip, or None if no clip is ready now. `read`: yields the chunks of one clip.
    `workers`: number of threads, 0 to read in the caller's thread. `times`: counts the decoding. With threads, the
    events of several clips are interleaved. A clip that cannot be read ends with a failure and does not stop the
    others.
    """
    if workers == 0:
        for clip in clips:
            if clip is None:
                yield None
            else:
                yield from _read_clip(*clip, read, times)
        return
    yield from _feed_by_threads(clips, read, workers, times)


def _read_clip(
    number: int, files: ClipFiles, read: Reader, times: Times, stopped: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    facts = ClipFacts(stopped=stopped, number=number)
    failure = None
    try:
        chunks = iter(read(files, facts))
        while True:
            with times.decodes():
                chunk = next(chunks, None)
            if chunk is None:
                break
            yield Event(number, chunk, facts)
    except StoppedError:
        return
    except ClipError as error:
        failure = Failure(error.status, error.reason)
    except MemoryError:
        failure = Failure(
            "out_of_memory", "not enough memory to decode a frame; the file's header may give a wrong size"
        )
    except Exception as error:  # noqa: BLE001 - any error that a file causes becomes that file's failure
        failure = Failure("error", f"{type(error).__name__}: {error}")
    yield Event(number, None, facts, failure)


def _feed_by_threads(
    clips: Iterable[tuple[int, ClipFiles] | None], read: Reader, workers: int, times: Times
) -> Iterator[Event | None]:
    events: queue.Queue[Event | None] = queue.Queue(maxsize=workers * _AHEAD)
    stop = threading.Event()
    waiting = iter(clips)
    lock = threading.Lock()

    def put(event: Event | None) -> None:
        while not stop.is_set():
            try:
                events.put(event, timeout=_POLL)
                return
            except queue.Full:
                continue

    def work() -> None:
        while not stop.is_set():
            with lock:
                clip = next(waiting, _END)
            if clip is _END:
                break
            if clip is None:
                continue
            number, files = clip
            for event in _read_clip(number, files, read, times, stop.is_set):
                put(event)
                if stop.is_set():
                    return
        put(None)

    threads = [threading.Thread(target=work, daemon=True, name=f"reader-{n}") for n in range(workers)]
    for thread in threads:
        thread.start()
    running = workers
    try:
        while running:
            try:
                event = events.get(timeout=_IDLE)
            except queue.Empty:
                yield None
                continue
            if event is None:
                running -= 1
            else:
                yield event
    finally:
        stop.set()
        for thread in threads:
            thread.join()
