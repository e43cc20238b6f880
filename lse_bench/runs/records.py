"""Records: one line of JSON per clip, appended whole, so that a killed run loses nothing but the clip in hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lse_bench.errors import Status, UsageError
from lse_bench.storage import open_lines, read_lines

RECORDS_FILE = "records.jsonl"

Curve = Annotated[list[float], Field(min_length=31, max_length=31)]


class _ScoredTrack(BaseModel):
    """What is read of a track that has scores; other fields may be there."""

    model_config = ConfigDict(allow_inf_nan=False)

    track: int
    lse_d: float
    lse_c: float
    offset: int
    lse_d_at_0: float
    curve: Curve
    windows: int


class Record(BaseModel):
    """One clip's line. Scores are null unless `status` is `ok`; `reason` says why it is not.

    `lse_d`, `lse_c`, `offset`: as the protocol defines them. `…_valid`: from pairs that exist. `lse_d_at_0`: the
    distance at shift 0. `curve`: 31 mean distances, shifts -15...+15. `fps` and `seconds`: of the file. `tracks`: null
    under protocols without a face tracker. `sha256`: of the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    clip: str
    id: str
    status: Status
    reason: str | None = None
    warnings: list[str] = []
    lse_d: float | None = None
    lse_c: float | None = None
    offset: int | None = None
    lse_d_at_0: float | None = None
    lse_d_valid: float | None = None
    lse_c_valid: float | None = None
    offset_valid: int | None = None
    curve: Curve | None = None
    windows: int | None = None
    frames: int | None = None
    fps: float | None = None
    seconds: float | None = None
    tracks: list[dict[str, Any]] | None = None
    groups: dict[str, str] = {}
    sha256: str | None = None

    @field_validator("tracks")
    @classmethod
    def _scored_tracks(cls, value: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        for track in value or []:
            if track.get("status") == "ok":
                _ScoredTrack.model_validate(track)
            elif "status" not in track:
                raise ValueError("a track without a status")
        return value


def read_records(run: Path) -> list[Record]:
    """The records of a run directory, in the order written; none if it has no records yet.

    A last line without its end, from a killed run, is left out. Raises UsageError for a damaged line or a clip that
    is there twice.
    """
    path = run / RECORDS_FILE
    records = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            records.append(Record.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise UsageError(f"{path}: line {number} is not a record ({where}: {first['msg']})") from None
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
        yield lambda record: append(record.model_dump())
