"""Plot a leaderboard as SVG: LSE-C against picture quality, mean curves, AV offsets, and bars by corpus."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lse_bench.runs.read import Run
from lse_bench.sync.curve import MAX_SHIFT
from lse_bench.tables import escape
from lse_bench.tables.curves import Draw, draw_curves, draw_legend, svg_of
from lse_bench.tables.table import Table
from lse_bench.weights.table import mark_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Readable on a light and on a dark background. real and unsynced always have the first two colours. Lines differ in
# style, too.
_COLOURS = ("#009e73", "#d55e00", "#0072b2", "#cc79a7", "#b26a00", "#3b8fc2", "#7a5195", "#8c6d31")
_BESIDE = (7, 5)  # points between a mark and its label
_STRIP = 0.9  # height of a bar that stands for all clips; a strip has height 1
_DISTANCES = {"fid": "FID", "kid": "KID", "fd_sync": "fd-sync"}


def colours_of(methods: Sequence[str]) -> dict[str, str]:
    """Return a colour for each method, for use in all plots. There are eight colours; more methods repeat them."""
    order = sorted(methods, key=lambda name: (name != "real", name != "unsynced"))
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(order)}


def plots_of(tables: Sequence[Table], entries: Sequence[Run]) -> Iterator[tuple[str, str, str]]:
    """Yield (file name without suffix, title, SVG text) of every plot. Raises UsageError without matplotlib."""
    colours = colours_of(list(dict.fromkeys(entry.method for entry in entries)))
    for number, table in enumerate(tables):
        where = f"{table.corpus}, {table.protocol}"
        members = [entry for entry in entries if entry.table == (table.corpus, table.protocol)]
        distance = next(
            (name for name in _DISTANCES if any(getattr(row, name) is not None for row in table.rows)), None
        )
        if distance is not None:
            draw: Draw = partial(_against, table=table, distance=distance, colours=colours)
            yield f"quality-{number}", f"LSE-C against {_distance_title(table, distance)}: {where}", svg_of(draw)
        runs = [(entry.method, entry.records) for entry in members]
        label = f"mean distance{mark_of(table.evaluator)}, 95 % interval"
        draw = partial(draw_curves, runs=runs, colours=colours, label=label)
        yield f"curve-{number}", f"Mean distance for each shift of the sound: {where}", svg_of(draw)
        draw = partial(_offsets, entries=members, colours=colours)
        yield f"offsets-{number}", f"AV offsets: {where}", svg_of(draw)
    by_key: dict[str, list[Table]] = {}
    for table in tables:  # one plot may hold several corpora, but only one comparison key
        by_key.setdefault(json.dumps(table.key, sort_keys=True), []).append(table)
    for number, some in enumerate(by_key.values()):
        scored_as = f"{some[0].protocol}, {some[0].evaluator or some[0].key.get('weights_sha256', '')[:12]}"
        mini = mark_of(some[0].evaluator)
        for metric, title in (("lse_c", f"LSE-C{mini}, higher is better"), ("lse_d", f"LSE-D{mini}, lower is better")):
            draw = partial(_bars, tables=some, metric=metric, label=title, colours=colours)
            yield f"{metric}-{number}", f"{title}, by corpus: {scored_as}", svg_of(draw)


def _against(axes: Axes, table: Table, distance: str, colours: dict[str, str]) -> None:
    labels: list[Annotation] = []
    for row in table.rows:
        found = row.metrics["lse_c"]
        if getattr(row, distance) is None or found.mean is None:
            continue
        half = 0.0 if found.ci95 is None else (found.ci95[1] - found.ci95[0]) / 2
        axes.errorbar(getattr(row, distance), found.mean, yerr=half, fmt="o", capsize=3, color=colours[row.method])
        labels.append(
            axes.annotate(
                escape.plot(row.method),
                (getattr(row, distance), found.mean),
                xytext=_BESIDE,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
            )
        )
    axes.margins(x=0.15, y=0.15)
    axes.set_xlabel(f"{_distance_title(table, distance)} (lower is better)")
    axes.set_ylabel(f"LSE-C{mark_of(table.evaluator)} with 95 % interval, higher is better")
    _part(axes, labels)


def _distance_title(table: Table, distance: str) -> str:
    """Return the name of a distance, with the mark of its network."""
    return _DISTANCES[distance] + mark_of(table.evaluator if distance == "fd_sync" else table.inception)


def _part(axes: Axes, labels: list[Annotation]) -> None:
    """Move labels up until none covers another, from the lowest to the highest."""
    from matplotlib.text import Text

    assert axes.figure is not None
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # only now the sizes and places are known
    point = axes.figure.dpi / 72
    placed: list[Bbox] = []
    for label in sorted(labels, key=lambda one: one.get_window_extent().y0):
        box = Text.get_window_extent(label)
        lifted = box
        for other in placed:
            if lifted.overlaps(other):
                lifted = lifted.translated(0, other.y1 - lifted.y0 + point)
        label.xyann = (_BESIDE[0], _BESIDE[1] + (lifted.y0 - box.y0) / point)
        placed.append(lifted)


def _offsets(axes: Axes, entries: Sequence[Run], colours: dict[str, str]) -> None:
    """Draw the AV offsets of each method in its own strip. The strips do not overlap."""
    places = list(range(-MAX_SHIFT, MAX_SHIFT + 1))
    bottoms = {entry.method: float(len(entries) - 1 - number) for number, entry in enumerate(entries)}
    for entry in entries:
        counts = Counter({int(offset): count for offset, count in entry.summary.offsets.items()})
        total = max(1, sum(counts.values()))
        heights = [_STRIP * counts[place] / total for place in places]
        axes.bar(places, heights, 1.0, bottom=bottoms[entry.method], color=colours[entry.method])
        axes.axhline(bottoms[entry.method], color=colours[entry.method], linewidth=0.5)
    axes.set_yticks(list(bottoms.values()), list(map(escape.plot, bottoms)))
    axes.set_ylim(0, len(entries))
    axes.set_xlabel("AV offset (frames of 40 ms; negative: the sound comes late)")
    axes.set_ylabel("share of clips (height of a strip: 100 %)")


def _bars(axes: Axes, tables: Sequence[Table], metric: str, label: str, colours: dict[str, str]) -> None:
    methods = list(dict.fromkeys(row.method for table in tables for row in table.rows))
    named: set[str] = set()
    width = 0.8 / len(methods)
    for number, method in enumerate(methods):
        for place, table in enumerate(tables):
            found = next((row.metrics[metric] for row in table.rows if row.method == method), None)
            if found is None or found.mean is None:
                continue
            half = 0.0 if found.ci95 is None else (found.ci95[1] - found.ci95[0]) / 2
            left = place + (number - (len(methods) - 1) / 2) * width
            axes.bar(
                left,
                found.mean,
                width,
                yerr=half,
                capsize=2,
                color=colours[method],
                label=None if method in named else escape.plot(method),
            )
            named.add(method)
    axes.set_xticks(range(len(tables)), [escape.plot(table.corpus) for table in tables])
    axes.set_ylabel(label)
    draw_legend(axes)


def write_plots(folder: Path, tables: Sequence[Table], entries: Sequence[Run]) -> list[dict[str, str]]:
    """Write every plot to `folder` and return its file, title and alternative text, for the page."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, title, svg in plots_of(tables, entries):
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        written.append({"file": f"plots/{name}.svg", "title": title, "alt": title})
    return written
