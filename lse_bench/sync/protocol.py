"""Protocols: frozen, versioned definitions of how one clip becomes one pair of LSE-D and LSE-C.

Any change that changes a score makes a new version. Results may share a table only if all fields of their comparison
keys are equal.
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
from lse_bench.rates import FRAME_RATE
from lse_bench.versions import ffmpeg_version

FPS_POLICIES: tuple[FpsPolicy, ...] = get_args(FpsPolicy)
PRECISIONS: tuple[ScoringPrecision, ...] = get_args(ScoringPrecision)
TRACK_RULES: tuple[TrackRule, ...] = get_args(TrackRule)
_FPS_TOLERANCE = 0.001  # as a share of 25 fps: containers round time stamps by as much
_VARIABLE_LIMIT = 27.5  # average frames per second; above this, 25 fps would drop a tenth of the frames


@dataclass(frozen=True, slots=True)
class Protocol:
    """A published or proposed way to score.

    `name`, `version`: together the id. `what`: a short description. `codec`: the encoding that frames pass through
    before the network. `none`: no encoding. `jpeg`: ffmpeg's default MJPEG at 200 kb/s, in memory. `pipeline`: every
    file of the published pipeline, written by the user's ffmpeg program. `tracked`: True if faces are detected, tracked
    and cropped, False if the whole frame counts as a face. `fps_policy`: the default frame rate policy.
    """

    name: str
    version: int
    what: str
    codec: Literal["none", "jpeg", "pipeline"] = "none"
    tracked: bool = False
    fps_policy: FpsPolicy = "require-25"

    @property
    def id(self) -> str:
        """The id `name@version`, which every result contains."""
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
    """Return the protocol with this id. A name without a version means the newest version.

    Raises UsageError, which suggests the nearest id, if there is no such protocol.
    """
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
    sound_stream: str | None = None,
) -> dict[str, str]:
    """Return the comparison key: every setting and version that changes a score.

    `weights_sha256`: digest of the checkpoint. `tracking`, `track_rule`: None if the protocol is not tracked. `ffmpeg`:
    version of the ffmpeg program, None if the one inside PyAV is used. `sound_stream`: the number or language of the
    sound that was asked for, None if none was.

    No two versions of FFmpeg write the same JPEG, so protocols with a codec step record the version. Tracked protocols
    record the detector and the track rule in the id, and all settings in fields of their own.
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
    if sound_stream is not None:
        key["sound_stream"] = sound_stream
    return key


def frame_rate_for(info: MediaInfo, policy: FpsPolicy) -> Fraction:
    """Return the constant rate, in frames per second, at which the frames of `info` are read.

    The scorer then counts these frames as 25 fps. `policy`: `require-25` returns 25 and refuses clips of another rate.
    It places unevenly spaced frames on 25 fps by presentation time, and refuses them if a tenth would be lost.
    `resample` returns 25 for every clip, by presentation time. `as-is` returns the clip's own rate. The published code
    does this too and counts any rate as 25 without a warning.

    Raises ClipError `wrong_fps` if the policy refuses the rate, or if it is above 1000 under `as-is`.
    """
    video = info.video
    assert video is not None
    if policy == "as-is":
        if video.rate > MAX_FPS:
            raise ClipError(info.path, "wrong_fps", f"{float(video.rate):,.0f} fps; at most {MAX_FPS:,} fps are read")
        return video.rate
    if policy == "require-25" and not _counts_as_25(video):
        shown = f"variable, {video.average:.2f} fps on average" if video.variable else f"{float(video.rate):.2f} fps"
        raise ClipError(
            info.path,
            "wrong_fps",
            f"{shown}, but LSE is defined at 25 fps. Pass --fps-policy resample to convert by presentation time, or "
            "as-is to count each frame as 40 ms like the published code; the result records the policy",
        )
    return FRAME_RATE


def _counts_as_25(video: VideoStream) -> bool:
    if video.variable:
        return video.average <= _VARIABLE_LIMIT
    return counts_as_25(video.rate)


def counts_as_25(rate: Fraction | float) -> bool:
    """Return whether a constant rate is 25 frames per second, up to the rounding of containers (0.1 %)."""
    return abs(float(rate) - float(FRAME_RATE)) <= float(FRAME_RATE) * _FPS_TOLERANCE
