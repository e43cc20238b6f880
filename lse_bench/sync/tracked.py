"""Read clips whose faces must be detected: find the faces, track them, and read the windows of every face track.

`tracked` passes over the file twice and works in memory, which does not grow with the clip's length. `tracked-legacy`
writes and reads every file of the published pipeline.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from lse_bench.choices import FpsPolicy
from lse_bench.errors import ClipError, LseBenchError
from lse_bench.faces.crops import CropPath, crop_face, crop_path
from lse_bench.faces.shots import ShotDetector
from lse_bench.faces.tracking import Scene, Tracking, find_tracks, scene_of
from lse_bench.faces.tracks import Track
from lse_bench.media.audio import Sound
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.pictures import read_picture
from lse_bench.media.probe import probe
from lse_bench.media.program import Ffmpeg, Sources, convert, dump_crop, read_wav, write_crop
from lse_bench.media.video import DecodeReport, Frame, read_frames
from lse_bench.rates import SAMPLES_PER_FRAME
from lse_bench.sync import protocol as protocols
from lse_bench.sync.clip_facts import ClipFacts, Motion, StoppedError, conversion_of, why_too_short, windows_of
from lse_bench.sync.open_clip import OpenClip, open_clip
from lse_bench.sync.remarks import warnings_of
from lse_bench.sync.windows import Chunk, SoundReader, WindowAssembler

_TOLD_EVERY = 25  # frames between two calls of `on_step`


def read_tracked(
    files: ClipFiles,
    protocol: protocols.Protocol,
    fps_policy: FpsPolicy,
    tracking: Tracking,
    facts: ClipFacts,
    sound_stream: str | None = None,
) -> Iterator[Chunk]:
    """Yield the windows of every face track of a clip, in chunks whose `part` is the track's number.

    `sound_stream`: see `open_clip`. Raises ClipError under the conditions of `read_windows`, and ClipError `no_face` or
    `no_track`.
    """
    clip = open_clip(files, fps_policy, facts, sound_stream)
    scene, report = look_at(clip, tracking, facts)
    sound = SoundReader(clip, report, facts.watcher)
    yield from windows_of_faces(clip.frames(read_frames(clip.picture, clip.rate)), sound, scene, facts)
    facts.samples, facts.conversion_ms = sound.read_to_end(), conversion_of(report)
    facts.warnings += warnings_of(clip, facts, report, sound.peak, protocol, fps_policy)
    refuse_too_short(files.path, facts)


class Heard(Protocol):
    """The interface of a clip's sound, which is read in order."""

    def read_until(self, samples: int) -> Sound:
        """Return the samples from the end of the last call up to number `samples`, fewer if the sound ends."""


class HeldSound:
    """Sound in memory, int16, 16 kHz, with the interface of `Heard`."""

    def __init__(self, samples: Sound) -> None:
        self._samples, self._given = samples, 0

    def read_until(self, samples: int) -> Sound:
        """Return the next samples, as `Heard.read_until` does."""
        given, self._given = self._samples[self._given : samples], max(self._given, samples)
        return given


def windows_of_faces(frames: Iterable[Frame], sound: Heard, scene: Scene, facts: ClipFacts) -> Iterator[Chunk]:
    """Yield the windows of every face track of a scene, in chunks whose `part` is the track's number.

    `frames`: all frames of the clip, in order, BGR. `facts.parts` gets the frames and samples of each track. Raises
    StoppedError if the result is no longer wanted.
    """
    paths = [crop_path(track) for track in scene.tracks.kept]
    facts.parts = [(0, 0)] * len(paths)
    faces: dict[int, WindowAssembler] = {}  # by track number, for the tracks that contain the current frame
    last = max(path.stop for path in paths)
    for number, frame in enumerate(islice(frames, last)):
        heard = sound.read_until((number + 1) * SAMPLES_PER_FRAME)
        for part, crops in enumerate(paths):
            if not crops.first <= number < crops.stop:
                continue
            if number == crops.first:
                faces[part] = WindowAssembler(part, facts.motion)
            windows = faces[part]
            windows.push_sound(heard)
            windows.push_frame(_crop(frame, crops, number))
            ended = number + 1 == crops.stop
            if windows.room and not ended:
                continue
            while (chunk := windows.take()) is not None:
                yield chunk
            if ended:
                facts.parts[part] = (windows.frames, windows.samples)
                del faces[part]
        _tell(facts, "scoring faces", number, scene.frames)


def look_at(clip: OpenClip, tracking: Tracking, facts: ClipFacts) -> tuple[Scene, DecodeReport]:
    """Return the shots and face tracks of a clip, and what happened while decoding.

    Frames are numbered from the start of the clip's part. Raises ClipError `unreadable`, `no_face` or `no_track`.
    """
    path, report = clip.files.path, DecodeReport()
    expected = round((facts.seconds or 0) * float(clip.rate))
    try:
        scene = find_tracks(
            path,
            clip.frames(read_frames(clip.picture, clip.rate, report), facts.watcher),
            tracking,
            lambda number: _tell(facts, "finding faces", number, expected),
            clip.part.first,
        )
    except ClipError:
        raise
    except LseBenchError as error:  # the detector cannot process these frames
        raise ClipError(path, "no_face", str(error)) from None
    keep_scene(path, facts, scene)
    return scene, report


def read_legacy(
    files: ClipFiles,
    protocol: protocols.Protocol,
    tracking: Tracking,
    ffmpeg: Ffmpeg,
    facts: ClipFacts,
    sound_stream: str | None = None,
) -> Iterator[Chunk]:
    """Yield the windows of every face track, after every file of the published pipeline.

    Frames are numbered like the pipeline's JPEG files, which often contain the first frame twice. Raises ClipError
    under the conditions of `read_tracked`.
    """
    opened = open_clip(files, "resample", facts, sound_stream)
    facts.conversion_ms = None  # the ffmpeg program converts, and does not say by how much
    path, report = files.path, DecodeReport()
    with tempfile.TemporaryDirectory(prefix="lse-bench-") as name:
        folder = Path(name)
        facts.on_step("converting as published")
        made = convert(ffmpeg, _sources(opened), folder)
        shots = ShotDetector()
        for frame in read_frames(probe(made.video)):
            shots.push(frame)
        facts.on_step("finding faces")
        try:
            pictures = map(read_picture, made.pictures)
            found = list(tracking.detector.faces(path, pictures, tracking.stride, opened.part.first))
        except ClipError:
            raise
        except LseBenchError as error:  # the detector cannot process these frames
            raise ClipError(path, "no_face", str(error)) from None
        scene = scene_of([faces or [] for faces in found], shots.shots(), tracking)
        keep_scene(path, facts, scene)
        for part, track in enumerate(scene.tracks.kept):
            facts.on_step(f"face {part + 1} of {len(scene.tracks.kept)}")
            crop = folder / f"{part:05d}.avi"
            write_crop(ffmpeg, path, crops_of(made.pictures, track), made.sound, track.first, track.stop, crop)
            crops, sound = dump_crop(ffmpeg, path, crop, folder / f"{part:05d}")
            samples = read_wav(sound)
            facts.parts.append((len(crops), len(samples)))
            yield from windows_of_pictures(map(read_picture, crops), samples, part, facts.motion)
        samples = read_wav(made.sound)
        facts.samples, peak = len(samples), int(np.abs(samples.astype(np.int32)).max(initial=0))
    facts.warnings += warnings_of(opened, facts, report, peak, protocol, "resample")
    refuse_too_short(path, facts)


def _sources(clip: OpenClip) -> Sources:
    """Return what the pipeline converts. It chooses the sound itself unless one was asked for."""
    assert clip.picture.video is not None and clip.sound is not None and clip.sound.sound is not None
    whole = clip.files.whole
    return Sources(
        clip.files.path,
        clip.files.heard if clip.files.sound is not None or clip.asked else None,
        clip.picture.video.index,
        clip.sound.sound.index,
        None if whole else float(clip.part.first / clip.rate),
        None if whole or clip.part.stop is None else float(clip.part.stop / clip.rate),
    )


def crops_of(pictures: list[Path], track: Track) -> Iterator[Frame]:
    """Yield the crops of a track, 224x224, BGR. `pictures`: one picture file for each frame of the clip."""
    path = crop_path(track)
    for number in range(track.first, min(track.stop, len(pictures))):
        yield _crop(read_picture(pictures[number]), path, number)


def windows_of_pictures(
    pictures: Iterable[Frame], samples: Sound, part: int = 0, motion: Motion | None = None
) -> Iterator[Chunk]:
    """Yield the windows of a whole clip in memory, in chunks.

    `pictures`: BGR frames of one face. `samples`: int16, 16 kHz, from the first frame on. `part`: the number of the
    face track. `motion`: the check that gets the frames, None for no check.
    """
    windows = WindowAssembler(part, motion)
    windows.push_sound(np.asarray(samples, dtype=np.int16))
    for picture in pictures:
        windows.push_frame(picture)
        if not windows.room and (chunk := windows.take()) is not None:
            yield chunk
    while (chunk := windows.take()) is not None:
        yield chunk


def _crop(frame: Frame, path: CropPath, number: int) -> Frame:
    at = number - path.first
    return crop_face(frame, float(path.x[at]), float(path.y[at]), float(path.half[at]))


def keep_scene(path: Path, facts: ClipFacts, scene: Scene) -> None:
    """Store the shots and tracks in `facts`. Raises ClipError `no_face` or `no_track` if nothing can be scored."""
    facts.scene, facts.frames = scene, scene.frames
    if not scene.faces:
        raise ClipError(path, "no_face", f"no face in any of its {scene.frames} frames")
    if not scene.tracks.kept:
        raise ClipError(path, "no_track", scene.why_no_track)


def refuse_too_short(path: Path, facts: ClipFacts) -> None:
    """Raise ClipError `too_short` if no track has a window."""
    if not any(windows_of(*part) for part in facts.parts):
        raise ClipError(path, "too_short", f"no track has a window: {why_too_short(*max(facts.parts))}")


def _tell(facts: ClipFacts, what: str, number: int, of: int) -> None:
    if facts.stopped():
        raise StoppedError
    if number % _TOLD_EVERY == 0:
        facts.on_step(f"{what}, {number / 25:.0f} of {of / 25:.0f} s")
