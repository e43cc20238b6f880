"""The demo's report: a plot of the curves with their intervals, and an HTML page that plays the clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.runs.schema import Record, Summary
from lse_bench.tables.curves import draw_curves, svg_of

COLOURS = {
    "real": "#1b7837",
    "unsynced": "#b2182b",
    "wav2lip": "#762a83",
    "delayed": "#2166ac",
    "blurred": "#e08214",
    "frozen": "#7f7f7f",
}


@dataclass(frozen=True, slots=True)
class SetResult:
    """The results of one set.

    `name`: the set. `what`: a description of its defect. `records`, `summary`: of its scores. `fd_sync`, `fid`: the
    distances to the set `real`; None if they were not computed.
    """

    name: str
    what: str
    records: Sequence[Record]
    summary: Summary
    fd_sync: float | None
    fid: float | None


def plot_curves(results: Sequence[SetResult]) -> str:
    """Plot the mean curve of each set with its 95 % interval, and return the SVG text.

    Raises UsageError if matplotlib is not installed.
    """
    runs = [(result.name, result.records) for result in results]
    return svg_of(partial(draw_curves, runs=runs, colours=COLOURS, label="mean distance (syncnet-mini)"))


def write_report(
    path: Path,
    results: Sequence[SetResult],
    plot: str,
    clips: Sequence[str],
    facts: dict[str, str],
    notes: Sequence[str],
) -> None:
    """Write the HTML page to `path`.

    `results`: one per set. `plot`: the SVG of `plot_curves`. `clips`: the ids of the clips to play, whose files are
    `clips/SET/ID.mp4` in the folder of the page. `facts`: names and values for the page. `notes`: sentences for the
    page. Raises UsageError if jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise UsageError("the report needs jinja2: pip install 'lse-bench[demo]'") from None
    template = files("lse_bench.demo").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    by_clip = [
        {"id": clip, "sets": [{"name": r.name, "record": next(x for x in r.records if x.id == clip)} for r in results]}
        for clip in clips
    ]
    page = environment.from_string(template).render(
        results=results, plot=plot, clips=by_clip, facts=facts, notes=notes, colours=COLOURS
    )
    path.write_text(page, encoding="utf-8")
