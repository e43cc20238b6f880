"""What a corpus will hold: every clip's name, split, speaker and random stream, from the specification alone."""

from __future__ import annotations

from collections import Counter
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

VERSION = 1  # of the generator: another version gives other pixels for the same seed
_SHORTEST, _LONGEST = 50, 125  # frames of a clip whose length is left open
_VIDEO_ID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True)
class Spec:
    """A corpus. `clips` for each of `speakers`; `frames`: length of every clip, None for the flavour's own.

    `split`: auto puts a tenth of the speakers, at least one, into val and into test each. `style`: plain faces, the
    marked ones (beard, glasses, dark light) or mixed. Raises UsageError for values that make no corpus.
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
                raise UsageError(f"--{name} {value}: there are {', '.join(allowed)}")
        if self.speakers < 1 or self.clips < 1:
            raise UsageError(f"{self.speakers} speakers with {self.clips} clips each: at least 1 of each is needed")
        if self.split == "auto" and self.speakers < 3:
            raise UsageError(
                f"{self.speakers} speakers cannot be parted into train, val and test without meeting; take 3 or more, "
                "or name one split with --split"
            )
        if self.frames is not None and not 7 <= self.frames <= 1500:
            raise UsageError(f"--frames {self.frames}: 7 to 1500 (6 frames have no window to score)")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: 0 or more")

    def as_json(self) -> dict[str, Any]:
        """Every field and the generator's version: all that pixels and samples follow from."""
        return {"generator": VERSION} | asdict(self)

    def split_of(self, speaker: int) -> Split:
        """Which split a speaker belongs to."""
        if self.split != "auto":
            return self.split
        held = max(1, self.speakers // 10)
        if speaker < self.speakers - 2 * held:
            return "train"
        return "val" if speaker < self.speakers - held else "test"


@dataclass(frozen=True, slots=True)
class Speaker:
    """Face, voice and the id of the video they speak in."""

    face: Identity
    voice: Voice
    video: str


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip to make. `path` is relative to the corpus; `word`: of the LRW flavour."""

    id: str
    path: Path
    split: Split
    speaker: int
    clip: int
    frames: int
    word: str | None


def stream(spec: Spec, *key: int) -> np.random.Generator:
    """The random stream of a speaker (key: its number) or a clip (speaker and clip); independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=(VERSION, *key)))


def speaker_of(spec: Spec, number: int) -> Speaker:
    """The speaker with this number."""
    rng = stream(spec, number)
    face = draw_identity(rng, spec.style)
    voice = draw_voice(rng, spec.voices, unseen=spec.split_of(number) != "train")
    if spec.flavour == "lrs3":
        video = "".join(_VIDEO_ID[i] for i in rng.integers(0, len(_VIDEO_ID), 11))
    else:
        video = str(rng.integers(5, 7)) + "".join(str(digit) for digit in rng.integers(0, 10, 18))
    return Speaker(face, voice, video)


def plan_clips(spec: Spec) -> list[ClipPlan]:
    """Every clip of the corpus, speaker by speaker."""
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
