"""The columns of tables, and tables as Markdown, LaTeX, CSV and data frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lse_bench.naming import slug
from lse_bench.runs.summary import METRICS
from lse_bench.tables import escape
from lse_bench.tables.table import REAL, UNSYNCED, Table, TableRow
from lse_bench.weights.table import MINI, MINI_INCEPTION, mark_of

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "–"
_EXPLAINED = {
    "lse_d": "Minimum of the mean embedding distance over 31 shifts of the sound. Lower is better.",
    "lse_c": "Median minus minimum of the same distances. Higher is better.",
    "rank_lse_d": "1 + the number of methods with a significantly better LSE-D.",
    "rank_lse_c": "1 + the number of methods with a significantly better LSE-C.",
    "above_unsynced": "LSE-C on a scale where unsynced video is 0 and real video is 1.",
    "within_1": "Share of clips whose AV offset is at most one frame.",
    "fid": "Fréchet distance of Inception features to the real videos. Lower is better.",
    "kid": "Kernel distance of Inception features to the real videos. Lower is better.",
    "fd_sync": "Fréchet distance of SyncNet's lip embeddings to the real videos. Lower is better.",
    "people": "What people think, not a measure: a mean opinion, or the strength in comparisons of pairs.",
    "scored": "Clips with a score, of all that were listed.",
}
_WIDE = ("lse_d", "lse_c", "offset", "lse_d_at_0", "lse_d_valid", "lse_c_valid")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    `title`: ends with an arrow if the column has a better direction. `value`: returns the value of a row, None if it
    has none. `shown`: returns the text of a row's cell.
    """

    name: str
    title: str
    value: Callable[[TableRow], Any]
    shown: Callable[[TableRow], str]

    @property
    def higher_is_better(self) -> bool | None:
        """Whether a higher value is better, from the arrow in the title; None for a column without an arrow."""
        return {"↑": True, "↓": False}.get(self.title[-1])

    @property
    def explained(self) -> str:
        """An explanation of the column in one or two sentences; empty if it needs none."""
        return _EXPLAINED.get("people" if self.name.startswith("people_") else self.name, "")


def _mean(metric: str, title: str) -> Column:
    def shown(row: TableRow) -> str:
        found = row.metrics.get(metric)
        if found is None or found.mean is None:
            return NOTHING
        half = "" if found.ci95 is None else f" ± {(found.ci95[1] - found.ci95[0]) / 2:.3f}"
        mark = "*" if row.better_than_real.get(metric) else ""
        mark += "†" if metric == "lse_d" and row.flat else ""
        return f"{found.mean:.3f}{half}{mark}"

    def value(row: TableRow) -> float | None:
        return row.metrics[metric].mean if metric in row.metrics else None

    return Column(metric, title, value, shown)


def _further(table: Table) -> list[Column]:
    """Return the columns of further measures, with the rank of those that have a better end."""
    methods = [row for row in table.rows if row.method not in (REAL, UNSYNCED)] or table.rows
    names = list(dict.fromkeys(name for row in methods for name, one in row.metrics.items() if one.mean is not None))
    found = []
    for name in (one for one in names if one not in METRICS):
        higher = next(row.metrics[name].higher_is_better for row in table.rows if name in row.metrics)
        found.append(_mean(name, f"{name} {'' if higher is None else '↑' if higher else '↓'}".strip()))
        if higher is not None and any(name in row.rank for row in table.rows):
            found.append(_rank(name, f"rank {name}"))
    return found


def _rank(metric: str, title: str) -> Column:
    def value(row: TableRow) -> Any:
        return row.rank.get(metric)

    return Column(f"rank_{metric}", title, value, lambda row: NOTHING if value(row) is None else str(value(row)))


def _number(name: str, title: str, digits: int) -> Column:
    def value(row: TableRow) -> float | None:
        found: float | None = getattr(row, name)
        return found

    def shown(row: TableRow) -> str:
        found = value(row)
        return NOTHING if found is None else f"{round(found, digits) + 0.0:.{digits}f}"  # adding 0.0 avoids -0.00

    return Column(name, title, value, shown)


def _judged(name: str, title: str) -> Column:
    """Return a column of people's judgement."""

    def value(row: TableRow) -> float | None:
        return row.people[name].value if name in row.people else None

    def shown(row: TableRow) -> str:
        if (found := value(row)) is None:
            return NOTHING
        interval = row.people[name].ci95
        return f"{found:.2f}" + ("" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.2f}")

    return Column(f"people_{name}", f"people: {title}", value, shown)


def columns_of(table: Table) -> list[Column]:
    """Return the columns of a table, without empty columns. Scores of `syncnet-mini` are marked `(mini)`."""
    mini = mark_of(table.evaluator)
    columns = [
        Column("method", "method", lambda row: row.method, lambda row: row.method + " (adopted)" * row.adopted),
        _mean("lse_d", f"LSE-D{mini} ↓"),
        _mean("lse_c", f"LSE-C{mini} ↑"),
        _rank("lse_d", "rank D"),
        _rank("lse_c", "rank C"),
        _number("above_unsynced", "unsynced 0, real 1", 2),
        _number("within_1", "offset within 1", 3),
        _number("fid", f"FID{mark_of(table.inception)} ↓", 2),
        _number("kid", f"KID{mark_of(table.inception)} ↓", 5),
        _number("fd_sync", f"fd-sync{mini} ↓", 2),
        *_further(table),
        *(_judged(*column) for column in (table.people.columns.items() if table.people is not None else ())),
        Column("scored", "scored", lambda row: row.scored, lambda row: f"{row.scored} of {row.listed}"),
        Column("converted", "converted", lambda row: row.converted or None, lambda row: str(row.converted or 0)),
    ]
    return [column for column in columns if any(column.value(row) is not None for row in table.rows)]


def cells_of(row: TableRow, columns: Sequence[Column]) -> list[str]:
    """Return the cells of a row as text."""
    return [column.shown(row) for column in columns]


def notes_of(table: Table) -> list[str]:
    """Return the notes that must be shown under a table."""
    methods = {found.metrics["lse_c"].ci_method for found in table.rows} - {"none: no results"}
    scorer = table.evaluator or table.key.get("weights_sha256")
    notes = [
        f"Protocol {table.protocol}, SyncNet {scorer}; ± half of the 95 % interval ({'; '.join(sorted(methods))}); "
        "rank: 1 + the number of methods that are significantly better (paired, Holm)."
    ]
    if table.evaluator == MINI:
        notes.append("Synthetic faces and a small scorer: do not compare these numbers with published ones.")
    if table.inception == MINI_INCEPTION:
        notes.append("FID (mini), KID (mini): by inception-mini, a small network that knows synthetic faces only.")
    if table.people is not None:
        notes.append(table.people.told)
    notes += table.resolution
    if any(row.adopted for row in table.rows):
        notes.append("(adopted): finished videos; how they were made is not known.")
    if any(row.converted for row in table.rows):
        notes.append("converted: scored clips that are not 25 frames per second and were converted to it.")
    if any(better for row in table.rows for better in row.better_than_real.values()):
        notes.append("* Significantly better than real video: probably fitted to SyncNet rather than better lip-sync.")
    if any(row.flat for row in table.rows):
        notes.append(
            "† LSE-D is better than for unsynced video and LSE-C is worse: the distance is low at every shift. LSE-D "
            "alone rewards a blurred mouth, which fits every sound equally well."
        )
    return notes


def markdown(table: Table) -> str:
    """Return a table as Markdown, with its notes."""
    columns = columns_of(table)
    lines = [
        "| " + " | ".join(column.title for column in columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(map(escape.markdown, cells_of(row, columns))) + " |" for row in table.rows),
        "",
        *notes_of(table),
    ]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """Return a table as LaTeX with booktabs rules, a caption and a label. The notes are comments.

    The best method of a column is bold.
    """
    columns = columns_of(table)
    best = {column.name: _best(table, column) for column in columns}
    rows = []
    for row in table.rows:
        cells = [escape.latex(cell) for cell in cells_of(row, columns)]
        bold = [
            rf"\textbf{{{cell}}}" if row.method == best[c.name] else cell
            for c, cell in zip(columns, cells, strict=True)
        ]
        rows.append(" & ".join(bold) + r" \\")
    head = " & ".join(escape.latex(column.title) for column in columns) + r" \\"
    notes = [rf"% {escape.latex(note)}" for note in notes_of(table)]
    about = escape.latex(f"{table.corpus}, {table.protocol}")
    label = slug(f"{table.corpus} {table.protocol}")
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{about}. Bold: best method.}}", rf"\label{{tab:{label}}}",
             r"\begin{tabular}{l" + "r" * (len(columns) - 1) + "}", r"\toprule", head, r"\midrule", *rows,
             r"\bottomrule", r"\end{tabular}", r"\end{table}", *notes]  # fmt: skip
    return "\n".join(lines) + "\n"


def _best(table: Table, column: Column) -> str | None:
    """Return the method with the best value in a column; None if no direction is better. Anchors do not count."""
    if column.higher_is_better is None:
        return None
    known = [
        (column.value(row), row.method)
        for row in table.rows
        if column.value(row) is not None and row.method not in (REAL, UNSYNCED)
    ]
    if not known:
        return None
    return (max if column.higher_is_better else min)(known)[1]


def wide_frame(tables: Sequence[Table]) -> pd.DataFrame:
    """Return a data frame with one row for each row of each table. Missing values are None."""
    import pandas as pd

    lead = ["corpus", "protocol", "evaluator", "manifest_sha256"]
    singles = ["fid", "kid", "fd_sync", "within_1", "above_unsynced"]
    head = [*lead, "method", "listed", "scored", "failed", *singles]
    head += [f"{name}{end}" for name in _WIDE for end in ("", "_low", "_high")]
    further = list(dict.fromkeys(n for table in tables for row in table.rows for n in row.metrics if n not in METRICS))
    judged = list(dict.fromkeys(name for table in tables if table.people is not None for name in table.people.columns))
    rows = []
    for table in tables:
        for row in table.rows:
            failed = " ".join(f"{status}:{count}" for status, count in row.failed.items())
            line = [*(getattr(table, name) for name in lead), row.method, row.listed, row.scored, failed]
            line += [getattr(row, name) for name in singles]
            for name in _WIDE:
                found = row.metrics[name]
                line += [found.mean, *(found.ci95 or (None, None))]
            line += [row.rank["lse_d"], row.rank["lse_c"]]
            for name in further:
                mean = row.metrics.get(name)
                line += [None] * 3 if mean is None else [mean.mean, *(mean.ci95 or (None, None))]
            for name in judged:
                one = row.people.get(name)
                line += [None] * 3 if one is None else [one.value, *(one.ci95 or (None, None))]
            rows.append(line)
    head += ["rank_lse_d", "rank_lse_c", *(f"{name}{end}" for name in further for end in ("", "_low", "_high"))]
    head += [*(f"people_{name}{end}" for name in judged for end in ("", "_low", "_high"))]
    return pd.DataFrame(rows, columns=head, dtype=object)


def long_frame(tables: Sequence[Table]) -> pd.DataFrame:
    """Return a data frame with one row for each number. Missing values are None.

    The columns are corpus, protocol, evaluator, method, measure, value, low, high, n. `low` and `high` are the bounds
    of the 95 % interval.
    """
    import pandas as pd

    rows: list[list[Any]] = []
    for table in tables:
        for row in table.rows:
            lead = [table.corpus, table.protocol, table.evaluator, row.method]
            for name, found in row.metrics.items():
                rows.append([*lead, name, found.mean, *(found.ci95 or (None, None)), found.n])
            for name in ("fid", "kid", "fd_sync", "within_1"):
                rows.append([*lead, name, getattr(row, name), None, None, row.scored])
            for name, one in row.people.items():
                rows.append([*lead, f"people_{name}", one.value, *(one.ci95 or (None, None)), one.n])
    head = ["corpus", "protocol", "evaluator", "method", "measure", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=head, dtype=object)


def csv_text(frame: pd.DataFrame) -> str:
    """Return a data frame as CSV text. Text that a spreadsheet would read as a formula is escaped."""
    import pandas as pd

    cells = [[escape.csv(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]
    safe = pd.DataFrame(cells, columns=frame.columns, dtype=object)  # so integers stay integers next to missing values
    return str(safe.to_csv(index=False, lineterminator="\n"))
