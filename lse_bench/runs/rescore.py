"""Scoring a few clips of a run again, the only proof against records, curves and windows that were forged together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lse_bench.runs.read import Run
from lse_bench.runs.run import score_clips
from lse_bench.runs.schema import Record
from lse_bench.runs.verify import Verdict, listed_clips
from lse_bench.weights.readers import file_digest

if TYPE_CHECKING:
    from lse_bench.sync.scorer import SyncScorer

TOLERANCE = 1e-3  # of LSE-D and LSE-C: processors and libraries move them by less (docs/precision.md)
_COMPARED = ("lse_d", "lse_c", "lse_d_at_0", "lse_d_valid", "lse_c_valid")


def rescore(
    entry: Run,
    scorer: SyncScorer,
    count: int,
    seed: int,
    verdict: Verdict,
    on_clip: Callable[[str], None] = lambda name: None,
) -> None:
    """Score `count` of the run's clips again, chosen by `seed`, and add to `verdict` what differs by more than
    `TOLERANCE`. `scorer` has the run's comparison key; clips whose file is another one are left out."""
    if scorer.key != entry.description.key:
        names = sorted(
            name
            for name in scorer.key.keys() | entry.description.key.keys()
            if scorer.key.get(name) != entry.description.key.get(name)
        )
        verdict.unverified.append(f"nothing was scored again: another {', '.join(names)} here than in the run")
        return
    listed = listed_clips(entry)
    if isinstance(listed, str):
        verdict.unverified.append(f"nothing was scored again: {listed}")
        return
    records = {record.id: record for record in entry.records if record.status == "ok"}
    there = [clip for clip in listed if clip.id in records and _same_file(clip.path, records[clip.id])]
    if not there:
        verdict.unverified.append("nothing was scored again: none of its clips is at hand as it was")
        return
    chosen = np.random.Generator(np.random.PCG64(seed)).permutation(len(there))[:count]
    for record, _ in score_clips(scorer, [there[number] for number in sorted(chosen)]):
        verdict.count("rescored")
        on_clip(record.clip)
        stored = records[record.id]
        if record.status != "ok":
            verdict.differences.append(f"{record.clip}: recorded ok, scored again: {record.status}: {record.reason}")
            continue
        for name in _COMPARED:
            before, now = getattr(stored, name), getattr(record, name)
            if (before is None) != (now is None) or (before is not None and abs(before - now) > TOLERANCE):
                verdict.differences.append(f"{record.clip}: {name} {before} is recorded, scored again it is {now}")
                break


def _same_file(path: Path, record: Record) -> bool:
    return path.is_file() and file_digest(path) == record.sha256
