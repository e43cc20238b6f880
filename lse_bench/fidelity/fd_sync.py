"""fd-sync: the Fréchet distance between SyncNet's lip embeddings of two sets of clips.

It measures whether the mouths move like those of the reference. It does not measure image quality, and it is not FID.
Its scale is that of the network's embeddings. Do not compare values of two different networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lse_bench.errors import ClipError, UsageError
from lse_bench.fidelity.frechet import Statistics, frechet_distance
from lse_bench.fidelity.results import SCHEMA, FdSyncResult, WindowCounts
from lse_bench.fidelity.sources import Item
from lse_bench.media.clip_files import ClipFiles
from lse_bench.sync.embed import embed_clip
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
) -> LipSet:
    """Compute the statistics of a set. A clip that fails contributes no windows.

    `scorer`: embeds each clip under its protocol. `on_item`: a function that is called after each clip.
    """
    measured = LipSet(Statistics.empty(scorer.network.dimensions))
    for item in items:
        try:
            lip, _ = embed_clip(scorer, ClipFiles(item.path, item.sound))
        except ClipError as error:
            measured.failed[item.id] = f"{error.status}: {error.reason}"
        else:
            measured.statistics += Statistics.of(lip)
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
