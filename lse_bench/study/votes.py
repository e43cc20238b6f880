"""People's votes as CSV files: paired comparisons, or ratings of single clips.

A file of comparisons has the columns item, method_a, method_b, votes_a, votes_b, and may have votes_tie and rater. A
file of ratings has the columns item, method, rater, question and value. An item is a source: the pair of video and
sound that every method has redrawn. Capital letters do not matter, and a space stands for `_`. Rows are numbered as in
a spreadsheet: the names of the columns are row 1.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from lse_bench.errors import UsageError
from lse_bench.storage import read_text
from lse_bench.study.strengths import PairVotes

PAIR_COLUMNS = ("item", "method_a", "method_b", "votes_a", "votes_b")
PAIR_EXTRAS = ("votes_tie", "rater")
RATING_COLUMNS = ("item", "method", "rater", "question", "value")
_MOST_VOTES, _MOST_METHODS, _MOST_VALUE = 1_000_000, 100, 1_000_000
_WAY_OUT = f"Comparisons have the columns {', '.join(PAIR_COLUMNS)}, ratings {', '.join(RATING_COLUMNS)}"


class Comparison(NamedTuple):
    """Votes on two methods' clips of one item.

    `first`, `second`: the methods in alphabetical order, whatever their order in the file. `rater`: None if the votes
    of several raters were added up.
    """

    item: str
    first: str
    second: str
    for_first: int
    for_second: int
    ties: int
    rater: str | None


class Rating(NamedTuple):
    """A rater's answer to one question on one clip."""

    item: str
    method: str
    rater: str
    question: str
    value: float


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of a study: comparisons, ratings or both.

    `sha256`: the digest of the file or of the answers. `better`: by question, which end of the scale is better: `high`,
    `low` or `none`; `high` for questions that are not in it.
    """

    sha256: str
    comparisons: Sequence[Comparison] = ()
    ratings: Sequence[Rating] = ()
    better: Mapping[str, str] = field(default_factory=dict)

    def liked(self) -> list[tuple[str, str, float]]:
        """Return the item, the method and the value of each rating with a better end; a higher value is better."""
        sign = {"high": 1.0, "low": -1.0}
        return [
            (one.item, one.method, sign[end] * one.value)
            for one in self.ratings
            if (end := self.better.get(one.question, "high")) in sign
        ]

    @property
    def methods(self) -> list[str]:
        """The methods in order of their first vote."""
        compared = (name for one in self.comparisons for name in (one.first, one.second))
        return list(dict.fromkeys([*compared, *(one.method for one in self.ratings)]))

    @property
    def raters(self) -> int | None:
        """The number of raters; None if they are not known."""
        names = {one.rater for one in self.comparisons} | {one.rater for one in self.ratings}
        return None if None in names else len(names)

    @property
    def items(self) -> int:
        """The number of items."""
        return len({one.item for one in self.comparisons} | {one.item for one in self.ratings})

    def pair_votes(self) -> PairVotes:
        """Return the comparisons as arrays."""
        places = {name: place for place, name in enumerate(self.methods)}
        return PairVotes(
            self.methods,
            np.array([places[one.first] for one in self.comparisons], np.intp),
            np.array([places[one.second] for one in self.comparisons], np.intp),
            np.array([[one.for_first, one.for_second, one.ties] for one in self.comparisons], np.float64),
            [one.item for one in self.comparisons],
            None if self.raters is None else [str(one.rater) for one in self.comparisons],
        )


def read_votes(path: Path) -> Votes:
    """Read votes. Raises UsageError that names the row and the column if the file is ill-formed."""
    text = read_text(path)
    rows = _rows(path, text)
    head = [name.strip().lower().replace(" ", "_") for name in next(rows, (0, []))[1]]
    for name in head:
        if head.count(name) > 1:
            raise UsageError(f"{path}: row 1: two columns are called {name}. Remove or rename one of them")
    digest = hashlib.sha256(text.encode()).hexdigest()
    if set(PAIR_COLUMNS) <= set(head):
        comparisons = list(_table(path, head, rows, (*PAIR_COLUMNS, *PAIR_EXTRAS), _comparison))
        _refuse_double(path, [(one.item, one.first, one.second, one.rater or "") for one in comparisons])
        found = Votes(digest, comparisons=comparisons)
    elif set(RATING_COLUMNS) <= set(head):
        ratings = list(_table(path, head, rows, RATING_COLUMNS, _rating))
        _refuse_double(path, [one[:4] for one in ratings])
        found = Votes(digest, ratings=ratings)
    else:
        kind = PAIR_COLUMNS if any(name.startswith(("method_", "votes_")) for name in head) else RATING_COLUMNS
        missing = next(name for name in kind if name not in head)
        raise UsageError(f"{path}: row 1: there is no column {missing}. {_WAY_OUT}")
    if len(found.methods) < 2:
        raise UsageError(f"{path}: votes on {len(found.methods)} methods; at least two are needed. {_WAY_OUT}")
    if len(found.methods) > _MOST_METHODS:
        raise UsageError(
            f"{path}: votes on {len(found.methods)} methods; at most {_MOST_METHODS} are analysed. Does a column of "
            "methods hold names of clips?"
        )
    return found


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, with their numbers."""
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), 1):
            if any(cell.strip() for cell in row):
                yield number, row
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV file: {error}. Is a quote not closed?") from None


class _Row:
    """The cells of one row by column. Errors name the row and the column."""

    def __init__(self, path: Path, number: int, cells: dict[str, str]) -> None:
        self._path, self._number, self._cells = path, number, cells

    def wrong(self, column: str, told: str) -> UsageError:
        value = self._cells.get(column, "")
        return UsageError(f"{self._path}: row {self._number}, column {column}: {value[:80]!r} {told}")

    def text(self, column: str) -> str:
        if not self._cells.get(column):
            raise self.wrong(column, "is empty; a name is needed")
        return self._cells[column]

    def optional(self, column: str) -> str | None:
        return None if column not in self._cells else self.text(column)

    def votes(self, column: str) -> int:
        value = self._cells.get(column, "0")
        if not (value.isascii() and value.isdecimal()) or int(value) > _MOST_VOTES:
            raise self.wrong(column, f"is no number of votes: a whole number from 0 to {_MOST_VOTES:,} is needed")
        return int(value)

    def number(self, column: str) -> float:
        try:
            value = float(self._cells[column])
        except ValueError:
            value = math.nan
        if not abs(value) <= _MOST_VALUE:  # not a number is above every limit
            raise self.wrong(column, f"is no number between -{_MOST_VALUE:,} and {_MOST_VALUE:,}")
        return value


Kind = TypeVar("Kind", Comparison, Rating)


def _table(
    path: Path,
    head: Sequence[str],
    rows: Iterable[tuple[int, list[str]]],
    columns: Sequence[str],
    make: Callable[[_Row], Kind],
) -> Iterator[Kind]:
    for number, cells in rows:
        if len(cells) != len(head):
            raise UsageError(f"{path}: row {number}: {len(cells)} values, but there are {len(head)} columns")
        known = {name: cell.strip() for name, cell in zip(head, cells, strict=True) if name in columns}
        yield make(_Row(path, number, known))


def _comparison(row: _Row) -> Comparison:
    first, second = row.text("method_a"), row.text("method_b")
    if first == second:
        raise row.wrong("method_b", "is also method_a; two different methods are compared")
    counts = {first: row.votes("votes_a"), second: row.votes("votes_b")}
    ties = row.votes("votes_tie")
    if not any(counts.values()) and not ties:
        raise row.wrong("votes_a", "and the other columns of votes are 0; leave the row out")
    low, high = min(first, second), max(first, second)
    return Comparison(row.text("item"), low, high, counts[low], counts[high], ties, row.optional("rater"))


def _rating(row: _Row) -> Rating:
    return Rating(row.text("item"), row.text("method"), row.text("rater"), row.text("question"), row.number("value"))


def _refuse_double(path: Path, keys: Sequence[tuple[object, ...]]) -> None:
    seen: set[tuple[object, ...]] = set()
    for key in keys:
        if key in seen:
            raise UsageError(f"{path}: the vote {', '.join(filter(None, map(str, key)))} stands in two rows")
        seen.add(key)
