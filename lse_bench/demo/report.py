"""The demo's report: a plot of the curves with intervals, and a page that plays the clips."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.runs.records import Record
from lse_bench.runs.statistics import mean_with_interval
from lse_bench.sync.distance import MAX_SHIFT

COLOURS = {"real": "#1b7837", "unsynced": "#b2182b", "delayed": "#2166ac", "blurred": "#e08214", "frozen": "#7f7f7f"}


@dataclass(frozen=True, slots=True)
class SetResult:
    """One set: what was done to it, its records and summary, fd-sync and FID against the real set where there are."""

    name: str
    what: str
    records: Sequence[Record]
    summary: dict[str, Any]
    fd_sync: float | None
    fid: float | None


def plot_curves(results: Sequence[SetResult]) -> str:
    """The mean curve of each set with its 95 % interval, as SVG. Raises UsageError without matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("the plot needs matplotlib: pip install 'lse-bench[demo]'") from None
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lse-bench", "font.size": 11}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        shifts = [shift - MAX_SHIFT for shift in range(2 * MAX_SHIFT + 1)]
        for result in results:
            curves = [record.curve for record in result.records if record.curve is not None]
            members = [frozenset({record.id}) for record in result.records if record.curve is not None]
            estimates = [mean_with_interval([curve[i] for curve in curves], members) for i in range(len(shifts))]
            means = [estimate.mean or 0.0 for estimate in estimates]
            colour = COLOURS[result.name]
            axes.plot(shifts, means, label=result.name, color=colour)
            bounds = [estimate.ci95 or (mean, mean) for estimate, mean in zip(estimates, means, strict=True)]
            axes.fill_between(
                shifts, [low for low, _ in bounds], [high for _, high in bounds], color=colour, alpha=0.18
            )
        axes.set_xlabel("sound shifted by (frames of 40 ms)")
        axes.set_ylabel("mean distance (syncnet-mini)")
        axes.legend(frameon=False, ncols=len(results), loc="lower center", bbox_to_anchor=(0.5, 1.0))
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def write_report(
    path: Path,
    results: Sequence[SetResult],
    plot: str,
    clips: Sequence[str],
    facts: dict[str, str],
    notes: Sequence[str],
) -> None:
    """Write the page. `clips`: ids to play, their files beside the page under `clips/SET/ID.mp4`."""
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
