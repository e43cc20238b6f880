"""Open the files of a clip: describe picture and sound, and choose the frame rate and the part to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TypeVar

from lse_bench.choices import FpsPolicy
from lse_bench.errors import ClipError
from lse_bench.media.clip_files import ClipFiles, Part, part_of
from lse_bench.media.probe import MediaInfo, probe
from lse_bench.sync.clip_facts import ClipFacts, Watcher
from lse_bench.sync.protocol import frame_rate_for

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenClip:
    """A clip whose files are described.

    `files`: the files. `picture`: the video. `sound`: the file whose sound is heard, None if it has no sound and needs
    none. `asked`: whether the sound stream was asked for. `rate`: frames per second at which the picture is read.
    `part`: the part that counts.
    """

    files: ClipFiles
    picture: MediaInfo
    sound: MediaInfo | None
    asked: bool
    rate: Fraction
    part: Part

    def frames(self, pictures: Iterable[T], watcher: Watcher | None = None) -> Iterator[T]:
        """Yield the pictures of the part.

        `pictures`: those of the whole video at `rate`. `watcher`: sees each of them; None for nobody.
        """
        found = islice(iter(pictures), self.part.first, self.part.stop)
        return found if watcher is None else _seen(found, watcher, self.rate)


def _seen(pictures: Iterator[T], watcher: Watcher, rate: Fraction) -> Iterator[T]:
    watcher.begin(rate)
    for picture in pictures:
        watcher.picture(picture)  # type: ignore[arg-type]
        yield picture


def open_clip(
    files: ClipFiles,
    fps_policy: FpsPolicy,
    facts: ClipFacts,
    sound_stream: str | None = None,
    *,
    silent: bool = False,
) -> OpenClip:
    """Describe the files of a clip.

    `facts` gets rate and length of the picture and the number of the sound stream. `sound_stream`: the sound stream to
    hear, by its number, counted from 1, or its language. None means the one that the ffmpeg program chooses. `silent`:
    accept a clip without sound. Raises ClipError `unreadable`, `no_video`, `no_audio`, `wrong_fps`, or `too_short` if
    the part lies behind the end of the picture.
    """
    info = probe(files.path, None if files.sound is not None else sound_stream)
    if info.video is None:
        raise ClipError(info.path, "no_video", "no video stream with frames; SyncNet compares picture and sound")
    facts.fps = round(float(info.video.rate if not info.video.variable else info.video.average), 4)
    facts.seconds = round(info.video.seconds, 4)
    heard = info if files.sound is None else probe(files.sound, sound_stream)
    if heard.sound is not None:
        facts.sound_stream = heard.sound.index
    elif not silent:
        raise ClipError(
            heard.path,
            "no_audio",
            "no sound stream with samples; name the file with the speech with --sound, or mux it into this file",
        )
    rate = frame_rate_for(info, fps_policy)
    ends = info.video.start + info.video.seconds
    part = part_of(files, ends, rate)
    if not files.whole:
        facts.seconds = round(part.seconds(ends, rate), 4)
    return OpenClip(files, info, heard if heard.sound is not None else None, sound_stream is not None, rate, part)
