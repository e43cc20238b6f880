"""Build CSV files, tables, plots and a web page from stored runs. The page opens from the disk.

No model runs and no video is decoded. Clips are copied from their stored paths if they still exist there.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lse_bench.benchmark.summary import SUMMARY_FILE as BENCH_SUMMARY
from lse_bench.benchmark.summary import read_bench
from lse_bench.collecting import uncollected
from lse_bench.errors import UsageError
from lse_bench.leaderboard.clips import copy_clips
from lse_bench.leaderboard.people import with_people
from lse_bench.leaderboard.plots import colours_of, write_plots
from lse_bench.leaderboard.published import published
from lse_bench.reliability.beside import read_card
from lse_bench.reliability.decides import is_about, notes, refuse_other
from lse_bench.runs.read import Run, read_run
from lse_bench.runs.records import RECORDS_FILE
from lse_bench.runs.verify import refuse_edited
from lse_bench.storage import read_object
from lse_bench.tables import escape
from lse_bench.tables.formats import cells_of, columns_of, csv_text, latex, long_frame, markdown, notes_of, wide_frame
from lse_bench.tables.table import REAL, UNSYNCED, Table, by_group, tables_of
from lse_bench.weights.table import name_of_digest

if TYPE_CHECKING:
    import pandas as pd

COLLECTION_FILE = "collection.json"
_PAGE_FILES = ("index.html", "page.css", "page.js")


def find_entries(inputs: Sequence[str]) -> list[Run]:
    """Read the runs of run directories, benchmarks and collections.

    `NAME=RUN` gives the run of a run directory another name. Raises UsageError for any other input, and if a name would
    turn another method into an anchor, or an anchor into another method.
    """
    entries: list[Run] = []
    for text in inputs:
        name, equals, rest = text.partition("=")
        named = bool(equals) and not Path(text).exists()
        path = Path(rest if named else text)
        if (path / RECORDS_FILE).exists():
            entry = read_run(path, name if named else None)
            made_by = entry.description.generation and entry.description.generation.generator
            if named and made_by is not None and name != made_by and {name, made_by} & {REAL, UNSYNCED}:
                raise UsageError(f"{text}: these are clips of {made_by}; {REAL} and {UNSYNCED} must keep their names")
            entries.append(entry)
        elif named:
            raise UsageError(f"{text}: only a run directory of lse-bench score can have a name, and {path} is not one")
        elif (path / COLLECTION_FILE).exists():
            entries += _collected(path)
        elif (path / BENCH_SUMMARY).exists():
            entries += read_bench(path)
        else:
            raise UsageError(f"{path}: neither a run directory (lse-bench score) nor a benchmark (lse-bench benchmark)")
    return entries


def _collected(folder: Path) -> list[Run]:
    """Read the runs of a collection that `leaderboard add` made."""
    path, way_out = folder / COLLECTION_FILE, "Make a new one with lse-bench leaderboard add"
    content = read_object(path, way_out)
    if content.get("schema") != 1:
        raise UsageError(f"{path}: has schema {content.get('schema')}, but this version reads schema 1")
    try:
        rows = [(str(row["run"]), str(row["method"]), str(row["corpus"])) for row in content["runs"]]
    except (KeyError, TypeError):
        raise UsageError(f"{path}: damaged: a run, method or corpus is missing. {way_out}") from None
    return [read_run(folder / run, method, corpus) for run, method, corpus in rows]


@uncollected()
def build(
    inputs: Sequence[str],
    out: Path,
    clips: int = 4,
    title: str = "LSE-Bench",
    people: Sequence[str] = (),
    card: Path | None = None,
) -> dict[str, Any]:
    """Write `tables/`, `plots/` and the page `index.html` with its files to `out`; return counts and the page's path.

    `inputs`: see `find_entries`. `clips`: number of pairs of each corpus whose videos are copied to the page. `title`:
    of the page. `people`: reports of studies, see `with_people`. `card`: a Reliability Card, which says what the clips
    can decide in the tables of its weights and protocol. Raises UsageError if runs in one table cannot be compared (the
    message names the field that differs), if a run was edited, if a clip to copy is not the file that was scored, or if
    no table is of the card's weights and protocol.
    """
    entries = find_entries(inputs)
    refuse_edited(entries)
    tables = with_people(tables_of(entries), people)
    if card is not None:
        tables = _with_card(tables, entries, card)
    out.mkdir(parents=True, exist_ok=True)
    _write_tables(out / "tables", tables, entries)
    plots = write_plots(out / "plots", tables, entries)
    played = copy_clips(out, entries, clips)
    data = {
        "title": title,
        "colours": colours_of(list(dict.fromkeys(entry.method for entry in entries))),
        "tables": [_shown(table, entries) for table in tables],
        "plots": plots,
        "clips": played,
        "published": _published_beside(tables),
    }
    # Browsers do not let a page from the disk fetch data, but it may load a script.
    (out / "data.js").write_text(f"window.LSE_BENCH = {escape.script(data)};\n", encoding="utf-8")
    for name in _PAGE_FILES:
        content = files("lse_bench.leaderboard").joinpath("page").joinpath(name).read_bytes()
        (out / name).write_bytes(content)
    return {
        "tables": len(tables),
        "rows": len(entries),
        "plots": len(plots),
        "clips": len(played),
        "page": str(out / "index.html"),
    }


def _published_beside(tables: Sequence[Table]) -> list[list[str]]:
    """Return the published figures of the tables' corpora, as rows for the page."""
    corpora = {table.corpus.lower() for table in tables}
    return [
        [one.corpus, one.method, one.measure, one.printed, one.kind, one.source]
        for one in published()
        if one.corpus.lower() in corpora
    ]


def _with_card(tables: Sequence[Table], entries: Sequence[Run], path: Path) -> list[Table]:
    """Return tables with what a card says of those of its weights and protocol. Raises UsageError if there is none."""
    card = read_card(path)
    if not any(is_about(card, table.key) for table in tables):
        refuse_other(card, str(path), tables[0].key, f"{tables[0].corpus}, {tables[0].protocol}")
    return [
        table.model_copy(update={"resolution": notes(card, table, _of_table(entries, table))})
        if is_about(card, table.key)
        else table
        for table in tables
    ]


def _of_table(entries: Sequence[Run], table: Table) -> list[Run]:
    return [entry for entry in entries if entry.table == (table.corpus, table.protocol)]


def _write_tables(folder: Path, tables: Sequence[Table], entries: Sequence[Run]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wide.csv").write_text(csv_text(wide_frame(tables)), encoding="utf-8")
    (folder / "long.csv").write_text(csv_text(long_frame(tables)), encoding="utf-8")
    written = (f"## {escape.markdown(table.corpus)}\n\n{markdown(table)}" for table in tables)
    (folder / "tables.md").write_text("\n".join(written), encoding="utf-8")
    (folder / "tables.tex").write_text("\n".join(map(latex, tables)), encoding="utf-8")
    (folder / "speakers.csv").write_text(csv_text(_speakers(entries)), encoding="utf-8")


def _speakers(entries: Sequence[Run]) -> pd.DataFrame:
    """Return a data frame with one row for each speaker and method."""
    import pandas as pd

    frames = []
    for entry in entries:
        corpus, protocol = entry.table
        found = by_group(entry.records, "speaker").rename(columns={"group": "speaker"})
        found = found.assign(corpus=corpus, protocol=protocol, method=entry.method)
        frames.append(found[["corpus", "protocol", "method", "speaker", "listed", "scored", "lse_d", "lse_c"]])
    return pd.concat(frames, ignore_index=True)


def _shown(table: Table, entries: Sequence[Run]) -> dict[str, Any]:
    columns = columns_of(table)
    members = {entry.method: entry for entry in entries if entry.table == (table.corpus, table.protocol)}
    return {
        "corpus": table.corpus,
        "protocol": table.protocol,
        "evaluator": table.evaluator,
        "columns": [
            {"name": c.name, "title": c.title, "higher": c.higher_is_better, "explained": c.explained} for c in columns
        ],
        "rows": [
            {
                "method": row.method,
                "anchor": row.method in (REAL, UNSYNCED),
                "cells": cells_of(row, columns),
                "values": [column.value(row) for column in columns],
                "provenance": _provenance(members[row.method]),
            }
            for row in table.rows
        ],
        "notes": notes_of(table),
    }


def _provenance(entry: Run) -> list[list[str]]:
    """Return everything that the numbers of a run depend on, as readable (name, value) lines for the page."""
    about, summary = entry.description, entry.summary
    lines = [
        ["signature", entry.signature],
        ["protocol", about.key["protocol"]],
        ["scored with", f"{about.weights.name or 'weights of its own'}, sha256 {about.weights.sha256}"],
        ["clips", f"{summary.scored} scored of {summary.listed} listed"],
        ["failed", ", ".join(f"{n} {status}" for status, n in summary.failed.items()) or "none"],
        ["list", f"sha256 {about.clip_list.sha256}"],
        ["manifest", f"sha256 {about.manifest_sha256}" if about.manifest_sha256 else "none: a folder of videos"],
        ["frame rate", about.key.get("fps_policy", "")],
        ["precision", f"{about.precision} on {about.device}"],
        ["machine", _machine(about.machine or {})],
        ["versions", ", ".join(f"{name} {version}" for name, version in (about.versions or {}).items())],
        ["command", shlex.join(about.command)],
        ["started", about.started or ""],
        ["length of clips", ", ".join(f"{share}: {value:.2f} s" for share, value in summary.seconds.items())],
    ]
    if about.adopted is not None:
        told = f"adopted: how the videos were made is not known; {about.adopted.rule}"
        lines.insert(1, ["generator", told])
    if about.generation is not None:
        key = about.generation.key
        lines.insert(1, ["generator", f"{about.generation.generator} of {key['package']}"])
        lines.insert(2, ["its weights", _weights(key.get("weights_sha256"))])
        rest = {
            name: value for name, value in key.items() if name not in ("generator", "package", "weights_sha256", "root")
        }
        lines.append(["generated with", _plain(rest)])
    for name, extra in entry.extras.items():
        lines.append([name, _plain(extra.model_dump(include={"fid_id", "key", "warnings"}))])
    return [[name, str(value)] for name, value in lines if value]


def _weights(sha256: str | None) -> str:
    """Return the name of weights in the table of weights, if listed there, and their digest."""
    if sha256 is None:
        return "none"
    return f"{name_of_digest(sha256) or 'weights of its own'}, sha256 {sha256}"


def _plain(content: Mapping[str, Any], lead: str = "") -> str:
    """Return nested settings as `name value` in one line, without empty values. `lead`: text before each name."""
    found = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            found.append(_plain(value, f"{lead}{name} "))
        elif value not in (None, "", [], ()):
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            found.append(f"{lead}{name} {shown}")
    return "; ".join(part for part in found if part)


def _machine(about: dict[str, Any]) -> str:
    """Return a run's machine in one line; empty for runs of earlier versions, which did not store it."""
    if not about:
        return ""
    widest = (about.get("instruction_sets") or ["unknown instruction set"])[-1]
    return f"{about['processor']}, {widest}, {about['threads']} threads"
