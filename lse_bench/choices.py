"""Types for options that have a fixed set of values. A command imports them without loading large libraries."""

from __future__ import annotations

from typing import Literal

FpsPolicy = Literal["require-25", "resample", "as-is"]
ScoringPrecision = Literal["fp32", "bf16"]
TrackRule = Literal["all", "mean", "best"]
Tracker = Literal["original", "matched"]

Smoothing = Literal["original", "exponential", "none"]
FaceChoice = Literal["surest", "largest"]
Faceless = Literal["skip-clip", "keep-frame"]
Short = Literal["skip", "loop", "ping-pong"]
NanSound = Literal["skip", "noise"]
Paste = Literal["overwrite", "feather"]

Region = Literal["frame", "face"]
ReferenceFrames = Literal["matched", "pooled"]
Resize = Literal["bilinear", "antialias"]

LandmarkSource = Literal["facemesh", "sidecar"]

Crop = Literal["box", "aligned"]
PairRule = Literal["other-speaker", "same-speaker", "self"]
Flavour = Literal["lrs2", "lrs3", "lrw"]
Part = Literal["auto", "train", "val", "test"]
Style = Literal["plain", "marked", "mixed"]
VoiceFamily = Literal["american", "foreign"]
