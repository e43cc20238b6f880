"""The plan of a corpus: name, split, speaker and random stream of every clip, from the specification alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lse_bench.choices import Flavour, Part, Style, VoiceFamily
from lse_bench.errors import UsageError
from lse_bench.manifests.layouts import FLAVOURS, LRW_FRAMES, Split, clip_path
from lse_bench.minilrs.identity import Identity, draw_identity
from lse_bench.minilrs.speech import Voice, draw_voice
from lse_bench.minilrs.text import WORDS

VERSION = 1  # version of the corpus generator; another version gives other pixels for the same seed
_SHORTEST, _LONGEST = 50, 125  # frames of a clip without a fixed length
_VIDEO_ID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True)
class Spec:
    """The specification of a corpus.

    `clips`: the number of clips for each of `speakers`. `split`: one split for all clips, or `auto`, which puts a tenth
    of the speakers, at least one, into val and the same number into test. `style`: `plain` faces, `marked` faces (beard
    or glasses, in dark light), or `mixed`. `voices`: `american`, or `foreign` for other accents. `frames`: the length
    of every clip, 7 to 1500; None for the flavour's own lengths. Raises UsageError if a value is invalid.
    """

    flavour: Flavour = "lrs2"
    speakers: int = 10
    clips: int = 8
    seed: int = 0
    split: Part = "auto"
    style: Style = "mixed"
    voices: VoiceFamily = "american"
    frames: int | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("flavour", self.flavour, FLAVOURS),
            ("split", self.split, get_args(Part)),
            ("style", self.style, get_args(Style)),
            ("voices", self.voices, get_args(VoiceFamily)),
        ):
            if value not in allowed:
                raise UsageError(f"--{name} {value}: unknown; choose one of {', '.join(allowed)}")
        if self.speakers < 1 or self.clips < 1:
            raise UsageError(f"--speakers {self.speakers} --clips {self.clips}: both must be at least 1")
        if self.split == "auto" and self.speakers < 3:
            raise UsageError(
                f"--speakers {self.speakers}: train, val and test need different speakers; use 3 or more, or name one "
                "split with --split"
            )
        if self.frames is not None and not 7 <= self.frames <= 1500:
            raise UsageError(f"--frames {self.frames}: 7 to 1500 are allowed (6 frames have no window to score)")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more")

    def as_json(self) -> dict[str, Any]:
        """Return every field and the generator's version. They determine all pixels and samples."""
        return {"generator": VERSION} | asdict(self)

    def split_of(self, speaker: int) -> Split:
        """Return the split of a speaker. Speakers count from 0."""
        if self.split != "auto":
            return self.split
        held = max(1, self.speakers // 10)
        if speaker < self.speakers - 2 * held:
            return "train"
        return "val" if speaker < self.speakers - held else "test"


def spec_of_json(fields: Mapping[str, Any]) -> Spec:
    """Return the specification that `as_json` wrote. Raises UsageError if it is of another version of the generator."""
    made = fields.get("generator")
    if made != VERSION:
        raise UsageError(f"the corpus was made by version {made} of the generator, this is {VERSION}. Make it again")
    return Spec(**{name: value for name, value in fields.items() if name != "generator"})


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker: face, voice and the id of their video."""

    face: Identity
    voice: Voice
    video: str


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip to make. `path` is relative to the corpus. `word` is None except for the LRW flavour."""

    id: str
    path: Path
    split: Split
    speaker: int
    clip: int
    frames: int
    word: str | None


def stream(spec: Spec, *key: int) -> np.random.Generator:
    """Return the random stream of a speaker or clip, independent of all others.

    `key`: the number of the speaker, followed for a clip by the number of the clip.
    """
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=(VERSION, *key)))


def speaker_of(spec: Spec, number: int) -> Speaker:
    """Return the speaker with this number. The numbers count from 0."""
    rng = stream(spec, number)
    face = draw_identity(rng, spec.style)
    voice = draw_voice(rng, spec.voices, unseen=spec.split_of(number) != "train")
    if spec.flavour == "lrs3":
        video = "".join(_VIDEO_ID[i] for i in rng.integers(0, len(_VIDEO_ID), 11))
    else:
        video = str(rng.integers(5, 7)) + "".join(str(digit) for digit in rng.integers(0, 10, 18))
    return Speaker(face, voice, video)


def plan_clips(spec: Spec) -> list[ClipPlan]:
    """Return every clip of the corpus, speaker by speaker."""
    plans = []
    taken: Counter[tuple[str, str]] = Counter()
    for number in range(spec.speakers):
        split, video = spec.split_of(number), speaker_of(spec, number).video
        for clip in range(spec.clips):
            rng = stream(spec, number, clip)
            word = None
            if spec.flavour == "lrw":
                word = WORDS[rng.integers(len(WORDS))].upper()
                taken[word, split] += 1
                path = clip_path(spec.flavour, split, word, taken[word, split])
                name = path.stem
                frames = spec.frames or LRW_FRAMES
            else:
                path = clip_path(spec.flavour, split, video, clip + 1)
                name = f"{video}/{path.stem}"
                frames = spec.frames or int(rng.integers(_SHORTEST, _LONGEST + 1))
            plans.append(ClipPlan(name, path, split, number, clip, frames, word))
    return plans
