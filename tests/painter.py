"""A generator that paints, and what runs it on a few pairs of clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lse_bench.faces.detectors import FaceDetector
from lse_bench.faces.face import Face
from lse_bench.generators.batches import batches
from lse_bench.generators.boxes import Locating
from lse_bench.generators.call import Call, Policies, jobs_for
from lse_bench.generators.interface import FaceCrop, FaceGenerator, Generator
from lse_bench.manifests.generated import Row, read_rows
from lse_bench.manifests.manifest import Manifest, job_of
from lse_bench.media.audio import Sound

FACE = FaceDetector("fixed", "fixed", "0" * 64, lambda seen: [[Face(np.array([20.0, 30, 80, 90]), 1.0)] for _ in seen])


class Painter(FaceGenerator):
    """Paints the box by the loudness of each frame's sound; reads 8 faces ahead as the networks do."""

    name = "painter"
    smoothing = "none"

    def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
        number = 0
        for batch in batches(faces):
            for crop in batch:
                level = np.abs(sound[number * 640 : (number + 1) * 640].astype(float)).mean() / 40
                yield FaceCrop(np.full((4, 4, 3), min(255, level), np.uint8), crop.box)
                number += 1


def manifest(*pairs: tuple[str, str]) -> Manifest:
    jobs = [job_of(video, sound, f"{video}.mp4", f"{sound}.mp4") for video, sound in pairs]
    return Manifest(name="test", corpus="folder", jobs=tuple(jobs))


def call(
    generator: Generator, jobs: Manifest, root: Path, out: Path, detector: FaceDetector = FACE, **how: object
) -> Call:
    faceless = how.pop("faceless", "skip-clip")
    locating = None
    if isinstance(generator, FaceGenerator):
        locating = Locating(detector, smoothing=generator.smoothing, faceless=faceless)  # type: ignore[arg-type]
    policies = Policies(**how)  # type: ignore[arg-type]
    return Call(generator, jobs_for(generator, jobs), root, out, locating, policies)


def rows_of(out: Path) -> dict[str, Row]:
    return {row.id: row for row in read_rows(out)}
