"""Named choices of options, where a command can read them without loading what they choose between."""

from __future__ import annotations

from typing import Literal

FpsPolicy = Literal["require-25", "resample", "as-is"]
ScoringPrecision = Literal["fp32", "bf16"]
TrackRule = Literal["all", "mean", "best"]
Tracker = Literal["original", "matched"]
