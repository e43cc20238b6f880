"""The task that analyses people's votes and sets measures beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lse_bench.reporting import Report
from lse_bench.runs.read import Run
from lse_bench.runs.verify import refuse_edited
from lse_bench.storage import write_atomically
from lse_bench.stored import write_stored
from lse_bench.study.report import StudyReport, markdown, report_votes
from lse_bench.study.votes import read_votes
from lse_bench.tables.paired import refuse_mixed

REPORT_FILE, PAGE_FILE = "report.json", "report.md"


def report_study(out: Path, votes: Path, runs: Mapping[str, Run], report: Report) -> StudyReport:
    """Analyse the votes of a file, and write report.json and report.md to the folder `out`.

    `runs`: runs of the same methods by the method's name in the votes. Raises UsageError if the file is ill-formed, if
    a run is of no method of the votes, or if the runs cannot be compared with each other.
    """
    read = read_votes(votes)
    refuse_edited(list(runs.values()))
    refuse_mixed(list(runs.values()), lists=None)
    with report.working(f"Analysing {votes}"):
        found = report_votes(read, runs)
    write_stored(out / REPORT_FILE, found)
    write_atomically(out / PAGE_FILE, markdown(found).encode())
    for one in found.measures:
        if one.pairs is not None and not one.pairs.n:
            report.warn(
                f"{one.measure}: no comparison of the votes has a value in both runs. Are items the clips' ids?"
            )
    return found
