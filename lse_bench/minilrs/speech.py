"""Speech with exact phoneme and word times, from espeak-ng.

Each utterance runs in a new process, so that a random seed always gives the same samples.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from lse_bench.choices import VoiceFamily
from lse_bench.errors import LseBenchError, UsageError
from lse_bench.media.audio import Sound
from lse_bench.rates import SAMPLE_RATE

_TIME_LIMIT = 60  # seconds; a sentence takes about 0.03
_SPEAKER_SCRIPT = Path(__file__).with_name("espeak.py")
# espeak-ng's voice variants that sound human. Speakers of the training split use the first list, speakers of val and
# test the second.
_TRAIN_VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "Alicia", "Andy", "Denis", "Jacky", "Mario", "Michael"),
    *("adam", "anika", "benjamin", "david", "ed", "john", "linda", "paul", "rob", "shelby", "travis"),
)
_UNSEEN_VARIANTS = (
    *("m7", "m8", "f4", "f5", "klatt2", "Andrea", "Hugo", "Marco", "Reed", "belinda", "caleb", "robert", "steph"),
    *("victor", "zac"),
)
_FOREIGN = ("en-gb-scotland", "en-029", "en-gb-x-rp", "de", "es")


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker's voice.

    `name`: espeak-ng's name. `rate`: words per minute. `pitch`, `range`: the pitch and its variation, 0-99.
    """

    name: str
    rate: int
    pitch: int
    range: int


@dataclass(frozen=True, slots=True)
class Timed:
    """A phoneme (IPA) or word with its `start` and `end`, in seconds from the start of the sound."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A spoken text. `sound`: 16 kHz mono int16. Phonemes follow each other without gaps; an empty name is a pause."""

    sound: Sound
    phonemes: tuple[Timed, ...]
    words: tuple[Timed, ...]


def draw_voice(rng: np.random.Generator, family: VoiceFamily, unseen: bool) -> Voice:
    """Draw a voice for one speaker. `unseen`: use only variants that no training speaker has."""
    variants = _UNSEEN_VARIANTS if unseen else _TRAIN_VARIANTS
    variant = variants[rng.integers(len(variants))]
    base = "en-us" if family == "american" else _FOREIGN[rng.integers(len(_FOREIGN))]
    return Voice(f"{base}+{variant}", int(rng.integers(140, 186)), int(rng.integers(25, 76)), int(rng.integers(30, 70)))


def speak(text: str, voice: Voice, seed: int) -> Utterance:
    """Return `text` as spoken by `voice`. Equal arguments give equal samples.

    Raises LseBenchError if espeak-ng fails, and UsageError if it is not installed.
    """
    library, data = _library()
    request = {
        "library": library,
        "data": data,
        "voice": voice.name,
        "text": text,
        "rate": voice.rate,
        "pitch": voice.pitch,
        "range": voice.range,
        "seed": seed,
    }
    try:
        answer = subprocess.run(  # noqa: S603 - our own script, no shell
            [sys.executable, "-I", "-S", str(_SPEAKER_SCRIPT)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=_TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LseBenchError(
            f"espeak-ng took more than {_TIME_LIMIT} s to speak {text!r}; the machine may be overloaded"
        ) from None
    if answer.returncode != 0 or b"\n" not in answer.stdout:
        detail = answer.stderr.decode(errors="replace").strip() or f"exit status {answer.returncode}"
        raise LseBenchError(f"espeak-ng could not speak {text!r} with the voice {voice.name}: {detail}")
    head, samples = answer.stdout.split(b"\n", 1)
    header = json.loads(head)
    rate = header["sample_rate"]
    wave = np.frombuffer(samples, dtype="<i2")
    seconds = len(wave) / rate
    phonemes = [(sample / rate, name) for sample, name in header["phonemes"]]
    return Utterance(
        _at_our_rate(wave, rate), _with_ends(phonemes, seconds), _words(header["words"], text, rate, seconds)
    )


def _at_our_rate(wave: np.ndarray, rate: int) -> Sound:
    from scipy.signal import resample_poly  # takes a quarter of a second to import

    divisor = int(np.gcd(rate, SAMPLE_RATE))
    resampled = resample_poly(wave.astype(np.float64), SAMPLE_RATE // divisor, rate // divisor)
    return np.clip(np.rint(resampled), -32768, 32767).astype(np.int16)


def _with_ends(starts: list[tuple[float, str]], seconds: float) -> tuple[Timed, ...]:
    ends = [start for start, _ in starts[1:]] + [seconds]
    return tuple(Timed(name, start, max(start, end)) for (start, name), end in zip(starts, ends, strict=True))


def _words(events: list[tuple[int, int]], text: str, rate: int, seconds: float) -> tuple[Timed, ...]:
    """Return words with their times. espeak-ng joins some short words ("of the"), which share its time equally."""
    words = []
    bounds = [*events, (round(seconds * rate), len(text))]
    for (sample, at), (next_sample, next_at) in pairwise(bounds):
        names = ["".join(c for c in part if c.isalnum() or c == "'") for part in text[at:next_at].split()]
        share = (next_sample - sample) / rate / max(1, len(names))
        start = sample / rate
        words += [Timed(name, start + i * share, start + (i + 1) * share) for i, name in enumerate(names)]
    return tuple(words)


@cache
def _library() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ImportError:
        raise UsageError(
            "MiniLRS needs espeak-ng, which is not installed: pip install 'lse-bench[minilrs]' (GPL-3.0, run as a "
            "separate program)"
        ) from None
    return str(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())
