"""FID and KID between two sets of frames, and the id that states what they depend on.

The FID id has everything that changes the value: the region, the choice of reference frames, the resize method, the
frame step and the digest of Inception's weights. Results with different ids cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import ReferenceFrames, Region, Resize
from lse_bench.errors import UsageError
from lse_bench.execution.inline import Inline
from lse_bench.execution.interface import Executor, Watch
from lse_bench.fidelity.frechet import (
    UNKNOWN_COUNT,
    Statistics,
    StatisticsStream,
    frechet_distance,
    load_statistics,
    save_statistics,
)
from lse_bench.fidelity.kid import KidScore, Reservoir, kid
from lse_bench.fidelity.results import SCHEMA, FidResult, FrameCounts
from lse_bench.fidelity.sources import FrameCount, Item
from lse_bench.fidelity.work import FeatureWork, ItemFeatures, Reader, in_order, tasks_of
from lse_bench.versions import surroundings

VERSION = 1
OnItem = Callable[[Item], None]

_UNSTABLE = 5  # frames per dimension below which FID's bias is large (10,000 for 2048: Chong and Forsyth 2020)


@dataclass(frozen=True, slots=True)
class FidProtocol:
    """The settings that turn frames into one FID.

    `weights_sha256`: the digest of Inception's weights. `region`: whole frames or faces. `boxes`: the name of the
    source of face boxes; None for region `frame`. `reference_frames`: `matched` compares the clips that both sets
    have, and `pooled` compares the sets as a whole. `resize`: the filter for Inception's input size of 299 x 299
    pixels. `step`: every `step`-th frame of a video is used.
    """

    weights_sha256: str
    region: Region = "frame"
    boxes: str | None = None
    reference_frames: ReferenceFrames = "pooled"
    resize: Resize = "bilinear"
    step: int = 1

    @property
    def id(self) -> str:
        """The FID id, such as `fid@1:frame:pooled:bilinear:step1:6726825d`."""
        region = self.region if self.boxes is None else f"{self.region}-{self.boxes}"
        parts = (region, self.reference_frames, self.resize, f"step{self.step}", self.weights_sha256[:8])
        return f"fid@{VERSION}:{':'.join(parts)}"


@dataclass(slots=True)
class FrameSet:
    """The features of one set of frames.

    `total`: the statistics of all frames. `groups`: the statistics of each group of clips; empty without a jackknife.
    `sample`: a random sample of the features for KID; None if there is none. `count`: the frames that were read.
    `items`: the number of clips that were read to their end. `failed`: the other clips, id to reason.
    """

    total: Statistics
    groups: list[Statistics]
    sample: NDArray[np.float32] | None
    count: FrameCount
    items: int
    failed: dict[str, str] = field(default_factory=dict)


def measure(
    items: Sequence[Item],
    load: Callable[[str], Reader],
    *,
    groups: int = 0,
    executor: Executor | None = None,
    watch: Watch | None = None,
    on_item: OnItem = lambda item: None,
    what: str = "frames",
) -> FrameSet:
    """Read all frames of `items` and collect the statistics of their features, in the order of the items.

    `load`: returns what reads the frames, for a torch device; it can be pickled if other processes work.
    `groups`: the clips are distributed in turn over this many groups for the jackknife; 0 for none. `executor`: who
    reads, None for this process. `watch`: hears what the workers do. `on_item`: a function that is called after each
    item. `what`: has the features, for messages.

    A clip that cannot be read to its end is listed in `failed`; its frames before the error count.
    Raises UsageError if fewer than two frames are left.
    """

    def found() -> Iterator[ItemFeatures]:
        results = (executor or Inline("cpu")).run(FeatureWork(load), tasks_of(items), watch or Watch())
        for item, one in zip(items, in_order(results), strict=True):
            yield one
            on_item(item)

    return gathered(found(), [item.id for item in items], groups, what)


def gathered(found: Iterable[ItemFeatures], ids: Sequence[str], groups: int = 0, what: str = "frames") -> FrameSet:
    """Collect the statistics of the features of clips, in their order.

    `found`: the features of each clip of `ids`. `groups`, `what`: see `measure`. Raises UsageError if there are fewer
    than two features.
    """
    streams: list[StatisticsStream] = []
    reservoir: Reservoir | None = None
    count = FrameCount()
    failed: dict[str, str] = {}
    for number, (name, one) in enumerate(zip(ids, found, strict=True)):
        for rows in one.parts:
            if reservoir is None:
                dimensions = rows.shape[1]
                reservoir = Reservoir(dimensions)
                streams = [StatisticsStream(dimensions) for _ in range(max(1, groups))]
            reservoir.push(rows)
            streams[number % len(streams)].push(rows)
        count.add(one.count)
        if one.failure is not None:
            failed[name] = one.failure
    parts = [stream.finish() for stream in streams]
    counted = sum(part.count for part in parts)
    if reservoir is None or counted < 2:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:3])
        raise UsageError(f"{counted} {what} in {len(ids)} clips. At least 2 are needed. {reasons}")
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return FrameSet(total, parts if groups else [], reservoir.sample, count, len(ids) - len(failed), failed)


def load_set(path: Path) -> tuple[FrameSet, str | None]:
    """Read a set from saved statistics. Return it with its FID id, which is None for a file of pytorch-fid.

    Raises UsageError if the file holds no statistics.
    """
    statistics, sample, fid_id = load_statistics(path)
    return FrameSet(statistics, [], sample, FrameCount(), 0), fid_id


def save_set(path: Path, frames: FrameSet, protocol: FidProtocol) -> None:
    """Save the statistics of a set with the protocol's FID id, for later use as a reference.

    Raises UsageError if the statistics come from pytorch-fid.
    """
    if frames.total.count == UNKNOWN_COUNT:
        raise UsageError("statistics of pytorch-fid do not state their settings. They cannot be saved under a FID id")
    sample = frames.sample if frames.sample is not None else np.zeros((0, len(frames.total.mean)), np.float32)
    save_statistics(path, frames.total, sample, protocol.id)


def compare(generated: FrameSet, reference: FrameSet, protocol: FidProtocol, seed: int) -> FidResult:
    """Compute FID with its jackknife standard error, and KID with its 95 % interval.

    `seed`: the random seed of KID's subsets. KID is None if a set has fewer than two sampled features.
    Raises UsageError if a set has fewer than two frames or the dimensions differ.
    """
    distance = frechet_distance(generated.total, reference.total)
    score: KidScore | None = None
    if _enough(generated.sample) and _enough(reference.sample):
        assert generated.sample is not None and reference.sample is not None
        score = kid(generated.sample, reference.sample, seed)
    return FidResult(
        schema_version=SCHEMA,
        fid_id=protocol.id,
        weights_sha256=protocol.weights_sha256,
        fid=distance,
        fid_standard_error=jackknife(generated, reference, protocol.reference_frames),
        fid_error_method=f"delete-a-group jackknife over clips, {len(generated.groups)} groups",
        kid=None if score is None else score.mean,
        kid_ci95=None if score is None else score.ci95,
        kid_ci_method=None if score is None else f"quantiles over {score.subsets} subsets of {score.subset_size}",
        seed=seed,
        generated=_describe(generated),
        reference=_describe(reference),
        warnings=_warnings(generated, "generated") + _warnings(reference, "reference"),
        **surroundings(),
    )


def jackknife(generated: FrameSet, reference: FrameSet, reference_frames: ReferenceFrames) -> float | None:
    """Return the standard error of FID by a delete-a-group jackknife, or None if fewer than 3 groups have frames.

    With matched frames each group is left out of both sets. A bootstrap is not used: its repeated frames would reduce
    the rank of the covariance and bias FID upwards.
    """
    held = [number for number, group in enumerate(generated.groups) if group.count]
    if len(held) < 3:
        return None
    in_both = reference_frames == "matched" and len(reference.groups) == len(generated.groups)
    values = []
    for left_out in held:
        one = _all_but(generated.groups, left_out)
        two = _all_but(reference.groups, left_out) if in_both else reference.total
        values.append(frechet_distance(one, two))
    spread = np.asarray(values) - np.mean(values)
    return float(np.sqrt((len(held) - 1) / len(held) * (spread**2).sum()))


def _all_but(groups: Sequence[Statistics], left_out: int) -> Statistics:
    total = Statistics.empty(len(groups[0].mean))
    for number, group in enumerate(groups):
        if number != left_out:
            total = total + group
    return total


def _enough(sample: NDArray[np.float32] | None) -> bool:
    return sample is not None and len(sample) >= 2


def _describe(frames: FrameSet) -> FrameCounts:
    sizes = frames.count.sizes or {}
    return FrameCounts(
        clips=frames.items,
        failed=frames.failed,
        frames=None if frames.total.count == UNKNOWN_COUNT else frames.total.count,
        without_face=frames.count.without_face,
        sizes={f"{width}x{height}": number for (width, height), number in sorted(sizes.items())},
    )


def _rank_deficient(total: Statistics) -> bool:
    """Return whether the smallest eigenvalue of the covariance is 0 up to rounding.

    Then the Cholesky factorisation of the covariance, less a tiny multiple of the identity, fails.
    """
    try:
        np.linalg.cholesky(
            total.covariance - 1e-12 * np.trace(total.covariance) / len(total.mean) * np.eye(len(total.mean))
        )
    except np.linalg.LinAlgError:
        return True
    return False


def _warnings(frames: FrameSet, which: str) -> list[str]:
    found: list[str] = []
    number = frames.total.count  # UNKNOWN_COUNT, a huge number, for pytorch-fid's statistics
    dimensions = len(frames.total.mean)
    if number < dimensions:
        found.append(
            f"{which}: {number} frames for {dimensions} dimensions: the covariance is singular and FID is biased; use "
            "KID"
        )
    elif _rank_deficient(frames.total):
        found.append(f"{which}: the covariance is near-singular (many equal frames?) and FID is uncertain; use KID")
    elif number < _UNSTABLE * dimensions:
        found.append(
            f"{which}: {number} frames: FID is biased upwards below about {_UNSTABLE * dimensions:,} frames; compare "
            "only sets of equal size"
        )
    if frames.count.sizes and len(frames.count.sizes) > 1:
        found.append(f"{which}: frames of {len(frames.count.sizes)} sizes; each frame is resized to 299x299")
    if frames.failed:
        found.append(
            f"{which}: {len(frames.failed)} clips could not be read to their end; their later frames are missing"
        )
    if frames.count.without_face:
        found.append(f"{which}: {frames.count.without_face} frames without a face are left out")
    return found
