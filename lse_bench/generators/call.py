"""The description of a requested generation: generator, manifest, folder and policies for difficult pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lse_bench.choices import NanSound, Paste, Short
from lse_bench.generators.boxes import Locating
from lse_bench.generators.interface import Generator, Options, VideoGenerator
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.manifests.manifest import Manifest, checked
from lse_bench.media.writer import ENCODER
from lse_bench.naming import safe_id, whole
from lse_bench.rates import FPS


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies for pairs that the published scripts drop or fail on.

    `short`: for a source that is shorter than the sound, `skip` fails the job, `loop` repeats the source, and
    `ping-pong` plays it backwards and forwards. `spare`: the source may have this many frames less than the sound needs
    without counting as short. Compressed sound is padded by up to two frames. `paste`: how a face is pasted back, as in
    `generators/paste.py`. `nan_sound`: `skip` leaves digital silence unchanged, and `noise` replaces it by noise of one
    bit. Some features take the logarithm of the sound, and silence then gives NaN.
    """

    short: Short = "skip"
    spare: int = 2
    paste: Paste = "overwrite"
    nan_sound: NanSound = "skip"


@dataclass(frozen=True, slots=True)
class Call:
    """A requested generation.

    `manifest`: the pairs, as `jobs_for` returns them. `root`: the folder of the source files. `out`: the folder of the
    videos. `locating`: settings for face boxes, or None for a generator that needs none. `weights_sha256`: digest of
    the generator's checkpoint, or None if it has none. `options`: the options of the generator. `package`: the package
    that provides the generator, with its version. `seed`: the random seed. `asked_sha256`: digest of the requested
    manifest if `jobs_for` changed it; None means the digest of `manifest`. `command`: the command line to record.
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
        """Everything that can change a pixel. A folder is continued only with the same key."""
        detector = None if self.locating is None else self.locating.detector
        found: dict[str, Any] = {
            "generator": self.generator.name,
            "package": self.package,
            "weights_sha256": self.weights_sha256,
            "settings": dict(self.options.settings),
            "legacy": self.options.legacy,
            "sound_offset": self.options.sound_offset,
            "description": self.generator.description(),
            "root": str(whole(self.root)),
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
    """Return the manifest for this generator.

    If the generator ignores the sound, the manifest has one job per distinct source video. Otherwise it is unchanged.
    """
    if not (isinstance(generator, VideoGenerator) and generator.once_per_video):
        return manifest
    firsts = {job.video: job for job in reversed(manifest.jobs)}  # the first job of each source represents it
    names = Counter(job.groups.get("video") for job in firsts.values())
    stems = Counter(Path(job.video).with_suffix("") for job in firsts.values())
    pairs = []
    for job in manifest.jobs:
        if firsts.get(job.video) is not job:
            continue
        name = job.groups.get("video")
        if name is None or names[name] > 1:  # several clips of one recording are used
            stem = Path(job.video).with_suffix("")
            name = stem.as_posix() if stems[stem] == 1 else job.video  # x.mp4 and x.avi keep their suffixes
        groups = {key: value for key, value in job.groups.items() if key != "sound"}
        pairs.append(checked(Pair, id=safe_id(name), video=job.video, sound=job.video, groups=groups))
    return checked(Manifest, **manifest.model_dump(by_alias=True) | {"jobs": tuple(pairs), "sha256": ""})
