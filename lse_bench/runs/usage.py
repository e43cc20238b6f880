"""How long a run took: `usage.json`, with one entry for each command that worked on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lse_bench.execution.interface import Watch
from lse_bench.runs.schema import Record, RunUsage, UsageEntry, UsageSummary
from lse_bench.stored import read_stored, write_stored

USAGE_FILE = "usage.json"


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
