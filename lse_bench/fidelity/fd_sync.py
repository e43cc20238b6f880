"""fd-sync: the Fréchet distance between SyncNet's lip embeddings of two sets of clips.

It says whether mouths move like those of the reference; it knows nothing about image quality and is never called FID.
Its scale is that of the network's embeddings, so values of two networks are never compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lse_bench.errors import ClipError, UsageError
from lse_bench.fidelity.frechet import Statistics, frechet_distance
from lse_bench.fidelity.results import FdSyncResult, WindowCounts
from lse_bench.fidelity.sources import Item
from lse_bench.sync.embed import embed_clip
from lse_bench.sync.scorer import SyncScorer
from lse_bench.versions import surroundings


@dataclass(slots=True)
class LipSet:
    """A set's statistics; `failed`: clips that could not be read, with the reason."""

    statistics: Statistics
    clips: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def measure_lips(
    scorer: SyncScorer,
    items: Sequence[Item],
    on_item: Callable[[Item], None] = lambda item: None,
) -> LipSet:
    """The statistics of a set; a clip that fails leaves nothing behind."""
    measured = LipSet(Statistics.empty(scorer.network.dimensions))
    for item in items:
        try:
            lip, _ = embed_clip(scorer, item.path)
        except ClipError as error:
            measured.failed[item.id] = f"{error.status}: {error.reason}"
        else:
            measured.statistics += Statistics.of(lip)
            measured.clips += 1
        on_item(item)
    return measured


def compare_lips(made: LipSet, reference: LipSet, key: dict[str, str]) -> FdSyncResult:
    """The result with everything that moves it. Raises UsageError when a set has too few windows for a covariance."""
    needed = len(made.statistics.mean) + 1
    warnings = []
    for name, lips in (("generated", made), ("reference", reference)):
        if lips.statistics.count < 2:
            raise UsageError(f"{name}: {lips.statistics.count} windows of {lips.clips} clips; at least 2 are needed")
        if lips.statistics.count < needed:
            warnings.append(f"{name}: {lips.statistics.count} windows, fewer than {needed}: the covariance is singular")
    return FdSyncResult(
        fd_sync=frechet_distance(made.statistics, reference.statistics),
        key=key,
        generated=_counts(made),
        reference=_counts(reference),
        warnings=warnings,
        **surroundings(),
    )


def _counts(lips: LipSet) -> WindowCounts:
    return WindowCounts(clips=lips.clips, windows=lips.statistics.count, failed=lips.failed)
