"""The measures that a card is about: which value of a record they are, and what they cannot see by definition."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lse_bench.damage.clips import ORACLE, Damage
from lse_bench.errors import UsageError, no_such
from lse_bench.measures.command import Command
from lse_bench.measures.interface import AnyMeasure, SetMeasure
from lse_bench.runs.schema import Record
from lse_bench.runs.summary import HIGHER_IS_BETTER, METRICS
from lse_bench.sync.curve import MAX_SHIFT

_HEARING = frozenset({"sound", "voice activity", "phonemes"})
_SEEING = frozenset({"frames", "landmarks"})
_BEST_OF = ("lse_d", "lse_c", "lse_d_valid", "lse_c_valid")
_WITHIN = f"{MAX_SHIFT * 0.04:g} s"


@dataclass(frozen=True, slots=True)
class Asked:
    """A measure of the card.

    `name`: as it was asked for, such as `abs(offset_ms)`. `field`: of the record. `magnitude`: whether its sign does
    not count. `higher_is_better`: None if neither end is. `further`: the measure; None for a field of SyncNet's score.
    """

    name: str
    field: str
    magnitude: bool
    higher_is_better: bool | None
    further: AnyMeasure | None = None

    def value(self, record: Record) -> float | None:
        """Return the value of a record; None without one."""
        found = record.value(self.field) if record.status == "ok" else None
        return abs(found) if found is not None and self.magnitude else found

    def blind_to(self, damage: Damage) -> str | None:
        """Return why a damage cannot move the measure by definition; None if it may."""
        if self.further is not None:
            return _blind(self.further, damage)
        far = damage.name.endswith("-far")
        if damage.delays and damage.name != "drift":
            if self.field in _BEST_OF and not far:
                return f"it takes the best of all delays within {_WITHIN}"
            if self.field.startswith("offset") and far:
                return f"it looks for delays within {_WITHIN} only"
        return None


def _blind(measure: AnyMeasure, damage: Damage) -> str | None:
    if isinstance(measure, Command):
        return None  # a program gets the file, and may look at anything in it
    if damage.touches == {"sound"} and not _HEARING & measure.needs:
        return "it does not hear the sound"
    if damage.touches == {"picture"} and not _SEEING & measure.needs:
        return "it does not see the picture"
    return None


def names_asked(text: str) -> list[str]:
    """Return the measures in an option such as `lse_d,abs(offset_ms),psnr`, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def further_of(names: Sequence[str], known: Collection[str]) -> list[str]:
    """Return the measures beside SyncNet's score that are asked for, without `abs(…)`.

    `known`: names of all measures. Raises UsageError if a name is neither one of these nor a field of a score.
    """
    found = [field for name in names if (field := _field_of(name)[0]) not in METRICS]
    for field in found:
        if field not in known:
            raise UsageError(f"--measures {field}: {no_such('measure', field, (*METRICS, *known))}")
    return found


def asked_of(names: Sequence[str], further: Mapping[str, AnyMeasure]) -> list[Asked]:
    """Return the measures of the card. `further`: the measures beside SyncNet's score, by name.

    Raises UsageError if a name is unknown or there is none.
    """
    if not names:
        raise UsageError("--measures names no measure")
    return [_asked(name, further) for name in names]


def _asked(name: str, further: Mapping[str, AnyMeasure]) -> Asked:
    field, magnitude = _field_of(name)
    known: Collection[str] = (*METRICS, *further)
    if field not in known:
        raise UsageError(f"--measures {name}: {no_such('measure', field, known)}")
    measure = further.get(field)
    if isinstance(measure, SetMeasure):
        raise UsageError(f"--measures {name}: it has one value for all clips, and a card is about values of clips")
    higher = HIGHER_IS_BETTER.get(field) if measure is None else measure.higher_is_better
    return Asked(name, field, magnitude, False if magnitude else higher, measure)


def _field_of(name: str) -> tuple[str, bool]:
    written = re.fullmatch(r"abs\(\s*(\w+)\s*\)", name)
    return (written[1], True) if written else (name, False)


def kinds() -> list[Damage]:
    """Return the kinds of damage of the oracle, in their order on the card."""
    return list(ORACLE.values())
