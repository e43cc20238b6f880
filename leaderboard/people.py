"""People's judgement beside the measures of a table, from reports of `lse-bench study report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.stored import read_stored
from lse_bench.study.report import StudyReport
from lse_bench.tables.table import Judged, People, Table

_ARROWS = {"high": " ↑", "low": " ↓", "none": ""}
_WAY_OUT = "Make it again with lse-bench study report"


def with_people(tables: Sequence[Table], given: Sequence[str]) -> list[Table]:
    """Return the tables with columns of people's judgement.

    `given`: files report.json, or CORPUS=report.json to name the corpus of the judged clips. Without CORPUS, these are
    the tables of the study's manifest, or of the only corpus. Raises UsageError if a report is damaged, if it fits no
    table, or if two reports fit one.
    """
    found = list(tables)
    for text in given:
        corpus, _, rest = text.rpartition("=")
        named = bool(corpus) and not Path(text).exists()
        path = Path(rest if named else text)
        report = read_stored(path, StudyReport, _WAY_OUT)
        wanted = _places(found, report, corpus if named else None, path)
        for place in wanted:
            if found[place].people is not None:
                raise UsageError(f"{path}: {found[place].corpus} has the judgement of other people already")
            found[place] = _judged(found[place], report, path)
    return found


def _places(tables: Sequence[Table], report: StudyReport, corpus: str | None, path: Path) -> list[int]:
    """Return the places of the tables that a report belongs to."""
    corpora = list(dict.fromkeys(table.corpus for table in tables))
    if corpus is None and report.manifest_sha256 is not None:
        same = [place for place, table in enumerate(tables) if table.manifest_sha256 == report.manifest_sha256]
        if same:
            return same
    if corpus is None and len(corpora) > 1:
        raise UsageError(
            f"{path}: it is not known which clips people judged; give --people CORPUS={path}, with one of: "
            f"{', '.join(corpora)}"
        )
    if corpus is not None and corpus not in corpora:
        raise UsageError(f"--people {corpus}=…: no table of {corpus}; there are: {', '.join(corpora)}")
    return [place for place, table in enumerate(tables) if corpus in (None, table.corpus)]


def _judged(table: Table, report: StudyReport, path: Path) -> Table:
    methods = {row.method for row in table.rows}
    if not methods & set(report.methods):
        raise UsageError(
            f"{path}: people judged {', '.join(report.methods)}, but the table of {table.corpus} has "
            f"{', '.join(sorted(methods))}. Name runs as the study names its methods: NAME=RUN"
        )
    columns = {o.question: o.question.replace("_", " ") + _ARROWS[report.better.get(o.question, "high")]
               for o in report.opinions}  # fmt: skip
    judged: dict[str, dict[str, Judged]] = {}
    for one in report.opinions:
        judged.setdefault(one.method, {})[one.question] = Judged(value=one.mean, ci95=one.ci95, n=one.n)
    if report.strengths:
        columns["strength"] = "strength ↑"
    for row in report.strengths:
        judged.setdefault(row.method, {})["strength"] = Judged(value=row.strength, ci95=row.ci95, n=None)
    who = "raters who are not named" if report.raters is None else f"{report.raters} raters"
    told = (
        f"people: judged by {who}, {report.votes} votes on {report.items} clips of each method "
        f"(votes {report.votes_sha256[:12]}); ± half of the 95 % interval for other raters and clips."
    )
    rows = [row.model_copy(update={"people": judged.get(row.method, {})}) for row in table.rows]
    return table.model_copy(update={"rows": rows, "people": People(columns=columns, told=told)})
