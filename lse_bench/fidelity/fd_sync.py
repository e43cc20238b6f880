"""fd-sync: the Fréchet distance between SyncNet's lip embeddings of two sets of clips.

It measures whether the mouths move like those of the reference. It does not measure image quality, and it is not FID.
Its scale is that of the network's embeddings. Do not compare values of two different networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lse_bench.errors import UsageError
from lse_bench.execution.inline import Inline
from lse_bench.execution.interface import Executor, Watch
from lse_bench.fidelity.frechet import Statistics, frechet_distance
from lse_bench.fidelity.results import SCHEMA, FdSyncResult, WindowCounts
from lse_bench.fidelity.sources import Item
from lse_bench.fidelity.work import FeatureWork, LipReader, in_order, tasks_of
from lse_bench.sync.scorer import SyncScorer
from lse_bench.versions import surroundings


@dataclass(slots=True)
class LipSet:
    """The statistics of a set of clips.

    `statistics`: of the lip embeddings of all windows. `clips`: the number of clips that were read. `failed`: the clips
    that could not be embedded, id to reason.
    """

    statistics: Statistics
    clips: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def measure_lips(
    scorer: SyncScorer,
    items: Sequence[Item],
    on_item: Callable[[Item], None] = lambda item: None,
    *,
    executor: Executor | None = None,
    load: Callable[[str], LipReader] | None = None,
    watch: Watch | None = None,
) -> LipSet:
    """Compute the statistics of a set, in the order of its clips. A clip that fails contributes no windows.

    `scorer`: embeds each clip under its protocol. `on_item`: a function that is called after each clip. `executor`: who
    embeds, None for this process with `scorer`. `load`: returns the reader of a worker for a device; needed with
    `executor`. `watch`: hears what the workers do.
    """
    measured = LipSet(Statistics.empty(scorer.network.dimensions))
    work = FeatureWork(load or (lambda device: LipReader(scorer)))
    results = (executor or Inline(scorer.device)).run(work, tasks_of(items), watch or Watch())
    for item, found in zip(items, in_order(results), strict=True):
        if found.failure is not None:
            measured.failed[item.id] = found.failure
        else:
            measured.statistics += Statistics.of(np.concatenate(found.parts))
            measured.clips += 1
        on_item(item)
    return measured


def compare_lips(made: LipSet, reference: LipSet, key: dict[str, str]) -> FdSyncResult:
    """Return fd-sync between two sets, with `key`, the comparison key of the result.

    Raises UsageError if a set has fewer than two windows, which a covariance needs.
    """
    needed = len(made.statistics.mean) + 1
    warnings = []
    for name, lips in (("generated", made), ("reference", reference)):
        if lips.statistics.count < 2:
            raise UsageError(f"{name}: {lips.statistics.count} windows of {lips.clips} clips. At least 2 are needed")
        if lips.statistics.count < needed:
            warnings.append(f"{name}: {lips.statistics.count} windows, fewer than {needed}: the covariance is singular")
    return FdSyncResult(
        schema_version=SCHEMA,
        fd_sync=frechet_distance(made.statistics, reference.statistics),
        key=key,
        generated=_counts(made),
        reference=_counts(reference),
        warnings=warnings,
        **surroundings(),
    )


def _counts(lips: LipSet) -> WindowCounts:
    return WindowCounts(clips=lips.clips, windows=lips.statistics.count, failed=lips.failed)
