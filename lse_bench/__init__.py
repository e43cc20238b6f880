"""LSE-Bench: lip-sync scores (LSE-D, LSE-C, AV offset, FID) that anyone can reproduce.

>>> import lse_bench
>>> scorer = lse_bench.SyncScorer.load("syncnet_v2")
>>> score = scorer.score("clip.mp4")  # LseScore(lse_d=…, lse_c=…, offset=…)
>>> evaluation = lse_bench.evaluate("outputs/")

Importing the package loads neither torch nor anything else that is heavy; the names below load what they need.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lse_bench.errors import ClipError, LseBenchError, UsageError, WeightsError

if TYPE_CHECKING:
    from lse_bench.evaluation import evaluate
    from lse_bench.sync.distance import LseScore
    from lse_bench.sync.scorer import SyncScorer

try:
    __version__ = version("lse-bench")
except PackageNotFoundError:  # used from a source tree that was never installed
    __version__ = "0+unknown"

_LAZY = {
    "evaluate": "lse_bench.evaluation",
    "LseScore": "lse_bench.sync.distance",
    "SyncScorer": "lse_bench.sync.scorer",
}

__all__ = [
    "ClipError",
    "LseBenchError",
    "LseScore",
    "SyncScorer",
    "UsageError",
    "WeightsError",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'lse_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
