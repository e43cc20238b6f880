"""LSE-Bench: reproducible lip-sync scores (LSE-D, LSE-C, AV offset, FID).

    scorer = lse_bench.SyncScorer.load("syncnet_v2", protocol="lrs-lossless@1")
    scorer.score("clip.mp4")                       # LseScore(lse_d=…, lse_c=…, offset=…)
    scorer.score_arrays(frames, sound, fps=25)     # RGB frames, 16 kHz sound
    run = lse_bench.evaluate("outputs/")           # means with intervals, run.to_frame(), run.signature

Importing the package does not load torch or another large library. A name below loads its module on first use.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError as _NotInstalled
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from lse_bench.errors import ClipError, LseBenchError, UsageError, WeightsError

if TYPE_CHECKING:
    from lse_bench.evaluation import evaluate
    from lse_bench.generation import generate
    from lse_bench.runs.read import Run, read_run
    from lse_bench.sync.distance import LseScore
    from lse_bench.sync.offsets import Calibration, read_calibration
    from lse_bench.sync.quality import lse
    from lse_bench.sync.scorer import SyncScorer
    from lse_bench.tables.paired import Comparison, compare

try:
    __version__ = _version("lse-bench")
except _NotInstalled:  # the package is used from a source tree that was never installed
    __version__ = "0+unknown"

_LAZY = {
    "Calibration": "lse_bench.sync.offsets",
    "Comparison": "lse_bench.tables.paired",
    "LseScore": "lse_bench.sync.distance",
    "Run": "lse_bench.runs.read",
    "SyncScorer": "lse_bench.sync.scorer",
    "compare": "lse_bench.tables.paired",
    "evaluate": "lse_bench.evaluation",
    "generate": "lse_bench.generation",
    "lse": "lse_bench.sync.quality",
    "read_calibration": "lse_bench.sync.offsets",
    "read_run": "lse_bench.runs.read",
}

__all__ = [
    "Calibration",
    "ClipError",
    "Comparison",
    "LseBenchError",
    "LseScore",
    "Run",
    "SyncScorer",
    "UsageError",
    "WeightsError",
    "__version__",
    "compare",
    "evaluate",
    "generate",
    "lse",
    "read_calibration",
    "read_run",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'lse_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
