"""The jobs of one source through a generator that redraws faces, in step: decoded once, pasted back, encoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from lse_bench.errors import ClipError
from lse_bench.generators.boxes import Located
from lse_bench.generators.call import Call
from lse_bench.generators.interface import FPS, FaceCrop, FaceGenerator, sound_of
from lse_bench.generators.paste import cut, paste
from lse_bench.generators.shared_source import Source, in_step
from lse_bench.generators.video_jobs import failure, made
from lse_bench.manifests.generated import Row, video_path
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.media.audio import Sound
from lse_bench.media.writer import ClipWriter

SHORT_SOURCE = "short source"

OnRow = Callable[[Row], None]


class FaceJobs:
    """The jobs of one source through a face generator, in step."""

    def __init__(self, call: Call, pairs: Sequence[Pair], finish: OnRow) -> None:
        assert isinstance(call.generator, FaceGenerator) and call.locating is not None
        self._call, self._generator, self._locating = call, call.generator, call.locating
        self._pairs, self._finish = pairs, finish
        self._rows: dict[int, Row] = {}

    def run(self) -> int:
        """Finish every job; returns how often the source was decoded."""
        path = self._call.root / self._pairs[0].video
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
        sound = _readable_sound(self._call.root / pair.sound)
        heard = sound
        if policies.nan_sound == "noise":
            heard, changed = _with_noise(sound, self._call.seed)
            if changed:
                warnings.append(f"{changed} silent samples got noise of one bit")
        needed = self._generator.frames_for(len(heard))
        if needed < 1:
            raise ClipError(pair.sound, "too_short", f"a sound of {len(sound) / 16000:.2f} s gives no frame")
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
            ended = read + policies.spare < needed  # the source has no more, and more was asked for

        target = video_path(self._call.out, pair.id)
        with ClipWriter(target, sound, FPS) as writer:
            for answer in self._generator.generate(faces(), heard, self._call.seed):
                located = held.popleft()
                passed += not located.seen
                writer.push(paste(located.frame, answer, policies.paste) if located.seen else located.frame)
                yield
            if not writer.frames:
                raise ClipError(target, "empty_output", "the generator gave no frame")
            if passed == writer.frames:
                raise ClipError(
                    source.path,
                    "no_face",
                    f"no face in any of its {writer.frames} frames, so nothing would be redrawn. If there is one, try "
                    "another --detector",
                )
            if ended:
                raise _short(source.path, writer.frames, needed)
        if passed:
            warnings.append(f"{passed} of {writer.frames} frames have no face and were passed through")
        if writer.frames + policies.spare < needed:
            warnings.append(f"{writer.frames} frames were made, the sound asks for {needed}")
        if policies.short != "skip" and needed > source.expected:
            warnings.append(f"{policies.short}: the source has {source.expected} frames, the sound asks for {needed}")
        self._rows[number] = made(pair.id, target, sound, source.path, warnings)


def _readable_sound(path: Path) -> Sound:
    try:
        return sound_of(path)
    except ClipError as error:
        raise ClipError(path, error.status, f"the sound {path.name}: {error.reason}") from None


def _with_noise(sound: Sound, seed: int) -> tuple[Sound, int]:
    """One bit of noise where samples are zero."""
    silent = np.flatnonzero(sound == 0)
    noise = np.random.Generator(np.random.PCG64(seed)).choice(np.array([-1, 1], np.int16), len(silent))
    changed = sound.copy()
    changed[silent] = noise
    return changed, len(silent)


def _short(path: Path, frames: int, needed: int) -> ClipError:
    return ClipError(
        path,
        "generator_failed",
        f"{SHORT_SOURCE}: {path.name} has {frames} frames, the sound asks for {needed}. --short loop or ping-pong "
        "makes them go on",
    )
