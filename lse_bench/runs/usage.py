"""How long a run took: `usage.json`, with one entry for each command that worked on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict

from lse_bench.execution.interface import Watch
from lse_bench.stored import Stored, read_stored, write_stored

if TYPE_CHECKING:
    from lse_bench.runs.schema import Record

USAGE_FILE = "usage.json"
_SCHEMA = 1


class UsageEntry(BaseModel):
    """The times of one command that worked on a run."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    started: str
    """Start, in UTC and ISO 8601."""
    devices: str
    """Devices of the workers."""
    clips: int
    """Number of clips that got a record."""
    video_seconds: float
    """Length of their pictures in seconds."""
    wall_seconds: float
    """Time from the first to the last clip, with the start of the workers."""
    worker_seconds: float
    """Time of all workers together, after their start."""
    decoding_seconds: float
    """Time of reading files, in all threads of all workers together."""
    network_seconds: float
    """Time of computing on the devices."""


class RunUsage(Stored):
    """The content of usage.json: how long a run took."""

    schema_version: int = _SCHEMA
    """Version of this format."""
    sessions: list[UsageEntry]
    """The commands that worked on the run."""


class UsageSummary(BaseModel):
    """How long a run took, of all commands that worked on it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    video_hours: float
    """Length of the scored and failed pictures in hours."""
    wall_hours: float
    """Time of the commands, one after another, in hours. Shards of one list count one after another, too."""
    worker_hours: float
    """Time of all workers together in hours. With their price an hour, it gives the price of an hour of video."""
    clips_per_second: float
    """Clips by wall time."""
    decoding: float | None
    """Time of reading files, as a share of the workers' time. It can exceed 1, because a worker reads in threads."""
    network: float | None
    """Time of computing on the devices, as a share of the workers' time."""


def read_usage(run: Path) -> RunUsage | None:
    """Return the times of a run; None if they were not stored. Raises UsageError if the file is damaged."""
    if not (run / USAGE_FILE).exists():
        return None
    return read_stored(run / USAGE_FILE, RunUsage, "Delete it; it holds times only")


class Session:
    """One command that works on a run. When it ends, for any reason, its times are added to `usage.json`.

    `devices`: the devices of the workers in words. `watch`: has the workers' times at the end.
    """

    def __init__(self, out: Path, devices: str, watch: Watch) -> None:
        self._out, self._devices, self._watch = out, devices, watch
        self._clips, self._seconds = 0, 0.0
        self._started, self._begun = datetime.now(UTC), time.monotonic()

    def count(self, record: Record) -> None:
        """Count a clip that was worked on."""
        self._clips += 1
        self._seconds += record.seconds or 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if not self._clips:
            return
        used = self._watch.usage
        entry = UsageEntry(
            started=self._started.isoformat(timespec="seconds"),
            devices=self._devices,
            clips=self._clips,
            video_seconds=round(self._seconds, 3),
            wall_seconds=round(time.monotonic() - self._begun, 3),
            worker_seconds=round(used.workers, 3),
            decoding_seconds=round(used.decoding, 3),
            network_seconds=round(used.network, 3),
        )
        before = read_usage(self._out)
        write_stored(self._out / USAGE_FILE, RunUsage(sessions=[*(before.sessions if before else []), entry]))


def usage_of(runs: Sequence[Path]) -> RunUsage | None:
    """Return the times of several runs together; None if none has stored them."""
    found = [entry for run in runs if (one := read_usage(run)) is not None for entry in one.sessions]
    return RunUsage(sessions=found) if found else None


def total_usage(usage: RunUsage) -> UsageSummary:
    """Return the sums and shares of a run's times."""
    wall = sum(one.wall_seconds for one in usage.sessions)
    workers = sum(one.worker_seconds for one in usage.sessions)
    decoding = sum(one.decoding_seconds for one in usage.sessions)
    network = sum(one.network_seconds for one in usage.sessions)
    return UsageSummary(
        video_hours=sum(one.video_seconds for one in usage.sessions) / 3600,
        wall_hours=wall / 3600,
        worker_hours=workers / 3600,
        clips_per_second=sum(one.clips for one in usage.sessions) / wall if wall else 0.0,
        decoding=decoding / workers if workers else None,
        network=network / workers if workers else None,
    )
