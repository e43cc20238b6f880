"""Plot the mean curves of several runs with their 95 % intervals, as SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lse_bench.errors import UsageError
from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import mean_with_interval
from lse_bench.runs.summary import members_of
from lse_bench.sync.curve import MAX_SHIFT
from lse_bench.tables import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = ("-", "--", "-.", ":")
Draw = Callable[["Axes"], None]


def svg_of(draw: Draw) -> str:
    """Return the plot that `draw` draws on matplotlib axes, as SVG text. Raises UsageError without matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("plots need matplotlib: run pip install 'lse-bench[leaderboard]'") from None
    # Text stays text, and dates and random names are off, so that the same records and matplotlib give the same file.
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "lse-bench", "text.parse_math": False, "font.size": 11}
    ):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def draw_legend(axes: Axes) -> None:
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=10)


def draw_curves(
    axes: Axes, runs: Sequence[tuple[str, Sequence[Record]]], colours: Mapping[str, str], label: str
) -> None:
    """Draw the mean curve of each run with its 95 % interval.

    `runs`: name and records of each run; a run without a curve is left out. `colours`: by name. `label`: of the y axis.
    """
    shifts = [shift - MAX_SHIFT for shift in range(2 * MAX_SHIFT + 1)]
    for number, (name, records) in enumerate(runs):
        scored = [record for record in records if record.curve is not None]
        if not scored:
            continue
        members = members_of(scored)
        estimates = [mean_with_interval([(r.curve or [])[i] for r in scored], members) for i in range(len(shifts))]
        means = [one.mean or 0.0 for one in estimates]
        bounds = [one.ci95 or (mean, mean) for one, mean in zip(estimates, means, strict=True)]
        axes.plot(shifts, means, label=escape.plot(name), color=colours[name], linestyle=STYLES[number % len(STYLES)])
        axes.fill_between(
            shifts, [low for low, _ in bounds], [high for _, high in bounds], color=colours[name], alpha=0.15
        )
    axes.set_xlabel("sound shifted by (frames of 40 ms)")
    axes.set_ylabel(label)
    draw_legend(axes)
