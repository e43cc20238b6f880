"""The demo's sets: the same clips, untouched, redrawn by a generator, or with one known defect.

`real` is untouched. `unsynced` has the picture with another speaker's sound. In `wav2lip` a generator has redrawn the
lips for that sound. In `delayed` the sound is 5 frames late. In `blurred` every frame is blurred. `frozen` repeats the
first frame, and its LSE-C is the floor.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from lse_bench.manifests.layouts import CorpusClip
from lse_bench.media.audio import Sound, read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.rates import SAMPLES_PER_FRAME
from lse_bench.storage import replacing

SETS = {
    "real": "untouched",
    "unsynced": "the picture with another speaker's sound",
    "wav2lip": "the lips redrawn for that sound by Wav2Lip in miniature",
    "delayed": "the sound 5 frames late",
    "blurred": "every frame blurred",
    "frozen": "the first frame throughout",
}
DELAY = 5  # frames
BLUR = 2.5  # sigma of the Gaussian, in pixels


def make_sets(clips: list[CorpusClip], out: Path, on_clip: Callable[[], None]) -> dict[str, Path]:
    """Write the clips of each set but `wav2lip` to a folder below `out`, and return all folders by the sets' names.

    A file that exists is kept. `on_clip`: a function that is called after each clip. At least two clips with different
    videos are needed.
    """
    folders = {name: out / name for name in SETS}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(clips):
        name, other = file_name(clip), mismatched(clips, number)
        makers: dict[str, Callable[[Path], object]] = {
            "real": lambda path, clip=clip: _copy(clip.path, path),  # type: ignore[misc]
            "unsynced": lambda path, clip=clip, other=other: replace_sound(  # type: ignore[misc]
                clip.path, _sound(other.path), path
            ),
            "delayed": lambda path, clip=clip: replace_sound(clip.path, _late(_sound(clip.path)), path),  # type: ignore[misc]
            "blurred": lambda path, clip=clip: _blur(clip.path, path),  # type: ignore[misc]
            "frozen": lambda path, clip=clip: _freeze(clip.path, path),  # type: ignore[misc]
        }
        for which, make in makers.items():
            if not (folders[which] / name).exists():
                make(folders[which] / name)
        on_clip()
    return folders


def file_name(clip: CorpusClip) -> str:
    """Return the name of a clip's file in every set."""
    return f"{clip.id.replace('/', '-')}.mp4"


def mismatched(clips: Sequence[CorpusClip], number: int) -> CorpusClip:
    """Return the next clip of another recording, whose sound is the mismatched audio of clip `number`."""
    rest = [*clips[number + 1 :], *clips[:number]]
    return next(other for other in rest if other.video != clips[number].video)


def _copy(source: Path, path: Path) -> None:
    with replacing(path) as partial:
        shutil.copyfile(source, partial)


def _sound(path: Path) -> Sound:
    return np.concatenate(list(read_sound(probe(path))))


def _late(sound: Sound) -> Sound:
    silence = DELAY * SAMPLES_PER_FRAME
    return np.concatenate([np.zeros(silence, np.int16), sound[:-silence]])


def _blur(source: Path, path: Path) -> None:
    frames = (cv2.GaussianBlur(frame, (0, 0), BLUR) for frame in read_frames(probe(source)))
    write_clip(path, frames, _sound(source))  # type: ignore[arg-type]


def _freeze(source: Path, path: Path) -> None:
    frames = list(read_frames(probe(source)))
    write_clip(path, [frames[0]] * len(frames), _sound(source))
