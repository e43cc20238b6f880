"""Descriptions of runs that nobody has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lse_bench.runs.schema import ClipList, Record, RunDescription, ScorerWeights
from lse_bench.runs.summary import summarise
from lse_bench.stored import to_json, write_stored
from lse_bench.sync.offsets import Calibration


def described(key: Mapping[str, str], clips: int = 0) -> RunDescription:
    """A description with this comparison key."""
    key = {"protocol": "p"} | dict(key)
    clip_list = ClipList(clips=clips, sha256="1" * 64)
    return RunDescription(protocol=key["protocol"], key=key, weights=ScorerWeights(), clip_list=clip_list)


def summary_of(records: Sequence[Record], listed: int, key: Mapping[str, str]) -> dict[str, Any]:
    """The content of a summary.json."""
    return to_json(summarise(records, listed, described(key)))


def write_summary_of(path: Path, records: Sequence[Record], listed: int, key: Mapping[str, str]) -> None:
    """A summary.json."""
    write_stored(path, summarise(records, listed, described(key)))


def calibration_of(weights_sha256: str = "0" * 64, protocol: str = "lrs@1") -> Calibration:
    """A calibration whose grades need a margin of 1."""
    return Calibration(
        weights_sha256=weights_sha256,
        protocol=protocol,
        margin=1.0,
        real=40,
        unsynced=40,
        missed=0,
        false_alarms=0,
        origin="a test",
    )
