"""The phonemes of a clip with their times, from a file beside other files of its name.

Four formats are read: `.npz` of MiniLRS (`phonemes`, `phoneme_times`), `.lab` (one line `start end name` for each
phoneme, in seconds, or in HTK's 100 ns), Praat's `.TextGrid` (the first interval tier whose name holds `phon`, else the
last one), and `.json` (a list of `{"name": "p", "start": 0.1, "end": 0.2}`).
"""

from __future__ import annotations

import json
import math
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.measures.interface import NoValueError, Phoneme
from lse_bench.naming import whole
from lse_bench.storage import read_arrays, read_bytes

_HTK = 1e7  # HTK's units in a second
_SILENCES = {"", "sil", "sp", "spn", "pau", "_", "#", "h#"}
_STRESS = re.compile("[ˈˌː0-9]")
_LIPS_CLOSE = {"p", "b", "m"}
_OPEN = {"a", "ɑ", "æ", "ɒ", "aɪ", "aʊ", "ɑɹ", "aa", "ae", "aw", "ay"}  # IPA, then ARPABET in lower case


def phonemes_of(clip: Path, folder: Path) -> list[Phoneme]:
    """Return the phonemes of a clip from its file in `folder`, in order, pauses left out.

    The file is `FOLDER/NAME` or `NAME` with one of the suffixes, where NAME is the clip's name without suffix and
    FOLDER the name of the clip's folder. Raises NoValueError, with a reason, if there is none or if it is damaged.
    """
    place = whole(clip)
    for name in (f"{place.parent.name}/{place.stem}", place.stem):
        for suffix, read in _READERS.items():
            path = folder / f"{name}{suffix}"
            if not path.is_file():
                continue
            try:
                found = [Phoneme(str(name).strip(), float(start), float(end)) for name, start, end in read(path)]
            except (
                UsageError,
                ValueError,
                KeyError,
                TypeError,
                zipfile.BadZipFile,
                zlib.error,
                RecursionError,
            ) as error:
                raise NoValueError(f"{path} holds no phonemes that can be read: {error}") from None
            if any(not (math.isfinite(one.end) and 0 <= one.start <= one.end) for one in found):
                raise NoValueError(f"{path}: a phoneme must end after its start")
            return sorted((one for one in found if one.name.lower() not in _SILENCES), key=lambda one: one.start)
    raise NoValueError(f"no phonemes for it in {folder} (searched for {place.stem} with {', '.join(_READERS)})")


def lips_close(name: str) -> bool:
    """Return whether the lips close for this phoneme: p, b and m, in IPA or ARPABET."""
    return _STRESS.sub("", name).lower() in _LIPS_CLOSE


def is_open(name: str) -> bool:
    """Return whether this is an open vowel, in IPA (a, ɑ, æ, ɒ) or ARPABET (AA, AE, AW, AY)."""
    return _STRESS.sub("", name).lower() in _OPEN


def _from_npz(path: Path) -> list[tuple[Any, Any, Any]]:
    held = read_arrays(path, "Make it again")
    return [(name, *times) for name, times in zip(held["phonemes"], held["phoneme_times"], strict=True)]


def _from_json(path: Path) -> list[tuple[Any, Any, Any]]:
    return [(one["name"], one["start"], one["end"]) for one in json.loads(_text(path))]


def _from_lab(path: Path) -> list[tuple[Any, Any, Any]]:
    rows = [line.split(maxsplit=2) for line in _text(path).splitlines() if line.strip() and not line.startswith("#")]
    if any(len(row) < 2 for row in rows):
        raise ValueError("a line needs start, end and name")
    times = [(float(row[0]), float(row[1])) for row in rows]
    in_htk = (
        all(row[0].isdigit() and row[1].isdigit() for row in rows) and max((end for _, end in times), default=0) > 1e4
    )
    unit = _HTK if in_htk else 1.0
    return [
        (row[2] if len(row) > 2 else "", start / unit, end / unit)
        for row, (start, end) in zip(rows, times, strict=True)
    ]


_TIER = re.compile(r'class = "IntervalTier"\s*name = "([^"]*)"')
_INTERVAL = re.compile(r'xmin = ([-\d.eE]+)\s*xmax = ([-\d.eE]+)\s*text = "((?:[^"]|"")*)"')


def _from_textgrid(path: Path) -> list[tuple[Any, Any, Any]]:
    text = _text(path)
    tiers = list(_TIER.finditer(text))
    if not tiers:
        raise ValueError("it has no interval tier in Praat's long text format")
    chosen = next((number for number, tier in enumerate(tiers) if "phon" in tier[1].lower()), len(tiers) - 1)
    end = tiers[chosen + 1].start() if chosen + 1 < len(tiers) else len(text)
    return [(name, start, stop) for start, stop, name in _INTERVAL.findall(text[tiers[chosen].end() : end])]


def _text(path: Path) -> str:
    content = read_bytes(path)
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


_READERS: dict[str, Callable[[Path], list[tuple[Any, Any, Any]]]] = {
    ".npz": _from_npz,
    ".TextGrid": _from_textgrid,
    ".lab": _from_lab,
    ".json": _from_json,
}
