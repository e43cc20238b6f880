"""Tables in words: the columns that tables, pages and files of a benchmark share; Markdown, LaTeX and CSV of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lse_bench.tables import escape

NOTHING = "–"
MINI = "syncnet-mini"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `title`: with what is better; `value`: of a row, None where there is none; `shown`: as text."""

    name: str
    title: str
    value: Callable[[dict[str, Any]], Any]
    shown: Callable[[dict[str, Any]], str]


def _mean(metric: str, title: str) -> Column:
    def shown(row: dict[str, Any]) -> str:
        found = row["metrics"][metric]
        if found["mean"] is None:
            return NOTHING
        half = "" if found["ci95"] is None else f" ± {(found['ci95'][1] - found['ci95'][0]) / 2:.3f}"
        mark = "*" if row["better_than_real"].get(metric) else ""
        mark += "†" if metric == "lse_d" and row["flat"] else ""
        return f"{found['mean']:.3f}{half}{mark}"

    return Column(metric, title, lambda row: row["metrics"][metric]["mean"], shown)


def _rank(metric: str, title: str) -> Column:
    def value(row: dict[str, Any]) -> Any:
        return row["rank"][metric]

    return Column(f"rank_{metric}", title, value, lambda row: NOTHING if value(row) is None else str(value(row)))


def _number(name: str, title: str, digits: int) -> Column:
    def shown(row: dict[str, Any]) -> str:
        return NOTHING if row[name] is None else f"{round(row[name], digits) + 0.0:.{digits}f}"  # never -0.00

    return Column(name, title, lambda row: row[name], shown)


def columns_of(table: dict[str, Any]) -> list[Column]:
    """The columns of a table; those without any value are left out. Scores of `syncnet-mini` say so."""
    mini = " (mini)" if table["evaluator"] == MINI else ""
    columns = [
        Column("method", "method", lambda row: row["method"], lambda row: str(row["method"])),
        _mean("lse_d", f"LSE-D{mini} ↓"),
        _mean("lse_c", f"LSE-C{mini} ↑"),
        _rank("lse_d", "rank D"),
        _rank("lse_c", "rank C"),
        _number("above_unsynced", "unsynced 0, real 1", 2),
        _number("within_1", "offset within 1", 3),
        _number("fid", "FID ↓", 2),
        _number("kid", "KID ↓", 5),
        _number("fd_sync", f"fd-sync{mini} ↓", 2),
        Column("scored", "scored", lambda row: row["scored"], lambda row: f"{row['scored']} of {row['listed']}"),
    ]
    return [column for column in columns if any(column.value(row) is not None for row in table["rows"])]


def cells_of(row: dict[str, Any], columns: Sequence[Column]) -> list[str]:
    """A row as text."""
    return [column.shown(row) for column in columns]


def notes_of(table: dict[str, Any]) -> list[str]:
    """What must stand under a table."""
    methods = {found["metrics"]["lse_c"]["ci_method"] for found in table["rows"]} - {"none: no results"}
    scorer = table["evaluator"] or table["key"].get("weights_sha256")
    notes = [
        f"Protocol {table['protocol']}, SyncNet {scorer}; ± half of the 95 % interval ({'; '.join(sorted(methods))}); "
        "ranks: 1 + methods that are significantly better (paired, Holm)."
    ]
    if table["evaluator"] == MINI:
        notes.append("Made-up faces and a small scorer: these numbers compare with no paper's.")
    if any(better for row in table["rows"] for better in row["better_than_real"].values()):
        notes.append("* better than untouched video: a sign that the scorer is pleased, not that lips are right.")
    if any(row["flat"] for row in table["rows"]):
        notes.append(
            "† LSE-D is better than that of unsynced video, LSE-C worse: the distance is low at every shift. LSE-D "
            "alone rewards a smear, which fits no sound better than another."
        )
    return notes


def markdown(table: dict[str, Any]) -> str:
    """A Markdown table with its notes."""
    columns = columns_of(table)
    lines = [
        "| " + " | ".join(column.title for column in columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(map(escape.markdown, cells_of(row, columns))) + " |" for row in table["rows"]),
        "",
        *notes_of(table),
    ]
    return "\n".join(lines) + "\n"


def latex(table: dict[str, Any]) -> str:
    """A LaTeX table in the paper's form (booktabs)."""
    columns = columns_of(table)
    rows = [" & ".join(map(escape.latex, cells_of(row, columns))) + r" \\" for row in table["rows"]]
    head = " & ".join(escape.latex(column.title) for column in columns) + r" \\"
    notes = [rf"% {escape.latex(note)}" for note in notes_of(table)]
    about = escape.latex(f"{table['corpus']}, {table['protocol']}")
    lines = [rf"% {about}", r"\begin{tabular}{l" + "r" * (len(columns) - 1) + "}",
             r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", *notes]  # fmt: skip
    return "\n".join(lines) + "\n"


def wide_csv(tables: Sequence[dict[str, Any]]) -> str:
    """A line for each row of each table."""
    names = ["lse_d", "lse_c", "offset", "lse_d_at_0", "lse_d_valid", "lse_c_valid"]
    head = ["corpus", "protocol", "evaluator", "manifest_sha256", "method", "listed", "scored", "failed", "fid", "kid",
            "fd_sync", "within_1", "above_unsynced"]  # fmt: skip
    for name in names:
        head += [name, f"{name}_low", f"{name}_high"]
    head += ["rank_lse_d", "rank_lse_c"]
    rows = []
    for table in tables:
        for row in table["rows"]:
            failed = " ".join(f"{status}:{count}" for status, count in row["failed"].items())
            line = [*(table[name] for name in head[:4]), row["method"], row["listed"], row["scored"], failed]
            line += [row[name] for name in head[8:13]]
            for name in names:
                found = row["metrics"][name]
                line += [found["mean"], *(found["ci95"] or (None, None))]
            rows.append([*line, row["rank"]["lse_d"], row["rank"]["lse_c"]])
    return csv_text(head, rows)


def long_csv(tables: Sequence[dict[str, Any]]) -> str:
    """A line for each number: corpus, protocol, evaluator, method, measure, value, low, high, n."""
    rows = []
    for table in tables:
        for row in table["rows"]:
            lead = [table["corpus"], table["protocol"], table["evaluator"], row["method"]]
            for name, found in row["metrics"].items():
                rows.append([*lead, name, found["mean"], *(found["ci95"] or (None, None)), found["n"]])
            single = ("fid", "kid", "fd_sync", "within_1")
            rows += [[*lead, name, row[name], None, None, row["scored"]] for name in single]
    return csv_text(["corpus", "protocol", "evaluator", "method", "measure", "value", "low", "high", "n"], rows)


def csv_text(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[escape.csv(cell) for cell in row] for row in rows])
    return text.getvalue()
