"""FVD: the Fréchet distance between I3D's features of two sets of videos, from pieces of 16 frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.execution.interface import Task
from lse_bench.fidelity.fid import FrameSet, jackknife
from lse_bench.fidelity.frechet import frechet_distance
from lse_bench.fidelity.i3d import DIMENSIONS, FRAMES, INPUT_SIZE, I3d
from lse_bench.fidelity.results import SCHEMA, FvdResult, PieceCounts
from lse_bench.fidelity.sources import FrameCount, Item, frames_of
from lse_bench.fidelity.work import ItemFeatures, told
from lse_bench.versions import surroundings

VERSION = 1


def fvd_id(weights_sha256: str) -> str:
    """Return all that changes a value of FVD, in one text. Values with different ids cannot be compared."""
    return f"fvd@{VERSION}:frame:{FRAMES}frames-apart:bilinear{INPUT_SIZE}:logits:{weights_sha256[:8]}"


@dataclass(frozen=True, slots=True)
class PieceReader:
    """What turns videos into the features of their pieces: 16 frames each, one after the other, the rest left out.

    A video with fewer frames fails, since it has no feature.
    """

    network: I3d

    def run(self, tasks: Iterator[Task[Item] | None]) -> Iterator[tuple[int, ItemFeatures]]:
        for task in tasks:
            if task is not None:
                yield task.number, self._read(task.what)

    def _read(self, item: Item) -> ItemFeatures:
        found = ItemFeatures()
        piece: list[NDArray[np.uint8]] = []
        read = FrameCount()
        try:
            for frame in frames_of(item, 1, None, read):
                if piece and frame.shape != piece[0].shape:
                    raise UsageError("its pictures change their size")
                piece.append(frame)
                if len(piece) == FRAMES:
                    found.parts.append(self.network.features(np.stack(piece))[None])
                    piece = []
        except Exception as error:  # noqa: BLE001 - any error is the failure of this file alone
            found.failure = told(error)
        if not found.parts and found.failure is None:
            found.failure = f"too_short: {read.frames} frames, and a feature needs {FRAMES}"
        found.count.frames = len(found.parts)
        return found


def compare_videos(made: FrameSet, reference: FrameSet, weights_sha256: str) -> FvdResult:
    """Return FVD between two sets of pieces, with its jackknife standard error.

    Raises UsageError if a set has fewer than two pieces.
    """
    warnings = [
        f"{name}: {pieces.total.count} pieces of video for {DIMENSIONS} dimensions: the covariance is singular and FVD "
        "is biased upwards; compare only sets of equal size"
        for name, pieces in (("generated", made), ("reference", reference))
        if pieces.total.count <= DIMENSIONS
    ]
    return FvdResult(
        schema_version=SCHEMA,
        fvd_id=fvd_id(weights_sha256),
        weights_sha256=weights_sha256,
        fvd=frechet_distance(made.total, reference.total),
        fvd_standard_error=jackknife(made, reference, "pooled"),
        fvd_error_method=f"delete-a-group jackknife over clips, {len(made.groups)} groups",
        generated=_counts(made),
        reference=_counts(reference),
        warnings=warnings,
        **surroundings(),
    )


def _counts(pieces: FrameSet) -> PieceCounts:
    return PieceCounts(clips=pieces.items, pieces=pieces.total.count, failed=pieces.failed)
