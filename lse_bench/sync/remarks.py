"""What a reader of a score should know about its clip: the warnings of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lse_bench.choices import FpsPolicy
from lse_bench.media.audio import SAMPLE_RATE
from lse_bench.sync.distance import MAX_SHIFT, LseScore
from lse_bench.sync.protocol import FPS, Protocol

if TYPE_CHECKING:
    from lse_bench.media.probe import MediaInfo
    from lse_bench.media.video import DecodeReport
    from lse_bench.sync.clip_facts import ClipFacts

_LATE = 0.04  # seconds of late start worth a warning: one frame
_SHORT_SOUND = 0.08  # seconds by which sound may end before the picture
_LONG_SOUND = 0.5
_SILENT_PEAK = 33  # of 32767: -60 dB
_SMALL, _LARGE = 100, 4096  # pixels: the original's tracker drops smaller faces; nobody publishes larger crops
_SQUARE = 1.35  # width to height beyond which a frame is hardly a face crop


def warnings_of_score(score: LseScore) -> list[str]:
    """What a reader should know about a score itself."""
    if abs(score.offset) < MAX_SHIFT:
        return []
    return [
        f"best shift at the end of the range, {score.offset:+d} frames: picture and sound may lie further apart than "
        f"{MAX_SHIFT / float(FPS):g} s, or not belong together; the offset is not to be trusted"
    ]


def warnings_of(
    info: MediaInfo, facts: ClipFacts, report: DecodeReport, peak: int, protocol: Protocol, policy: FpsPolicy
) -> list[str]:
    """What a reader of the score should know about the file."""
    video, sound = info.video, info.sound
    assert video is not None and sound is not None
    found = []
    for what, used, count in (("pictures", video, info.pictures), ("sounds", sound, info.sounds)):
        if count > 1:
            found.append(f"{count} {what}: stream {used.index} ({used.codec}) is scored, as the ffmpeg program chooses")
    heard = facts.samples / SAMPLE_RATE
    seen = facts.frames / float(FPS if policy != "as-is" else video.rate)
    found += silent_sound(peak)
    if video.start > _LATE:
        found.append(f"late picture: it starts {video.start:.2f} s after the sound; its first frame fills the gap")
    if sound.start > _LATE:
        found.append(f"late sound: it starts {sound.start:.2f} s after the picture; silence fills the gap")
    moved = f"{report.repeated} frames repeated, {report.dropped} dropped"
    if protocol.codec == "pipeline":
        moved = "frames repeated or dropped by ffmpeg"
    if video.variable:
        found.append(f"variable frame rate: {video.average:.2f} fps on average; {moved} to space them evenly")
    elif policy == "resample" and abs(video.rate - FPS) > FPS / 1000:
        found.append(f"resampled from {float(video.rate):.2f} to 25 fps: {moved}")
    if policy == "as-is" and abs(video.rate - FPS) > FPS / 1000:
        found.append(f"{float(video.rate):.2f} fps counted as 25: picture and sound drift apart")
    found += [*unequal_lengths(heard, seen), *still_picture(facts)]
    found += report.damage()
    if protocol.tracked:
        return found
    size = f"{video.width}x{video.height}"
    if min(video.width, video.height) < _SMALL:
        found.append(f"small frames: {size} enlarged to 224x224; below {_SMALL} px lips are hardly visible")
    if max(video.width, video.height) > _LARGE:
        found.append(f"huge frames: {size} reduced to 224x224; {protocol.name} expects face crops")
    elif max(video.width, video.height) > _SQUARE * min(video.width, video.height):
        found.append(f"not a face crop: {size} is squashed to 224x224 as a whole, as {protocol.id} does")
    return found


def silent_sound(peak: int) -> list[str]:
    """A warning where the largest sample, of 32767, is below -60 dB."""
    if peak >= _SILENT_PEAK:
        return []
    return [f"silent sound: its peak is {peak} of 32767; the score says nothing about lip-sync"]


def unequal_lengths(heard: float, seen: float) -> list[str]:
    """A warning where sound and picture, in seconds, are not equally long."""
    if heard < seen - _SHORT_SOUND:
        return [f"sound shorter than picture: {heard:.2f} s against {seen:.2f} s; the rest is not scored"]
    if heard > seen + _LONG_SOUND:
        return [f"sound longer than picture: {heard:.2f} s against {seen:.2f} s; the rest is not scored"]
    return []


def still_picture(facts: ClipFacts) -> list[str]:
    """A warning where nothing moves."""
    if not facts.frames or facts.motion.seen:
        return []
    return ["still picture: nothing in it moves; the score says nothing about lip-sync"]
