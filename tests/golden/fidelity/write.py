"""Writes frechet.json: distances by pytorch-fid 0.3.0's own function, which SciPy 1.18 and later no longer run.

From the folder `tests`: `python golden/fidelity/write.py`, with pytorch-fid 0.3.0 and SciPy below 1.18.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pytorch_fid.fid_score import calculate_frechet_distance

sys.path.insert(0, str(Path(__file__).parents[2]))
from fidelity.made_up import features


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """pytorch-fid's distance between two sets of features (N,D)."""
    parts = [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in (x.astype(np.float64), y.astype(np.float64))]
    return float(calculate_frechet_distance(*parts[0], *parts[1]))


content = {
    "made_with": {name: version(name) for name in ("pytorch-fid", "scipy", "numpy")},
    "3000": distance(features(3000, 512, seed=1), features(3000, 512, seed=2, shift=0.05)),
    "300": distance(features(300, 512, seed=1), features(300, 512, seed=2, shift=0.05)),
    "30 with itself": distance(features(30, 512, seed=1), features(30, 512, seed=1)),
}
(Path(__file__).parent / "frechet.json").write_text(json.dumps(content, indent=1) + "\n")
