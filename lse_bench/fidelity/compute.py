"""Functions that compute FID and fd-sync between files in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lse_bench.devices import choose_device
from lse_bench.fidelity.fd_sync import compare_lips, measure_lips
from lse_bench.fidelity.fid import FidProtocol, FrameSet, compare, measure
from lse_bench.fidelity.inception import FidInception
from lse_bench.fidelity.results import FdSyncResult, FidResult
from lse_bench.fidelity.sources import BoxSource, Item, files_digest
from lse_bench.fidelity.work import FrameReader
from lse_bench.sync.scorer import SyncScorer
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import resolve
from lse_bench.weights.table import name_of_digest

GROUPS, SEED = 5, 2020  # groups of FID's jackknife; random seed of KID's subsets
_log = logging.getLogger("lse_bench")


@dataclass(frozen=True, slots=True)
class Inception:
    """FID's network and the SHA-256 of its weights."""

    network: FidInception
    sha256: str


def reader_of(network: FidInception, protocol: FidProtocol, boxes: BoxSource | None = None) -> FrameReader:
    """Return what reads the Inception features of frames. `boxes`: crops them to the face; None uses whole frames."""
    features = partial(network.features, resize=protocol.resize)
    return FrameReader(features, network.tile, protocol.step, boxes)


def measure_set(
    items: Sequence[Item],
    network: FidInception,
    protocol: FidProtocol,
    groups: int,
    on_item: Callable[[Item], None] = lambda item: None,
) -> FrameSet:
    """Compute the Inception statistics of a set of videos or pictures, in this process.

    `items`: the set. `network`: Inception. `protocol`: gives the resize method and the frame step. `groups`: the number
    of groups for the jackknife; 0 for none. `on_item`: a function that is called after each item. Raises UsageError if
    fewer than two frames are left.
    """
    reader = reader_of(network, protocol)
    return measure(items, lambda device: reader, groups=groups, on_item=on_item)


def load_inception(weights: Path | str = "inception", device: str = "auto", offline: bool = False) -> Inception:
    """Load Inception from a file or by a name in the table of weights, which is fetched if it is absent.

    Raises WeightsError if the file cannot be had or is not Inception, and UsageError if the device does not exist or
    the extra `fid` is not installed.
    """
    path = resolve(weights, FetchSettings(offline=offline, say=_log.warning))
    return Inception(FidInception.load(path, choose_device(device)), file_digest(path))


def fid_between(videos: Sequence[Item], originals: Sequence[Item], inception: Inception) -> FidResult:
    """Compute FID and KID between all frames of `videos` and all frames of `originals`.

    Raises UsageError if a set has fewer than two frames.
    """
    protocol = FidProtocol(weights_sha256=inception.sha256)
    made = measure_set(videos, inception.network, protocol, GROUPS)
    result = compare(made, measure_set(originals, inception.network, protocol, 0), protocol, SEED)
    return result.of_files(files_digest(videos), files_digest(originals))


def fd_sync_between(videos: Sequence[Item], originals: Sequence[Item], scorer: SyncScorer) -> FdSyncResult:
    """Compute fd-sync between `videos` and `originals`. Raises UsageError if a set has fewer than two windows."""
    key = scorer.key | {"weights": name_of_digest(scorer.weights_sha256) or "unknown"}
    result = compare_lips(measure_lips(scorer, videos), measure_lips(scorer, originals), key)
    return result.of_files(files_digest(videos), files_digest(originals))
