"""Records: one line of JSON per clip, appended whole. A killed run loses only the clips that are not yet recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.runs.schema import Record, RecordHead
from lse_bench.storage import open_lines
from lse_bench.stored import read_stored_lines

RECORDS_FILE = "records.jsonl"
_WAY_OUT = "Score into a new --out, or restore the file"


def iter_records(run: Path) -> Iterator[Record]:
    """Yield the records of a run directory in the order written, one at a time; none if it has no records yet.

    An incomplete last line, which a killed run leaves, is ignored. Raises UsageError if a line is damaged or a clip is
    recorded twice.
    """
    path = run / RECORDS_FILE
    yield from once_each(read_stored_lines(path, Record, "a record", _WAY_OUT), path)


def iter_heads(run: Path) -> Iterator[RecordHead]:
    """Yield the heads of the records of a run directory, see `iter_records`. Each clip may come twice."""
    yield from read_stored_lines(run / RECORDS_FILE, RecordHead, "a record", _WAY_OUT)


def read_records(run: Path) -> list[Record]:
    """Return the records of a run directory as a list. A million of them need 3 GB; `iter_records` needs none.

    Raises UsageError as `iter_records` does.
    """
    return list(iter_records(run))


def once_each(records: Iterable[Record], where: Path) -> Iterator[Record]:
    """Yield records again. Raises UsageError, which names `where`, if a clip has more than one."""
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise doubled(where, record.id)
        seen.add(record.id)
        yield record


def doubled(where: Path, clip_id: str) -> UsageError:
    """Return the error for a clip with two records. `where`: the file or folder of the message."""
    return UsageError(f"{where}: the clip {clip_id} is recorded twice, so the mean would count it twice")


@contextmanager
def open_records(run: Path) -> Iterator[Callable[[Record], None]]:
    """Open a run's records for exclusive appending and yield a function that appends one record.

    Raises UsageError if another process is writing to the same run.
    """
    with open_lines(run / RECORDS_FILE) as append:
        yield lambda record: append(record.model_dump(mode="json"))
