"""A generation as asked for: a generator, a manifest, a folder, and what is done where the published scripts fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lse_bench.choices import NanSound, Paste, Short
from lse_bench.generators.boxes import Locating
from lse_bench.generators.interface import FPS, Generator, Options, VideoGenerator
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.manifests.manifest import Manifest, checked
from lse_bench.media.writer import ENCODER
from lse_bench.naming import safe_id


@dataclass(frozen=True, slots=True)
class Policies:
    """What is done where the published scripts drop or fail.

    `spare`: frames by which a source may be shorter than the sound and not be called short; compressed sound is padded
    by up to two. `nan_sound`: `skip`, or `noise` of one bit in digital silence, whose logarithm some features take.
    """

    short: Short = "skip"
    spare: int = 2
    paste: Paste = "overwrite"
    nan_sound: NanSound = "skip"


@dataclass(frozen=True, slots=True)
class Call:
    """A generation as asked for.

    `weights_sha256`: of the generator's checkpoint; `options`: what it was made with; `package`: which brings it, with
    its version; `asked_sha256`: of the manifest that was asked for, where `jobs_for` made another of it; `command`: for
    the record.
    """

    generator: Generator
    manifest: Manifest
    root: Path
    out: Path
    locating: Locating | None
    policies: Policies
    weights_sha256: str | None = None
    options: Options = field(default_factory=Options)
    package: str = "lse-bench"
    seed: int = 0
    asked_sha256: str | None = None
    command: Sequence[str] = ()

    @property
    def key(self) -> dict[str, Any]:
        """Everything that moves a pixel; a folder goes on only with the same."""
        detector = None if self.locating is None else self.locating.detector
        found: dict[str, Any] = {
            "generator": self.generator.name,
            "package": self.package,
            "weights_sha256": self.weights_sha256,
            "settings": dict(self.options.settings),
            "legacy": self.options.legacy,
            "sound_offset": self.options.sound_offset,
            "description": self.generator.description(),
            "root": str(self.root.absolute()),
            "manifest_sha256": self.manifest.sha256,
            "seed": self.seed,
            "encoder": ENCODER,
            "fps": FPS,
        }
        if self.locating is not None and detector is not None:
            found |= {
                "detector": detector.id,
                "detector_sha256": detector.weights_sha256,
                "pads": list(self.locating.pads),
                "smoothing": self.locating.smoothing,
                "face": self.locating.choice,
                "faceless": self.locating.faceless,
                "short": self.policies.short,
                "spare": self.policies.spare,
                "paste": self.policies.paste,
                "nan_sound": self.policies.nan_sound,
            }
        return found


def jobs_for(generator: Generator, manifest: Manifest) -> Manifest:
    """The manifest as this generator has it: one row per distinct source video where the sound is not used."""
    if not (isinstance(generator, VideoGenerator) and generator.once_per_video):
        return manifest
    firsts = {job.video: job for job in reversed(manifest.jobs)}  # the first job of each source stands for it
    names = Counter(job.groups.get("video") for job in firsts.values())
    stems = Counter(Path(job.video).with_suffix("") for job in firsts.values())
    pairs = []
    for job in manifest.jobs:
        if firsts.get(job.video) is not job:
            continue
        name = job.groups.get("video")
        if name is None or names[name] > 1:  # a recording of which several clips are used
            stem = Path(job.video).with_suffix("")
            name = stem.as_posix() if stems[stem] == 1 else job.video  # x.mp4 and x.avi keep their suffixes
        groups = {key: value for key, value in job.groups.items() if key != "sound"}
        pairs.append(checked(Pair, id=safe_id(name), video=job.video, sound=job.video, groups=groups))
    return checked(Manifest, **manifest.model_dump(by_alias=True) | {"jobs": tuple(pairs), "sha256": ""})
