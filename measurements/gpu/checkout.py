"""Puts the checkout on the path, which need not be installed. Imported before anything of lse_bench."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
import lse_bench  # noqa: E402 - the path first

if importlib.util.find_spec("lse_bench.baselines") is None:
    lse_bench.__path__.append(str(ROOT))
