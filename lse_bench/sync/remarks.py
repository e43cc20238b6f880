"""Make the warnings of a record: sentences on properties of a clip that may affect its score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lse_bench.choices import FpsPolicy
from lse_bench.rates import FRAME_RATE, SAMPLE_RATE
from lse_bench.sync.curve import MAX_SHIFT
from lse_bench.sync.distance import LseScore
from lse_bench.sync.protocol import Protocol

if TYPE_CHECKING:
    from lse_bench.media.video import DecodeReport
    from lse_bench.sync.clip_facts import ClipFacts
    from lse_bench.sync.open_clip import OpenClip

_LATE = 0.04  # seconds: a later start than this gets a warning; one frame
_SHORT_SOUND = 0.08  # seconds by which sound may end before the picture without a warning
_LONG_SOUND = 0.5  # seconds by which sound may end after the picture without a warning
_SILENT_PEAK = 33  # of 32767: -60 dB
_SMALL, _LARGE = 100, 4096  # pixels: the original's tracker drops smaller faces, and no known corpus has larger crops
_SQUARE = 1.35  # ratio of the sides above which a frame is probably no face crop


def warnings_of_score(score: LseScore) -> list[str]:
    """Return a warning if the best shift is at the end of the range, else an empty list."""
    if abs(score.offset) < MAX_SHIFT:
        return []
    return [
        f"best shift at the end of the range, {score.offset:+d} frames: picture and sound may lie further apart than "
        f"{MAX_SHIFT / float(FRAME_RATE):g} s, or not belong together; do not rely on the offset"
    ]


def warnings_of(
    clip: OpenClip, facts: ClipFacts, report: DecodeReport, peak: int, protocol: Protocol, policy: FpsPolicy
) -> list[str]:
    """Return the warnings on a clip.

    `facts`: what reading found. `report`: what decoding found. `peak`: largest absolute sample, of 32767.
    """
    assert clip.picture.video is not None and clip.sound is not None and clip.sound.sound is not None
    video, sound = clip.picture.video, clip.sound.sound
    found = []
    for what, used, count in (("pictures", video, clip.picture.pictures), ("sounds", sound, clip.sound.sounds)):
        if count > 1:
            found.append(
                f"{count} {what}: stream {used.index} ({used.codec}) is scored, as "
                + ("the ffmpeg program chooses it" if what == "pictures" or not clip.asked else "it was asked for")
            )
    heard = facts.samples / SAMPLE_RATE
    seen = facts.frames / float(FRAME_RATE if policy != "as-is" else video.rate)
    found += silent_sound(peak)
    if video.start > _LATE and not clip.part.first:
        found.append(f"late picture: it starts {video.start:.2f} s after the sound; its first frame fills the gap")
    if sound.start > _LATE and not clip.part.first:
        found.append(f"late sound: it starts {sound.start:.2f} s after the picture; silence fills the gap")
    moved = f"{report.repeated} frames repeated, {report.dropped} dropped"
    if protocol.codec == "pipeline":
        moved = "frames repeated or dropped by ffmpeg"
    if video.variable:
        found.append(f"variable frame rate: {video.average:.2f} fps on average; {moved} to space them evenly")
    elif policy == "resample" and abs(video.rate - FRAME_RATE) > FRAME_RATE / 1000:
        found.append(f"resampled from {float(video.rate):.2f} to 25 fps: {moved}")
    if policy == "as-is" and abs(video.rate - FRAME_RATE) > FRAME_RATE / 1000:
        found.append(f"{float(video.rate):.2f} fps counted as 25: picture and sound drift apart")
    found += [*unequal_lengths(heard, seen), *still_picture(facts)]
    found += report.damage()
    if protocol.tracked:
        return found
    size = f"{video.width}x{video.height}"
    if min(video.width, video.height) < _SMALL:
        found.append(f"small frames: {size} enlarged to 224x224; lips are hardly visible below {_SMALL} px")
    if max(video.width, video.height) > _LARGE:
        found.append(f"huge frames: {size} reduced to 224x224; {protocol.name} expects face crops")
    elif max(video.width, video.height) > _SQUARE * min(video.width, video.height):
        found.append(f"not a face crop: {size} is squashed to 224x224 as a whole, as {protocol.id} does")
    return found


def silent_sound(peak: int) -> list[str]:
    """Return a warning if the largest absolute sample, of 32767, is below -60 dB, else an empty list."""
    if peak >= _SILENT_PEAK:
        return []
    return [f"silent sound: its peak is {peak} of 32767; the score says nothing about lip-sync"]


def unequal_lengths(heard: float, seen: float) -> list[str]:
    """Return a warning if the sound ends too early or too late, else an empty list.

    `heard`, `seen`: length of sound and picture in seconds. The sound may be 0.08 s shorter or 0.5 s longer.
    """
    if heard < seen - _SHORT_SOUND:
        return [f"sound shorter than picture: {heard:.2f} s against {seen:.2f} s; the rest is not scored"]
    if heard > seen + _LONG_SOUND:
        return [f"sound longer than picture: {heard:.2f} s against {seen:.2f} s; the rest is not scored"]
    return []


def still_picture(facts: ClipFacts) -> list[str]:
    """Return a warning if no scored picture moves, else an empty list."""
    if not facts.frames or facts.motion.seen:
        return []
    return ["still picture: nothing in it moves; the score says nothing about lip-sync"]
