"""Accept or reject the clips of a run by conditions on their records.

A condition is `FIELD OPERATOR VALUE` or `abs(FIELD) OPERATOR VALUE`. It is parsed, and never evaluated as code. A value
that is missing or unknown passes no condition.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError, no_such
from lse_bench.runs.schema import Record
from lse_bench.sync.distance import LseScore
from lse_bench.sync.offsets import Grade, TrendKind

NUMBERS = (
    *("lse_d", "lse_c", "offset", "offset_ms", "offset_margin", "lse_d_at_0"),
    *("lse_d_valid", "lse_c_valid", "offset_valid", "windows", "frames", "fps", "seconds", "sound_seconds"),
    *("search_offset_ms", "ms_per_minute", "warnings"),
)
TEXTS: Mapping[str, tuple[str, ...]] = MappingProxyType({"offset_grade": get_args(Grade), "trend": get_args(TrendKind)})
FIELDS = (*NUMBERS, *TEXTS)
_LONGEST = 200  # characters of a condition
_WRITTEN = re.compile(
    r"\s*(?:abs\(\s*(?P<inside>\w+)\s*\)|(?P<plain>\w+))\s*(?P<operator><=|>=|==|!=|<|>)\s*(?P<value>\S(?:.*\S)?)\s*"
)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt}
)
_UNKNOWN = ("unknown", "not calibrated")  # texts that pass no condition
Values = NDArray[np.float64]
_FEWEST = 20  # clips that a suggestion needs
_SHARE = 0.95  # of the clips that a suggested threshold keeps or drops


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a record.

    `text`: as it was written. `field`: the name of the field. `magnitude`: whether its sign does not count. `operator`:
    one of `<=`, `>=`, `==`, `!=`, `<`, `>`. `value`: a finite number, or a text for fields of text.
    """

    text: str
    field: str
    magnitude: bool
    operator: str
    value: float | str

    def reason(self, record: Record | LseScore) -> str | None:
        """Return why a scored record or a score fails the condition, None if it passes."""
        found = value_of(record, self.field)
        if found is None or found in _UNKNOWN:
            return f"{self.field} is {found or 'not known'}; {self.text} is required"
        if isinstance(self.value, str):
            passes = (found == self.value) == (self.operator == "==")
        else:
            assert not isinstance(found, str)
            passes = _COMPARE[self.operator](abs(found) if self.magnitude else found, self.value)
        shown = found if isinstance(found, str) else f"{found:.6g}"
        return None if passes else f"{self.field} is {shown}; {self.text} is required"


def parse(text: str, measures: Collection[str] = ()) -> Condition:
    """Return a condition. `measures`: names of the run's further measures, which are fields too.

    Raises UsageError if it is not written as one, with the nearest name of a misspelt field.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"--require {text[:40]}…: {len(text):,} characters; a condition has at most {_LONGEST}")
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise UsageError(
            f"--require {text!r}: a condition is written FIELD OPERATOR VALUE, such as lse_c >= 3 or "
            f"abs(offset_ms) <= 80; operators: {', '.join(_COMPARE)}"
        )
    field, sign, given = written["inside"] or written["plain"], written["operator"], written["value"]
    if field not in (*FIELDS, *measures):
        raise UsageError(f"--require {text!r}: {no_such('field', field, (*FIELDS, *measures))}")
    if field in TEXTS:
        if written["inside"] or sign not in ("==", "!="):
            raise UsageError(f"--require {text!r}: {field} is a text; compare it with == or !=")
        word = given.strip("'\"")
        if word not in TEXTS[field]:
            raise UsageError(f"--require {text!r}: {no_such(f'value of {field}', word, TEXTS[field])}")
        return Condition(text.strip(), field, False, sign, word)
    return Condition(text.strip(), field, written["inside"] is not None, sign, _number(text, given))


def _number(text: str, given: str) -> float:
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", given, re.ASCII):
        raise UsageError(f"--require {text!r}: {given[:40]!r} is no number")
    value = float(given)
    if not math.isfinite(value):
        raise UsageError(f"--require {text!r}: {given[:40]} is too large")
    return value


def value_of(record: Record | LseScore, field: str) -> float | str | None:
    """Return the value of a field, None if it is not known."""
    if field == "warnings":
        return float(len(record.warnings))
    if field == "search_offset_ms":
        return None if record.search is None else record.search.offset_ms
    if field in ("trend", "ms_per_minute"):
        return None if record.timeline is None else getattr(record.timeline, field)
    if field not in FIELDS:
        return record.measures.get(field) if isinstance(record, Record) else None
    found = getattr(record, field)
    return found if found is None or isinstance(found, str) else float(found)


def reasons(records: Sequence[Record], conditions: Sequence[Condition]) -> dict[str, str | None]:
    """Return for the id of each record the first reason to reject it, None for an accepted one."""
    return {record.id: next(_reasons(record, conditions), None) for record in records}


def _reasons(record: Record, conditions: Sequence[Condition]) -> Iterator[str]:
    if record.status != "ok":
        yield f"{record.status}: {record.reason}"
        return
    yield from (told for condition in conditions if (told := condition.reason(record)) is not None)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A threshold that follows from runs.

    `text`: the condition. `keeps`: share (0-1) of the run, or of `real`, that passes. `drops`: share of `unsynced` that
    fails, None without such a run.
    """

    text: str
    keeps: float
    drops: float | None


def suggest(
    run: Sequence[Record], real: Sequence[Record] | None = None, unsynced: Sequence[Record] | None = None
) -> list[Suggestion]:
    """Return thresholds for LSE-C, LSE-D and the margin.

    Without anchors, a threshold keeps 95 % of the run. With the anchors there is one that keeps 95 % of `real`, and one
    that drops 95 % of `unsynced`. Raises UsageError if a run has no scored clip.
    """
    found = []
    for field, rising in (("lse_c", True), ("offset_margin", True), ("lse_d", False)):
        kept, dropped = _values(real if real is not None else run, field), _values(unsynced or [], field)
        if len(kept) < _FEWEST or (unsynced is not None and len(dropped) < _FEWEST):
            raise UsageError(
                f"{min(len(kept), len(dropped) or len(kept))} scored clips have {field}; a suggestion needs {_FEWEST}"
            )
        # The value of a clip, rounded to the side on which the share is kept or dropped.
        kept_at = np.quantile(kept, 1 - _SHARE if rising else _SHARE, method="lower" if rising else "higher")
        found.append(_suggestion(field, rising, _rounded(kept_at, up=not rising), kept, dropped))
        if len(dropped):
            dropped_at = np.quantile(dropped, _SHARE if rising else 1 - _SHARE, method="higher" if rising else "lower")
            found.append(_suggestion(field, rising, _rounded(dropped_at, up=rising), kept, dropped))
    return found


def _rounded(value: float, up: bool) -> float:
    """Return a value with three digits after the point, rounded up or down."""
    return float((math.ceil if up else math.floor)(float(value) * 1000) / 1000)


def _suggestion(field: str, rising: bool, threshold: float, kept: Values, dropped: Values) -> Suggestion:
    text = f"{field} {'>=' if rising else '<='} {threshold:g}"
    kept_share = float(np.mean(kept >= threshold if rising else kept <= threshold))
    if not len(dropped):
        return Suggestion(text, kept_share, None)
    return Suggestion(text, kept_share, 1 - float(np.mean(dropped >= threshold if rising else dropped <= threshold)))


def _values(records: Sequence[Record], field: str) -> Values:
    found = [value_of(record, field) for record in records if record.status == "ok"]
    return np.array([value for value in found if isinstance(value, float)])
