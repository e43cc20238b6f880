"""Protocols: how one clip becomes one LSE-D / LSE-C pair, frozen and versioned.

A change of anything that moves a score is a new version. The comparison key says which results may stand in one
table: all of its fields must be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from lse_bench.choices import FpsPolicy, ScoringPrecision, TrackRule
from lse_bench.errors import ClipError, UsageError, no_such
from lse_bench.faces.tracking import Tracking
from lse_bench.media.bounds import MAX_FPS
from lse_bench.media.probe import MediaInfo, VideoStream
from lse_bench.versions import ffmpeg_version

FPS = Fraction(25)
FPS_POLICIES: tuple[FpsPolicy, ...] = get_args(FpsPolicy)
PRECISIONS: tuple[ScoringPrecision, ...] = get_args(ScoringPrecision)
TRACK_RULES: tuple[TrackRule, ...] = get_args(TrackRule)
_FPS_TOLERANCE = 0.001  # of 25: what timestamps in containers round to
_VARIABLE_LIMIT = 27.5  # average frames per second; above it a tenth of the frames would be lost


@dataclass(frozen=True, slots=True)
class Protocol:
    """One published or proposed way to score.

    `codec`: what frames go through before the network: `none`; `jpeg`, ffmpeg's default MJPEG at 200 kb/s, in memory;
    `pipeline`, every file of the published pipeline, by the user's ffmpeg program. `tracked`: faces are found, followed
    and cut out; else the whole frame is taken for a face. `fps_policy`: the default.
    """

    name: str
    version: int
    what: str
    codec: Literal["none", "jpeg", "pipeline"] = "none"
    tracked: bool = False
    fps_policy: FpsPolicy = "require-25"

    @property
    def id(self) -> str:
        """`name@version`, as it stands in every result."""
        return f"{self.name}@{self.version}"


PROTOCOLS = {
    protocol.id: protocol
    for protocol in (
        Protocol(
            "lrs",
            1,
            "Wav2Lip's calculate_scores_LRS.py: whole frame squashed to 224x224, no detector, with its JPEG step",
            codec="jpeg",
        ),
        Protocol("lrs-lossless", 1, "lrs@1 without the JPEG step: identical on every machine"),
        Protocol(
            "tracked",
            1,
            "faces found, followed and cut out as by run_pipeline.py, all in memory, sound untouched",
            tracked=True,
            fps_policy="resample",
        ),
        Protocol(
            "tracked-legacy",
            2,
            "run_pipeline.py and calculate_scores_real_videos.py with every codec step, by the ffmpeg program",
            codec="pipeline",
            tracked=True,
            fps_policy="resample",
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """The protocol with this id; a bare name means its newest version. Raises UsageError with the nearest name."""
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    versions = [p for p in PROTOCOLS.values() if p.name == name]
    if versions:
        return max(versions, key=lambda p: p.version)
    raise UsageError(no_such("protocol", name, PROTOCOLS))


def comparison_key(
    protocol: Protocol,
    weights_sha256: str,
    fps_policy: str,
    precision: str,
    *,
    tracking: Tracking | None = None,
    track_rule: TrackRule | None = None,
    ffmpeg: str | None = None,
) -> dict[str, str]:
    """Everything that moves a score. No two versions of FFmpeg write the same JPEG, so protocols with codec steps name
    its version; `ffmpeg`: that of the program, where one is used. Tracked protocols name detector and track rule in
    the id, and all settings beside it.
    """
    key = {
        "protocol": protocol.id,
        "weights_sha256": weights_sha256,
        "fps_policy": fps_policy,
        "precision": precision,
    }
    if protocol.codec != "none":
        key["ffmpeg"] = ffmpeg or ffmpeg_version()
    if tracking is not None and track_rule is not None:
        key["protocol"] = ":".join([protocol.id, *tracking.marks, track_rule])
        key |= tracking.key | {"track_rule": track_rule}
    return key


def frame_rate_for(info: MediaInfo, policy: FpsPolicy) -> Fraction:
    """The constant rate at which `info`'s frames are read; the scorer then counts them as 25 fps.

    `require-25`: 25, and ClipError `wrong_fps` for a clip of another rate; unevenly spaced frames are placed on 25 fps
    by presentation time unless a tenth of them would be lost. `resample`: 25 by presentation time, whatever the
    rate. `as-is`: the clip's own rate, as the published code, which counts any rate as 25 without a word.
    """
    video = info.video
    assert video is not None
    if policy == "as-is":
        if video.rate > MAX_FPS:
            raise ClipError(info.path, "wrong_fps", f"{float(video.rate):,.0f} fps; at most {MAX_FPS:,} are read")
        return video.rate
    if policy == "require-25" and not _counts_as_25(video):
        shown = f"variable, {video.average:.2f} fps on average" if video.variable else f"{float(video.rate):.2f} fps"
        raise ClipError(
            info.path,
            "wrong_fps",
            f"{shown}, but LSE is defined at 25 fps. Pass --fps-policy resample to convert by presentation time, or "
            "as-is to count each frame as 40 ms like the published code; the result will say so",
        )
    return FPS


def _counts_as_25(video: VideoStream) -> bool:
    if video.variable:
        return video.average <= _VARIABLE_LIMIT
    return counts_as_25(video.rate)


def counts_as_25(rate: Fraction | float) -> bool:
    """Whether a constant rate is 25 frames per second but for what containers round."""
    return abs(float(rate) - float(FPS)) <= float(FPS) * _FPS_TOLERANCE
