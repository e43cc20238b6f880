"""Records: one line of JSON per clip, appended whole, so that a killed run loses nothing but the clip in hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.runs.schema import Record
from lse_bench.storage import open_lines
from lse_bench.stored import read_stored_lines

RECORDS_FILE = "records.jsonl"


def read_records(run: Path) -> list[Record]:
    """The records of a run directory, in the order written; none if it has no records yet.

    A last line without its end, from a killed run, is left out. Raises UsageError for a damaged line or a clip that
    is there twice.
    """
    path = run / RECORDS_FILE
    records = read_stored_lines(path, Record, "a record", "Score into a new --out, or bring the file back")
    refuse_doubles(records, path)
    return records


def refuse_doubles(records: Iterable[Record], where: Path) -> None:
    """Raise UsageError when a clip has more than one record."""
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise UsageError(f"{where}: the clip {record.id} is recorded twice; its mean would count it twice")
        seen.add(record.id)


@contextmanager
def open_records(run: Path) -> Iterator[Callable[[Record], None]]:
    """Open a run's records for appending, alone, and yield what appends one.

    Raises UsageError when another process is writing to the same run.
    """
    with open_lines(run / RECORDS_FILE) as append:
        yield lambda record: append(record.model_dump(mode="json"))
