"""Made-up features of frames."""

from __future__ import annotations

import numpy as np


def features(count: int, dimensions: int = 2048, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Correlated, non-negative and skewed, as pooled ReLU features are: float32 (count, dimensions)."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(64, dimensions)) / 8
    values = random.normal(size=(count, 64)) @ mixing + 0.3 * random.normal(size=(count, dimensions)) + shift
    return np.maximum(values, 0).astype(np.float32)
