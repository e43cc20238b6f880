"""FID and KID between two sets of frames: features, statistics, numbers, and what they depend on.

The FID id names everything that moves the number: region, whose frames the reference holds, resize, frame step and the
digest of Inception's weights. Results with different ids cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import ReferenceFrames, Region, Resize
from lse_bench.errors import ClipError, UsageError
from lse_bench.fidelity.frechet import (
    UNKNOWN_COUNT,
    Statistics,
    StatisticsStream,
    frechet_distance,
    load_statistics,
    save_statistics,
)
from lse_bench.fidelity.kid import KidScore, Reservoir, kid
from lse_bench.fidelity.results import FidResult, FrameCounts
from lse_bench.fidelity.sources import BoxSource, FrameCount, Item, frames_of
from lse_bench.versions import surroundings

VERSION = 1
Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
OnItem = Callable[[Item], None]

_TOO_FEW = 2048  # frames: with fewer than dimensions a covariance is singular
_BATCH_BYTES = 50 << 20  # of frames: fewer than a batch where frames are huge
_UNSTABLE = 10_000  # frames below which FID's bias is large (Chong and Forsyth 2020)


@dataclass(frozen=True, slots=True)
class FidProtocol:
    """How frames become one FID. `boxes`: name of what finds the face, None for region `frame`."""

    weights_sha256: str
    region: Region = "frame"
    boxes: str | None = None
    reference_frames: ReferenceFrames = "pooled"
    resize: Resize = "bilinear"
    step: int = 1

    @property
    def id(self) -> str:
        """As it stands beside every number, such as `fid@1:frame:pooled:bilinear:step1:6726825d`."""
        region = self.region if self.boxes is None else f"{self.region}-{self.boxes}"
        parts = (region, self.reference_frames, self.resize, f"step{self.step}", self.weights_sha256[:8])
        return f"fid@{VERSION}:{':'.join(parts)}"


@dataclass(slots=True)
class FrameSet:
    """Statistics of one set of frames, whole and by group of clips, and a sample of its features."""

    total: Statistics
    groups: list[Statistics]
    sample: NDArray[np.float32] | None
    count: FrameCount
    items: int
    failed: dict[str, str] = field(default_factory=dict)  # id to reason


def measure(
    items: Sequence[Item],
    features: Features,
    *,
    dimensions: int,
    batch: int,
    step: int = 1,
    boxes: BoxSource | None = None,
    groups: int = 0,
    on_item: OnItem = lambda item: None,
) -> FrameSet:
    """Read all frames of `items` and collect their features' statistics; memory does not grow with their number.

    `groups`: clips are dealt in turn to so many groups, for the jackknife; 0 for none. `features` takes RGB uint8
    frames of one size (N,H,W,3). A clip that cannot be read to its end is named. Raises UsageError when fewer than
    two frames are left.
    """
    streams = [StatisticsStream(dimensions) for _ in range(max(1, groups))]
    reservoir = Reservoir(dimensions)
    count = FrameCount()
    failed: dict[str, str] = {}
    batches = _Batches(features, batch, reservoir)
    for number, item in enumerate(items):
        stream = streams[number % len(streams)]
        frames = frames_of(item, step, boxes, count)
        while True:
            try:
                frame = next(frames, None)
            except ClipError as error:
                failed[item.id] = f"{error.status}: {error.reason}"
                break
            except Exception as error:  # noqa: BLE001 - whatever a file provokes is that file's failure
                failed[item.id] = f"error: {type(error).__name__}: {error}"
                break
            if frame is None:
                break
            batches.push(frame, stream)
        on_item(item)
    batches.flush()
    parts = [stream.finish() for stream in streams]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    if total.count < 2:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:3])
        raise UsageError(f"{total.count} frames in {len(items)} clips, at least 2 are needed. {reasons}")
    return FrameSet(total, parts if groups else [], reservoir.sample, count, len(items) - len(failed), failed)


class _Batches:
    """Collects frames of one size until a batch is full; a frame of another size closes it."""

    def __init__(self, features: Features, size: int, reservoir: Reservoir) -> None:
        self._features = features
        self._size = size
        self._reservoir = reservoir
        self._waiting: list[tuple[NDArray[np.uint8], StatisticsStream]] = []

    def push(self, frame: NDArray[np.uint8], stream: StatisticsStream) -> None:
        if self._waiting and self._waiting[0][0].shape != frame.shape:
            self.flush()
        self._waiting.append((frame, stream))
        if len(self._waiting) == self._size or len(self._waiting) * frame.size > _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        rows = self._features(np.stack([frame for frame, _ in self._waiting]))
        self._reservoir.push(rows)
        for start, stop, stream in _runs([stream for _, stream in self._waiting]):
            stream.push(rows[start:stop])
        self._waiting = []


def _runs(streams: Sequence[StatisticsStream]) -> Iterator[tuple[int, int, StatisticsStream]]:
    start = 0
    for stop in range(1, len(streams) + 1):
        if stop == len(streams) or streams[stop] is not streams[start]:
            yield start, stop, streams[start]
            start = stop


def load_set(path: Path) -> tuple[FrameSet, str | None]:
    """A set from saved statistics, and the FID id they were made under (None for pytorch-fid's files)."""
    statistics, sample, fid_id = load_statistics(path)
    return FrameSet(statistics, [], sample, FrameCount(), 0), fid_id


def save_set(path: Path, frames: FrameSet, protocol: FidProtocol) -> None:
    """Save a set as statistics, to be used as a reference again."""
    if frames.total.count == UNKNOWN_COUNT:
        raise UsageError("statistics of pytorch-fid do not say how they were made; they cannot be saved under an id")
    sample = frames.sample if frames.sample is not None else np.zeros((0, len(frames.total.mean)), np.float32)
    save_statistics(path, frames.total, sample, protocol.id)


def compare(generated: FrameSet, reference: FrameSet, protocol: FidProtocol, seed: int) -> FidResult:
    """FID with its jackknife and KID with its own interval."""
    distance = frechet_distance(generated.total, reference.total)
    score: KidScore | None = None
    if _enough(generated.sample) and _enough(reference.sample):
        assert generated.sample is not None and reference.sample is not None
        score = kid(generated.sample, reference.sample, seed)
    return FidResult(
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
    """Standard error of FID by leaving out one group of clips at a time; None with fewer than 3 groups with frames.

    With matched frames a group is left out of both sets. Never a bootstrap: repeated frames would shrink the rank of
    the covariance and bias FID upwards.
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
    """Whether the smallest eigenvalue is 0 up to rounding: the Cholesky factorisation then fails."""
    try:
        np.linalg.cholesky(
            total.covariance - 1e-12 * np.trace(total.covariance) / len(total.mean) * np.eye(len(total.mean))
        )
    except np.linalg.LinAlgError:
        return True
    return False


def _warnings(frames: FrameSet, which: str) -> list[str]:
    found: list[str] = []
    number = frames.total.count  # huge for pytorch-fid's statistics, which do not say
    if number < _TOO_FEW:
        found.append(
            f"{which}: {number} frames for 2048 dimensions: the covariance is singular and FID biased; trust KID"
        )
    elif _rank_deficient(frames.total):
        found.append(f"{which}: the covariance is near-singular (many equal frames?); FID is uncertain, trust KID")
    elif number < _UNSTABLE:
        found.append(
            f"{which}: {number} frames; FID is biased upwards below some {_UNSTABLE:,}, compare equal numbers only"
        )
    if frames.count.sizes and len(frames.count.sizes) > 1:
        found.append(f"{which}: frames of {len(frames.count.sizes)} sizes, each resized to 299x299 on its own")
    if frames.failed:
        found.append(
            f"{which}: {len(frames.failed)} clips could not be read to their end; later frames of them are missing"
        )
    if frames.count.without_face:
        found.append(f"{which}: {frames.count.without_face} frames without a face are left out")
    return found
