"""LSE and FID as torchmetrics objects, for training and evaluation loops of other projects.

The states are float64 sums. So a metric merges over batches and processes, and its memory does not grow with their
number. Frames are RGB, uint8: torch (T,3,H,W) or NumPy (T,H,W,3). Clips are passed as lists, since their lengths
differ. If no clip was scored, a mean is NaN and never 0. The module needs the extra `torchmetrics`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.devices import choose_device
from lse_bench.errors import ClipError, UsageError
from lse_bench.fidelity.frechet import Statistics, frechet_distance
from lse_bench.fidelity.inception import FidInception
from lse_bench.rates import SAMPLE_RATE
from lse_bench.sync.arrays import bgr_frames
from lse_bench.sync.scorer import SyncScorer
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.store import resolve

try:
    from torchmetrics import Metric
except ImportError as error:
    raise ImportError(
        "lse_bench.metrics needs torchmetrics: pip install 'lse-bench[torchmetrics]'", name="torchmetrics"
    ) from error

__all__ = ["FrechetInceptionDistance", "LipSync"]

Frames = NDArray[np.uint8] | torch.Tensor
Samples = NDArray[Any] | torch.Tensor
_log = logging.getLogger("lse_bench")


class LipSync(Metric):
    """The mean LSE-D, LSE-C and absolute AV offset of clips in memory.

    `compute` returns `lse_d` (lower is better), `lse_c` (higher is better), `offset` (mean magnitude in frames of
    40 ms), and the numbers of clips `scored` and `failed`. The means cover the scored clips only.

    >>> metric = LipSync(SyncScorer.load("syncnet_v2", protocol="lrs-lossless@1"))
    >>> metric.update([frames], [sound])  # a batch: lists of clips
    >>> metric.compute()["lse_c"]
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = None  # LSE-D: lower, LSE-C: higher
    sums: torch.Tensor
    counts: torch.Tensor

    def __init__(self, scorer: SyncScorer | str = "syncnet_v2", fps: float = 25, **options: Any) -> None:
        """Store the scorer, or load it by name.

        `scorer`: a `SyncScorer` whose protocol takes arrays, or a name of weights, which are loaded for
        `lrs-lossless@1`. `fps`: the frame rate of the clips. `options`: the options of `torchmetrics.Metric`.
        Raises UsageError if the scorer's protocol needs files, and WeightsError if the weights cannot be had.
        """
        super().__init__(**options)
        if isinstance(scorer, str):
            scorer = SyncScorer.load(scorer, protocol="lrs-lossless@1")
        if scorer.protocol.codec != "none":
            raise UsageError(f"{scorer.protocol.id} needs files. Use lrs-lossless@1 or tracked@1 with LipSync")
        self.scorer, self.fps = scorer, fps
        self.add_state("sums", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, frames: Sequence[Frames], sound: Sequence[Samples], sample_rate: int = SAMPLE_RATE) -> None:
        """Score a batch of clips.

        `frames`: one array (T,H,W,3) or tensor (T,3,H,W) for each clip. `sound`: the samples (N,) of each clip, in the
        same order. `sample_rate`: of the sound, in Hz. A clip that cannot be scored is counted and logged.
        Raises UsageError if the two lists differ in length, or if an array has a wrong shape or dtype.
        """
        if len(frames) != len(sound):
            raise UsageError(
                f"{len(frames)} clips of frames and {len(sound)} of sound: each clip needs both. For one clip pass "
                "update([frames], [sound])"
            )
        for pictures, samples in zip(frames, sound, strict=True):
            try:
                score = self.scorer.score_arrays(pictures, samples, self.fps, sample_rate)
            except ClipError as error:
                _log.warning("a clip was not scored: %s", error)
                self.counts += self.counts.new_tensor([0.0, 1.0])
                continue
            self.sums += self.sums.new_tensor([score.lse_d, score.lse_c, abs(score.offset)])
            self.counts += self.counts.new_tensor([1.0, 0.0])

    def compute(self) -> dict[str, torch.Tensor]:
        """Return the means over the scored clips (NaN if there are none) and the counts."""
        scored, failed = self.counts
        means = self.sums / scored if scored > 0 else torch.full_like(self.sums, torch.nan)
        return {"lse_d": means[0], "lse_c": means[1], "offset": means[2], "scored": scored, "failed": failed}

    @property
    def signature(self) -> str:
        """The comparison key and the version in one line: everything that the scores depend on."""
        return self.scorer.signature


class FrechetInceptionDistance(Metric):
    """The FID between generated and real frames, as pytorch-fid defines it. Lower is better.

    >>> metric = FrechetInceptionDistance()
    >>> metric.update(real_frames, real=True)
    >>> metric.update(made_frames, real=False)
    >>> metric.compute()  # NaN with fewer than two frames of either
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    real_sum: torch.Tensor
    real_products: torch.Tensor
    real_count: torch.Tensor
    made_sum: torch.Tensor
    made_products: torch.Tensor
    made_count: torch.Tensor

    def __init__(
        self, weights: FidInception | Mapping[str, torch.Tensor] | Path | str = "inception", **options: Any
    ) -> None:
        """Load Inception.

        `weights`: the file, a name in the table of weights (fetched if it is absent), a state dict, or the network.
        `options`: the options of `torchmetrics.Metric`. Raises WeightsError if the weights cannot be had or do not fit,
        and UsageError if the extra `fid` is not installed.
        """
        super().__init__(**options)
        if isinstance(weights, FidInception):
            self.network = weights
        elif isinstance(weights, Mapping):
            self.network = FidInception(weights, choose_device("auto"))
        else:
            path = resolve(weights, FetchSettings(say=_log.warning))
            self.network = FidInception.load(path, choose_device("auto"))
        size = self.network.dimensions
        for which in ("real", "made"):
            self.add_state(f"{which}_sum", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
            products = torch.zeros(size, size, dtype=torch.float64)
            self.add_state(f"{which}_products", products, dist_reduce_fx="sum")
            self.add_state(f"{which}_count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, frames: Frames, real: bool) -> None:
        """Add frames of one size to the real set (`real=True`) or to the generated set.

        `frames`: RGB uint8, NumPy (T,H,W,3) or torch (T,3,H,W). Raises UsageError if the shape or dtype is wrong.
        """
        rgb = np.ascontiguousarray(bgr_frames(frames)[..., ::-1])
        features = torch.from_numpy(self.network.features(rgb)).to(self.real_sum)
        which = "real" if real else "made"
        for name, value in (
            ("sum", features.sum(0)),
            ("products", features.T @ features),
            ("count", features.new_tensor(float(len(features)))),
        ):
            setattr(self, f"{which}_{name}", getattr(self, f"{which}_{name}") + value)

    def compute(self) -> torch.Tensor:
        """Return the FID, float64, or NaN if a set has fewer than two frames."""
        if min(self.real_count, self.made_count) < 2:
            return torch.full_like(self.real_count, torch.nan)
        found = [
            Statistics.of_sums(
                int(getattr(self, f"{which}_count")),
                getattr(self, f"{which}_sum").cpu().numpy(),
                getattr(self, f"{which}_products").cpu().numpy(),
            )
            for which in ("made", "real")
        ]
        return self.real_count.new_tensor(frechet_distance(*found))
