"""Score a few clips of a run again. Only this can detect records, curves and windows that were forged together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lse_bench.manifests.listed import ListedClip
from lse_bench.runs.outcomes import identity_of
from lse_bench.runs.read import Run
from lse_bench.runs.run import score_clips
from lse_bench.runs.schema import Record
from lse_bench.runs.verify import Verdict, listed_clips

if TYPE_CHECKING:
    from lse_bench.sync.scorer import SyncScorer

TOLERANCE = 1e-3  # in units of LSE-D and LSE-C; processors and libraries change them by less (docs/precision.md)
_MS = 1.0  # in milliseconds; the minimum of a parabola moves by less
_OLDER = ("lse_d", "lse_c", "offset", "lse_d_at_0", "lse_d_valid", "lse_c_valid")
_COMPARED = dict.fromkeys(_OLDER, TOLERANCE) | {
    "offset_ms": _MS,
    "offset_margin": TOLERANCE,
    "search.offset_ms": _MS,
    "timeline.trend": 0.0,
    "timeline.ms_per_minute": _MS,
}


def rescore(
    entry: Run,
    scorer: SyncScorer,
    count: int,
    seed: int,
    verdict: Verdict,
    on_clip: Callable[[str], None] = lambda name: None,
) -> None:
    """Score `count` clips of a run again and add to `verdict` every score that differs by more than `TOLERANCE`.

    Only scored clips whose file still has the recorded digest can be chosen. `scorer`: must have the run's comparison
    key. `seed`: random seed of the choice. `on_clip`: called with the name of each clip that was scored again. If
    nothing can be scored again, `verdict` says why.
    """
    if scorer.key != entry.description.key:
        names = sorted(
            name
            for name in scorer.key.keys() | entry.description.key.keys()
            if scorer.key.get(name) != entry.description.key.get(name)
        )
        verdict.unverified.append(f"nothing was scored again: this scorer and the run differ in {', '.join(names)}")
        return
    listed = listed_clips(entry)
    if isinstance(listed, str):
        verdict.unverified.append(f"nothing was scored again: {listed}")
        return
    records = {record.id: record for record in entry.records if record.status == "ok"}
    there = [clip for clip in listed if clip.id in records and _same_files(clip, records[clip.id])]
    if not there:
        verdict.unverified.append("nothing was scored again: every scored clip is missing or has changed")
        return
    chosen = np.random.Generator(np.random.PCG64(seed)).permutation(len(there))[:count]
    for scored in score_clips(scorer, [there[number] for number in sorted(chosen)]):
        record = scored.record
        verdict.count("rescored")
        on_clip(record.clip)
        stored = records[record.id]
        if record.status != "ok":
            verdict.differences.append(f"{record.clip}: recorded as ok, now {record.status}: {record.reason}")
            continue
        for name, tolerance in _COMPARED.items():
            before, now = _value(stored, name), _value(record, name)
            if before is None and stored.offset_grade is None and name not in _OLDER:
                continue  # a version without this field wrote the record
            same = before == now or (
                isinstance(before, int | float) and isinstance(now, int | float) and abs(before - now) <= tolerance
            )
            if not same:
                verdict.differences.append(f"{record.clip}: {name} is recorded as {before}, scored again it is {now}")
                break


def _value(record: Record, name: str) -> Any:
    """Return the value of a field, or of a field of a field; None if there is none."""
    outer, _, inner = name.partition(".")
    found = getattr(record, outer)
    return found if not inner or found is None else getattr(found, inner)


def _same_files(clip: ListedClip, record: Record) -> bool:
    found = identity_of(clip)
    return bool(found["sha256"] == record.sha256 is not None and found["sound_sha256"] == record.sound_sha256)
