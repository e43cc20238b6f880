"""Run all jobs of one source video through a face generator.

The jobs advance frame by frame together, so that the source is decoded only once. The new faces are pasted back and the
frames are encoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from lse_bench.errors import ClipError
from lse_bench.generators.boxes import Located
from lse_bench.generators.call import Call
from lse_bench.generators.interface import FaceCrop, FaceGenerator, sound_of
from lse_bench.generators.paste import cut, paste
from lse_bench.generators.shared_source import Source, in_step
from lse_bench.generators.video_jobs import failure, made
from lse_bench.manifests.generated import Row, video_path
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.media.audio import Sound
from lse_bench.media.writer import ClipWriter
from lse_bench.rates import FPS, SAMPLE_RATE
from lse_bench.remote.addresses import joined

SHORT_SOURCE = "short source"

OnRow = Callable[[Row], None]


class FaceJobs:
    """The jobs of one source video for a face generator, run in step.

    `pairs`: jobs that share their source video. `finish`: called with the row of each finished job.
    """

    def __init__(self, call: Call, pairs: Sequence[Pair], finish: OnRow) -> None:
        assert isinstance(call.generator, FaceGenerator) and call.locating is not None
        self._call, self._generator, self._locating = call, call.generator, call.locating
        self._pairs, self._finish = pairs, finish
        self._rows: dict[int, Row] = {}

    def run(self) -> int:
        """Finish every job and return how many times the source was decoded."""
        path = joined(self._call.root, self._pairs[0].video)
        try:
            source = Source(path, self._locating, self._call.policies.short, len(self._pairs))
        except ClipError as error:
            for pair in self._pairs:
                self._finish(failure(pair.id, error, self._call.out))
            return 0
        in_step(
            [self._work(source, number, pair) for number, pair in enumerate(self._pairs)],
            lambda number: self._finish(self._rows[number]),
        )
        return source.decodes

    def _work(self, source: Source, number: int, pair: Pair) -> Iterator[None]:
        try:
            yield from self._draw(source, number, pair)
        except Exception as error:  # noqa: BLE001 - a third party's generator can raise anything
            video_path(self._call.out, pair.id).unlink(missing_ok=True)
            self._rows[number] = failure(pair.id, error, self._call.out)
        finally:
            source.drop(number)

    def _draw(self, source: Source, number: int, pair: Pair) -> Iterator[None]:
        policies, warnings = self._call.policies, list[str]()
        sound = _readable_sound(joined(self._call.root, pair.sound))
        heard = sound
        if policies.nan_sound == "noise":
            heard, changed = _with_noise(sound, self._call.seed)
            if changed:
                warnings.append(f"{changed} silent samples were replaced by noise of one bit")
        needed = self._generator.frames_for(len(heard))
        if needed < 1:
            raise ClipError(
                pair.sound, "too_short", f"a sound of {len(sound) / SAMPLE_RATE:.2f} s is too short for one frame"
            )
        if policies.short == "skip" and source.expected + policies.spare < needed:
            raise _short(source.path, source.expected, needed)
        held: deque[Located] = deque()

        passed, ended = 0, False

        def faces() -> Iterator[FaceCrop]:
            nonlocal ended
            read = 0
            for located in islice(source.read(number), needed):
                held.append(located)
                read += 1
                yield cut(located, self._generator.margin)
            ended = read + policies.spare < needed  # the source ended before the required number of frames

        target = video_path(self._call.out, pair.id)
        with ClipWriter(target, sound, FPS) as writer:
            for answer in self._generator.generate(faces(), heard, self._call.seed):
                located = held.popleft()
                passed += not located.seen
                writer.push(paste(located.frame, answer, policies.paste) if located.seen else located.frame)
                yield
            if not writer.frames:
                raise ClipError(target, "empty_output", "the generator made no frame")
            if passed == writer.frames:
                raise ClipError(
                    source.path,
                    "no_face",
                    f"no face in any of its {writer.frames} frames, so nothing would be redrawn. If the video shows a "
                    "face, try another --detector",
                )
            if ended:
                raise _short(source.path, writer.frames, needed)
        if passed:
            warnings.append(f"{passed} of {writer.frames} frames have no face and were kept unchanged")
        if writer.frames + policies.spare < needed:
            warnings.append(f"{writer.frames} frames were made, but the sound needs {needed}")
        if policies.short != "skip" and needed > source.expected:
            warnings.append(f"{policies.short}: the source has {source.expected} frames, but the sound needs {needed}")
        self._rows[number] = made(pair.id, target, sound, source.path, warnings)


def _readable_sound(path: Path) -> Sound:
    try:
        return sound_of(path)
    except ClipError as error:
        raise ClipError(path, error.status, f"the sound {path.name}: {error.reason}") from None


def _with_noise(sound: Sound, seed: int) -> tuple[Sound, int]:
    """Return the sound with its zero samples replaced by -1 or 1 at random, and the number of these samples."""
    silent = np.flatnonzero(sound == 0)
    noise = np.random.Generator(np.random.PCG64(seed)).choice(np.array([-1, 1], np.int16), len(silent))
    changed = sound.copy()
    changed[silent] = noise
    return changed, len(silent)


def _short(path: Path, frames: int, needed: int) -> ClipError:
    return ClipError(
        path,
        "generator_failed",
        f"{SHORT_SOURCE}: {path.name} has {frames} frames, but the sound needs {needed}. Use --short loop or ping-pong "
        "to repeat the source",
    )
