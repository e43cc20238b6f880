"""The rates that the whole field works at: 25 frames and 16,000 samples per second."""

from __future__ import annotations

from fractions import Fraction

FPS = 25
FRAME_RATE = Fraction(FPS)
SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
