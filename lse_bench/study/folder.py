"""The folder of a study, as `lse-bench study create` writes it.

`study.json` says what is shown to whom. It names the methods, so raters must not get it. `secret.json` holds the keys
of links and names. `clips/` holds what is shown, under names that say nothing. `answers.sqlite` holds the answers.
`form/` holds the same trials as plain files.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lse_bench.errors import UsageError
from lse_bench.storage import json_bytes, replacing
from lse_bench.stored import Stored, Surroundings, read_stored, write_stored
from lse_bench.study.plan import Step
from lse_bench.study.sheet import Sheet

SCHEMA = 1
STUDY_FILE, SECRET_FILE, CLIPS, ANSWERS_FILE, FORM = "study.json", "secret.json", "clips", "answers.sqlite", "form"
_WAY_OUT = "Create the study in a new folder"
Purpose = Literal["trial", "desync", "gold", "example", "sound"]


class StudyClip(BaseModel):
    """A clip that raters see."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    name: str
    """Its name, which says nothing; the file is clips/NAME.mp4."""
    purpose: Purpose
    """What it is for: trials and their pairs, a check with moved sound, a known answer, an example, or the beeps."""
    item: str | None = None
    """The id of the pair in the manifest; null for gold clips and beeps."""
    method: str
    """The method; `real`, `unsynced`, `desync`, the name of a gold clip, or the number of beeps."""
    sha256: str
    """SHA-256 digest of the file that is shown."""
    source_sha256: str | None = None
    """SHA-256 digest of the file that it was made from; null for beeps."""
    frames: int
    """Number of frames at 25 per second."""
    seconds: float
    """Length in seconds."""
    shift_seconds: float = 0.0
    """By how much the sound is moved; the end is heard at the start."""


class Gold(BaseModel):
    """The known answer to a question on a gold clip, with a tolerance in points."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    clip: str
    """The name of the clip."""
    question: str
    """The id of the question."""
    value: float
    """The known answer."""
    tolerance: float
    """By how many points an answer may differ."""


class Estimate(BaseModel):
    """How probably the study shows a difference of two methods, as it was shown when the study was made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["rating", "pairwise"]
    """Ratings or comparisons."""
    effect: float
    """The difference in points, or the share of votes for the better method."""
    power: float
    """The probability that the 95 % interval shows it."""
    assumed: dict[str, float]
    """What was assumed of raters and clips: standard deviations."""


class Study(Surroundings):
    """The content of study.json."""

    schema_version: int = SCHEMA
    """Version of this format."""
    kind: Literal["study"] = "study"
    """Kind of the file."""
    id: str
    """A random name of the study. Answers name it."""
    created: str
    """The time at which it was made, UTC, ISO 8601."""
    manifest_sha256: str
    """SHA-256 digest of the manifest's pairs."""
    corpus: str
    """The name of the corpus."""
    licence: str | None
    """The licence of the corpus; null if it is not known."""
    contact: str | None
    """Whom raters can ask."""
    methods: list[str]
    """The methods, anchors among them."""
    items: list[str]
    """The ids of the pairs that are shown."""
    trials: int
    """Number of trials of a rater, without checks."""
    raters: int
    """Number of raters that the plans are for."""
    seed: int
    """The seed of assignment and order."""
    invited: bool
    """Whether only invited people take part."""
    completion_code: str | None
    """The code that every rater gets at the end; null if each gets their own."""
    completion_url: str | None
    """Where raters of a platform go at the end; null if nowhere."""
    sheet: Sheet
    """What raters read and are asked."""
    estimates: list[Estimate]
    """How probably the study shows a difference."""
    clips: list[StudyClip]
    """Every clip."""
    gold: list[Gold] = []
    """Known answers to questions on gold clips."""
    plans: list[list[Step]]
    """The steps of each rater."""

    @cached_property
    def _named(self) -> dict[str, StudyClip]:
        return {clip.name: clip for clip in self.clips}

    def clip(self, name: str) -> StudyClip:
        """Return the clip with this name. Raises KeyError."""
        return self._named[name]


class Secret(Stored):
    """The content of secret.json."""

    key: str
    """The key of names, links and forms."""
    admin: str
    """The last part of the address of the page of progress."""

    def sign(self, *parts: str) -> str:
        """Return 32 hexadecimal digits that only the holder of the key can make of these parts."""
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self.key.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]

    def signed(self, given: str, *parts: str) -> bool:
        """Return whether `given` is what `sign` makes of these parts, in the same time for every wrong text."""
        return hmac.compare_digest(given.encode(), self.sign(*parts).encode())


def new_secret() -> Secret:
    """Return new keys."""
    return Secret(key=secrets.token_hex(32), admin=secrets.token_urlsafe(18))


def keep_secret(folder: Path) -> Secret:
    """Return the keys of a study, made if there are none. Only the owner can read the file."""
    path = folder / SECRET_FILE
    if not path.exists():
        with replacing(path) as partial:
            partial.touch(mode=0o600)
            partial.write_bytes(json_bytes(new_secret().model_dump()))
    return read_secret(folder)


def read_secret(folder: Path) -> Secret:
    """Return the keys of a study. Raises UsageError if there are none: new ones would give raters other codes."""
    path = folder / SECRET_FILE
    if not path.is_file():
        raise UsageError(f"{path}: the keys of links and completion codes are missing. Restore this file")
    return read_stored(path, Secret, _WAY_OUT)


def read_study(folder: Path) -> Study:
    """Read a study. Raises UsageError if the folder holds none, or a damaged one."""
    path = folder / STUDY_FILE
    if not path.is_file():
        raise UsageError(f"{folder}: no study: there is no {STUDY_FILE}. Make one with lse-bench study create")
    return read_stored(path, Study, _WAY_OUT)


def write_study(folder: Path, study: Study) -> None:
    """Write a study, which makes the folder complete."""
    write_stored(folder / STUDY_FILE, study)


def clip_path(folder: Path, name: str) -> Path:
    """Return the file of a clip."""
    return folder / CLIPS / f"{name}.mp4"
