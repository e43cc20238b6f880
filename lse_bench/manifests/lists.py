"""Read lists of clips or pairs: CSV, TSV, JSON, JSON lines and Parquet, with the same columns in each.

`id`: the id. `video`: a video file (in lists of clips also called `clip`, `path`, `file` or `filename`). `sound`: the
file that is heard. `start`, `end`: a part of both files, in seconds. `speaker` and `group_NAME`: what the row shares
with others; `group_video` and `group_sound` name the source video and the source sound. Other columns are passed over
and named, unless they look like a misspelt name.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lse_bench.errors import UsageError, no_such
from lse_bench.remote.addresses import suffix_of
from lse_bench.storage import local_file, parse_json, read_text

VIDEO = ("clip", "path", "file", "filename", "video")  # the names of the column of video files
COLUMNS = (*VIDEO, "sound", "start", "end", "id", "speaker")
_GROUP = re.compile(r"group_[a-z0-9][a-z0-9_]*")
# Bounds of a Parquet file, whose size on the disk says nothing about its size in memory.
_MOST_ROWS, _MOST_BYTES, _MOST_CHARACTERS = 20_000_000, 2_000_000_000, 10_000
_NEAR = 0.75  # similarity of an unknown column name to a known one (0-1) from which it counts as misspelt
_WAY_OUT = "Give a list of names, or of objects with `clip`"


class Table(NamedTuple):
    """The content of a list: the names of its columns, and in each row a value for every column, None if absent."""

    columns: list[str]
    rows: Iterable[Sequence[object]]


class ListRow(NamedTuple):
    """One row of a list.

    `number`: its number, counted from 1 without the head of the columns. `id`, `video`, `sound`: None if they are not
    given. `start`, `end`: seconds, None if they are not given. `groups`: by name, without the lead `group_`.
    """

    number: int
    id: str | None
    video: str | None
    sound: str | None
    start: float | None
    end: float | None
    groups: dict[str, str]


@dataclass(frozen=True, slots=True)
class ClipList:
    """The rows of a list, and how its columns were understood.

    `columns`: the name that each known column has in this module, by its name in the file. `passed`: the other columns.
    """

    rows: list[ListRow]
    columns: dict[str, str]
    passed: list[str]

    def column(self, name: str) -> str | None:
        """Return the name in the file of the column `name`, None if the file lacks it. `video` stands for its names."""
        names = VIDEO if name == "video" else (name,)
        return next((there for there, known in self.columns.items() if known in names), None)


def read_list(path: Path, renamed: Mapping[str, str] | None = None) -> ClipList:
    """Read a list. `renamed`: the column of the file that stands for a known column, by the name of the known one.

    Raises UsageError if the file is no list, is empty, or if a column or a value is not allowed; the message names the
    row, the column and the nearest right name.
    """
    suffix = suffix_of(path)
    if suffix not in READERS:
        raise UsageError(f"{path}: not a list; the name of a list ends in {', '.join(READERS)}")
    table = READERS[suffix](path)
    columns, passed = _columns_of(path, table.columns, renamed or {})
    fields = [(at, key, _field_of(columns[key])) for at, key in enumerate(table.columns) if key in columns]
    rows = [_row(path, number, row, columns, fields) for number, row in enumerate(table.rows, 1)]
    if not rows:
        raise UsageError(f"{path}: the list is empty; name at least one clip")
    return ClipList(rows, columns, passed)


def _field_of(name: str) -> str:
    """Return the field that a known column fills. Several columns can fill one field, but not in one row."""
    if name in VIDEO:
        return "video"
    return "speaker" if name == "group_speaker" else name


def _columns_of(path: Path, there: Sequence[str], renamed: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the known name of each known column, and the other columns. `there`: the columns of the file."""
    for name, column in renamed.items():
        if name not in COLUMNS and not _GROUP.fullmatch(name):
            raise UsageError(f"{path}: no column called {name} is known. {_known()}")
        if column not in there:
            raise UsageError(f"{path}: {no_such('column', column, there)}")
    names, passed = {column: name for name, column in renamed.items()}, list[str]()
    for key in there:
        name = key.strip().casefold()
        if key in names:
            continue
        if name in names.values():
            raise UsageError(f"{path}: two columns are called {name}; remove or rename one of them")
        if name in COLUMNS or _GROUP.fullmatch(name):
            names[key] = name
        elif name == "audio":
            raise UsageError(
                f"{path}: a column is called {key!r}. Rename it to `sound` if it names the file to hear in place of "
                "the clip's own sound, or to `group_sound` if it only names the source sound"
            )
        elif near := difflib.get_close_matches(name, COLUMNS, n=1, cutoff=_NEAR):
            raise UsageError(f"{path}: a column is called {key!r}. Did you mean {near[0]}? Rename or remove it")
        else:
            passed.append(key)
    return names, passed


def _row(
    path: Path,
    number: int,
    content: Sequence[object],
    columns: Mapping[str, str],
    fields: Sequence[tuple[int, str, str]],
) -> ListRow:
    """Return a row. `columns`: the known name of each column. `fields`: place, name and field of the known columns."""
    found: dict[str, Any] = {}
    for at, key, field in fields:
        value = content[at]
        if value is None:
            continue
        text = value.strip() if isinstance(value, str) else _text_of(path, number, key, value)
        if not text:
            continue
        if field in found:
            raise UsageError(f"{path}: row {number}: {_alike(columns, content, fields, field)}")
        if (not text.isascii() and text != text.encode("utf-8", "replace").decode()) or "\0" in text:
            raise UsageError(f"{path}: row {number}: {key}: {text[:40]!r} holds a character that no name can have")
        found[field] = text
    start, end = (_seconds(path, number, name, found[name]) if name in found else None for name in ("start", "end"))
    groups = {name[len("group_") :]: value for name, value in found.items() if name.startswith("group_")}
    if "speaker" in found:
        groups["speaker"] = found["speaker"]
    return ListRow(number, found.get("id"), found.get("video"), found.get("sound"), start, end, groups)


def _text_of(path: Path, number: int, key: str, value: object) -> str:
    """Return a value that is no text as a text, empty if it is missing."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"{path}: row {number}: {key}: {str(value)[:40]!r} is no text")
    if isinstance(value, float):
        # Tables with gaps hold whole numbers as floats.
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return str(value)


def _alike(
    columns: Mapping[str, str], content: Sequence[object], fields: Sequence[tuple[int, str, str]], field: str
) -> str:
    """Return the message for two columns of a row that mean the same. `field`: what they mean."""
    found = [columns[key] for at, key, fills in fields if fills == field and content[at] is not None]
    cure = ", or rename `video` to `group_video` if it only names the source video" if "video" in found else ""
    return f"{' and '.join(found)} mean the same; remove one of them{cure}"


def _seconds(path: Path, number: int, column: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{path}: row {number}: {column}: {value[:40]!r} is no number of seconds") from None


def _known() -> str:
    return f"A list may have the columns {', '.join(COLUMNS)} and group_NAME"


def _csv_table(path: Path, delimiter: str = ",") -> Table:
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, skipinitialspace=True, delimiter=delimiter, strict=True)
    try:
        columns = next((row for row in reader if row), [])
    except csv.Error as error:
        raise _no_csv(path, error) from None
    double = next((name for name, count in Counter(columns).items() if count > 1), None)
    if double is not None:
        raise UsageError(f"{path}: two columns are called {double}; remove or rename one of them")
    return Table(columns, _csv_rows(path, reader, len(columns)))


def _csv_rows(path: Path, reader: Iterator[list[str]], width: int) -> Iterator[Sequence[object]]:
    try:
        for row in reader:
            if len(row) > width:
                raise UsageError(
                    f"{path}: a row has more values than there are columns; quote values that contain a comma"
                )
            if row:
                yield row if len(row) == width else [*row, *[None] * (width - len(row))]
    except csv.Error as error:
        raise _no_csv(path, error) from None


def _no_csv(path: Path, error: csv.Error) -> UsageError:
    return UsageError(f"{path}: not a CSV list: {error} (a quote that is not closed?)")


def _tsv_table(path: Path) -> Table:
    return _csv_table(path, "\t")


def _json_table(path: Path) -> Table:
    content = parse_json(read_text(path), path, _WAY_OUT)
    if not isinstance(content, list):
        raise UsageError(
            f"{path}: a JSON list of clips is needed (names, or objects with `clip`), found {type(content).__name__}"
        )
    return _of_objects(content)


def _json_lines(path: Path) -> Table:
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    return _of_objects([parse_json(line, Path(f"{path}, line {n}"), _WAY_OUT) for n, line in enumerate(lines, 1)])


def _of_objects(content: Sequence[object]) -> Table:
    """Return the table of objects, or of names, which stand for objects with `clip`."""
    rows = [row if isinstance(row, dict) else {"clip": row} for row in content]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return Table(columns, ([row.get(column) for column in columns] for row in rows))


def _parquet_table(path: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{path}: reading Parquet needs: pip install 'lse-bench[parquet]'") from None
    here = local_file(path)
    if not here.is_file():
        raise UsageError(f"{path}: no regular file")
    try:
        with parquet.ParquetFile(here) as file:
            about = file.metadata
            size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
            if about.num_rows > _MOST_ROWS or size > _MOST_BYTES:
                raise UsageError(
                    f"{path}: announces {about.num_rows:,} rows and {size:,} bytes; at most {_MOST_ROWS:,} rows and "
                    f"{_MOST_BYTES:,} bytes are read"
                )
            texts = [field.name for field in file.schema_arrow if pyarrow.types.is_string(field.type)]
        # A dictionary keeps a text that a million rows share once. Decoded, a small file could fill the memory.
        found = parquet.read_table(here, read_dictionary=texts)
        for name, column in zip(found.column_names, found.columns, strict=True):
            for chunk in column.chunks if pyarrow.types.is_dictionary(column.type) else ():
                longest = max((len(text) for text in chunk.dictionary.to_pylist() if text is not None), default=0)
                if longest > _MOST_CHARACTERS:
                    raise UsageError(f"{path}: {name}: a text of {longest:,} characters; at most {_MOST_CHARACTERS:,}")
        columns = [column.to_pylist() for column in found.columns]
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{path}: not a Parquet file, or damaged: {str(error).splitlines()[0]}") from None
    return Table(list(found.column_names), zip(*columns, strict=True))


READERS: Mapping[str, Callable[[Path], Table]] = {
    ".csv": _csv_table,
    ".tsv": _tsv_table,
    ".json": _json_table,
    ".jsonl": _json_lines,
    ".parquet": _parquet_table,
}
