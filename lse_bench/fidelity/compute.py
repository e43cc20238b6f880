"""FID and fd-sync of files in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lse_bench.devices import choose_device
from lse_bench.fidelity.fd_sync import compare_lips, measure_lips
from lse_bench.fidelity.fid import FidProtocol, FrameSet, compare, measure
from lse_bench.fidelity.inception import FEATURES, FidInception
from lse_bench.fidelity.results import FdSyncResult, FidResult
from lse_bench.fidelity.sources import BoxSource, Item, files_digest
from lse_bench.naming import safe_id
from lse_bench.sync.scorer import SyncScorer
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import Options, resolve
from lse_bench.weights.table import name_of_digest

GROUPS, SEED = 5, 2020  # of FID's jackknife; of KID's subsets
_log = logging.getLogger("lse_bench")


@dataclass(frozen=True, slots=True)
class Inception:
    """The network of FID and the digest of its weights."""

    network: FidInception
    sha256: str


def measure_set(
    items: Sequence[Item],
    network: FidInception,
    protocol: FidProtocol,
    groups: int,
    boxes: BoxSource | None = None,
    on_item: Callable[[Item], None] = lambda item: None,
) -> FrameSet:
    """Inception statistics of a set of videos or pictures. Raises UsageError with fewer than two frames."""
    return measure(
        items,
        lambda frames: network.features(frames, protocol.resize),
        dimensions=FEATURES,
        batch=network.tile,
        step=protocol.step,
        groups=groups,
        boxes=boxes,
        on_item=on_item,
    )


def load_inception(weights: Path | str = "inception", device: str = "auto", offline: bool = False) -> Inception:
    """Inception from a file, or a name of the table, fetched if need be. Raises WeightsError, UsageError."""
    path = resolve(weights, Options(offline=offline, say=_log.warning))
    return Inception(FidInception.load(path, choose_device(device)), file_digest(path))


def fid_between(videos: Sequence[Path], originals: Sequence[Item], inception: Inception) -> FidResult:
    """FID and KID between all frames of `videos` and of `originals`."""
    protocol, ours = FidProtocol(weights_sha256=inception.sha256), _items(videos)
    made = measure_set(ours, inception.network, protocol, GROUPS)
    result = compare(made, measure_set(originals, inception.network, protocol, 0), protocol, SEED)
    return result.of_files(files_digest(ours), files_digest(originals))


def fd_sync_between(videos: Sequence[Path], originals: Sequence[Item], scorer: SyncScorer) -> FdSyncResult:
    """fd-sync between `videos` and `originals`."""
    ours = _items(videos)
    key = scorer.key | {"weights": name_of_digest(scorer.weights_sha256) or "unknown"}
    result = compare_lips(measure_lips(scorer, ours), measure_lips(scorer, originals), key)
    return result.of_files(files_digest(ours), files_digest(originals))


def _items(videos: Sequence[Path]) -> list[Item]:
    return [Item(safe_id(video.as_posix()), video) for video in videos]
