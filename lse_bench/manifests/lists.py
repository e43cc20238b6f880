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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError, no_such
from lse_bench.storage import parse_json, read_text

VIDEO = ("clip", "path", "file", "filename", "video")  # the names of the column of video files
COLUMNS = (*VIDEO, "sound", "start", "end", "id", "speaker")
_GROUP = re.compile(r"group_[a-z0-9][a-z0-9_]*")
# Bounds of a Parquet file, whose size on the disk says nothing about its size in memory.
_MOST_ROWS, _MOST_BYTES, _MOST_CHARACTERS = 20_000_000, 2_000_000_000, 10_000
_NEAR = 0.75  # similarity of an unknown column name to a known one (0-1) from which it counts as misspelt
_WAY_OUT = "Give a list of names, or of objects with `clip`"

Values = Mapping[str | None, object]


@dataclass(frozen=True, slots=True)
class ListRow:
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
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise UsageError(f"{path}: not a list; the name of a list ends in {', '.join(READERS)}")
    rows = READERS[suffix](path)
    if not rows:
        raise UsageError(f"{path}: the list is empty; name at least one clip")
    columns, passed = _columns_of(path, rows, renamed or {})
    return ClipList([_row(path, number, row, columns) for number, row in enumerate(rows, 1)], columns, passed)


def _columns_of(path: Path, rows: Sequence[Values], renamed: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    there: list[str] = []
    for key in dict.fromkeys(key for row in rows for key in row):
        if key is None:
            raise UsageError(f"{path}: a row has more values than there are columns; quote values that contain a comma")
        there.append(key)
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


def _row(path: Path, number: int, content: Values, columns: Mapping[str, str]) -> ListRow:
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = columns.get(key or "")
        if name is None or value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip():
            continue
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise UsageError(f"{path}: row {number}: {key}: {str(value)[:40]!r} is no text")
        plain = "video" if name in VIDEO else name.removeprefix("group_") if name == "group_speaker" else name
        if plain in found:
            raise UsageError(f"{path}: row {number}: {_alike(columns, content, plain)}")
        # Tables with gaps hold whole numbers as floats.
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
        if "\0" in text or text != text.encode("utf-8", "replace").decode():
            raise UsageError(f"{path}: row {number}: {key}: {text[:40]!r} holds a character that no name can have")
        found[plain] = text
    times = {name: _seconds(path, number, name, found[name]) for name in ("start", "end") if name in found}
    groups = {name.removeprefix("group_"): value for name, value in found.items() if _GROUP.fullmatch(name)}
    if "speaker" in found:
        groups["speaker"] = found["speaker"]
    return ListRow(
        number,
        found.get("id"),
        found.get("video"),
        found.get("sound"),
        times.get("start"),
        times.get("end"),
        groups,
    )


def _alike(columns: Mapping[str, str], content: Values, plain: str) -> str:
    """Return the message for two columns of a row that mean the same. `plain`: what they mean."""
    same = VIDEO if plain == "video" else (plain, f"group_{plain}")
    found = [name for key in content if (name := columns.get(key or "")) in same]
    cure = ", or rename `video` to `group_video` if it only names the source video" if "video" in found else ""
    return f"{' and '.join(map(str, found))} mean the same; remove one of them{cure}"


def _seconds(path: Path, number: int, column: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{path}: row {number}: {column}: {value[:40]!r} is no number of seconds") from None


def _known() -> str:
    return f"A list may have the columns {', '.join(COLUMNS)} and group_NAME"


def _csv_rows(path: Path, delimiter: str = ",") -> list[Values]:
    try:
        text = io.StringIO(read_text(path), newline="")
        reader = csv.DictReader(text, skipinitialspace=True, delimiter=delimiter, strict=True)
        double = next((name for name, count in Counter(reader.fieldnames or ()).items() if count > 1), None)
        if double is not None:
            raise UsageError(f"{path}: two columns are called {double}; remove or rename one of them")
        return list(reader)
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV list: {error} (a quote that is not closed?)") from None


def _tsv_rows(path: Path) -> list[Values]:
    return _csv_rows(path, "\t")


def _json_rows(path: Path) -> list[Values]:
    content = parse_json(read_text(path), path, _WAY_OUT)
    if not isinstance(content, list):
        raise UsageError(
            f"{path}: a JSON list of clips is needed (names, or objects with `clip`), found {type(content).__name__}"
        )
    return [_object(row) for row in content]


def _json_lines(path: Path) -> list[Values]:
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    return [_object(parse_json(line, Path(f"{path}, line {n}"), _WAY_OUT)) for n, line in enumerate(lines, 1)]


def _object(row: object) -> Values:
    return row if isinstance(row, dict) else {"clip": row}


def _parquet_rows(path: Path) -> list[Values]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{path}: reading Parquet needs: pip install 'lse-bench[parquet]'") from None
    if not path.is_file():
        raise UsageError(f"{path}: no regular file")
    try:
        with parquet.ParquetFile(path) as file:
            about = file.metadata
            size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
            if about.num_rows > _MOST_ROWS or size > _MOST_BYTES:
                raise UsageError(
                    f"{path}: announces {about.num_rows:,} rows and {size:,} bytes; at most {_MOST_ROWS:,} rows and "
                    f"{_MOST_BYTES:,} bytes are read"
                )
            texts = [field.name for field in file.schema_arrow if pyarrow.types.is_string(field.type)]
        # A dictionary keeps a text that a million rows share once. Decoded, a small file could fill the memory.
        found = parquet.read_table(path, read_dictionary=texts)
        for name, column in zip(found.column_names, found.columns, strict=True):
            for chunk in column.chunks if pyarrow.types.is_dictionary(column.type) else ():
                longest = max((len(text) for text in chunk.dictionary.to_pylist() if text is not None), default=0)
                if longest > _MOST_CHARACTERS:
                    raise UsageError(f"{path}: {name}: a text of {longest:,} characters; at most {_MOST_CHARACTERS:,}")
        rows: list[Values] = found.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{path}: not a Parquet file, or damaged: {str(error).splitlines()[0]}") from None
    return rows


READERS: Mapping[str, Callable[[Path], list[Values]]] = {
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".json": _json_rows,
    ".jsonl": _json_lines,
    ".parquet": _parquet_rows,
}
