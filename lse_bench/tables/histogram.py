"""Draw histograms with thresholds as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lse_bench.tables.curves import svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 30


def histogram_svg(fields: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """Return histograms, one below the other, as SVG. `fields`: values and thresholds by name.

    Raises UsageError without matplotlib.
    """

    def draw(axes: Axes) -> None:
        from matplotlib.figure import Figure

        figure = axes.figure
        assert isinstance(figure, Figure)
        axes.remove()
        for number, (name, (values, thresholds)) in enumerate(fields.items(), 1):
            one = figure.add_subplot(len(fields), 1, number)
            one.hist(list(values), bins=_BARS, color="#3b8fc2")
            for threshold in thresholds:
                one.axvline(threshold, color="#d55e00", linewidth=1.5, label=f"{threshold:g}")
            one.set_xlabel(name)
            one.set_ylabel("clips")
            if thresholds:
                one.legend(frameon=False)
        figure.set_size_inches(6, 2.2 * len(fields))

    return svg_of(draw)
