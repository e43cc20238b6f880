"""The card as JSON, Markdown, LaTeX and one HTML page."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from lse_bench.reliability.card import Card
from lse_bench.reliability.oracle import Seen
from lse_bench.reliability.sections import Grid, facts, number, overview, sections, weights_of
from lse_bench.storage import write_atomically
from lse_bench.stored import write_stored
from lse_bench.tables import escape
from lse_bench.weights.table import mark_of

CARD_FILE = "card.json"
_WORDED = ("damage", "why", "what differs", "and", "methods")  # columns of text


def write_card(out: Path, card: Card) -> None:
    """Write card.json, card.md, card.tex and card.html. Raises UsageError if jinja2 is not installed."""
    write_stored(out / CARD_FILE, card)
    write_atomically(out / "card.md", markdown(card).encode())
    write_atomically(out / "card.tex", latex(card).encode())
    write_atomically(out / "card.html", html(card).encode())


def html(card: Card) -> str:
    """Return the card as one HTML page, without outside files."""
    import jinja2

    template = files("lse_bench.reliability").joinpath("card.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"tint": _tint, "steps": _steps}
    return environment.from_string(template).render(
        card=card,
        weights=weights_of(card),
        small=bool(mark_of(card.weights_name)),
        seen={(row.measure, row.damage): row for row in card.seen},
        sections=sections(card),
        facts=facts(card),
        worded=_WORDED,
    )


def _tint(row: Seen) -> str:
    """Return the background of a tau: the stronger the larger, of one colour above 0 and another one below."""
    tau = row.per_clip.tau
    if row.blind is not None or tau is None:
        return ""
    return f"background: rgba(var(--{'good' if tau > 0 else 'bad'}), {0.45 * abs(tau):.2f})"


def _steps(row: Seen) -> str:
    """Return a small picture of the mean change at each step, as SVG."""
    changes = [0.0, *(step.change for step in row.steps if step.change is not None)]
    low, high = min(changes), max(changes)
    if row.blind is not None or len(changes) < 2 or high == low:
        return ""
    points = " ".join(
        f"{70 * place / (len(changes) - 1):.1f},{16 * (high - change) / (high - low):.1f}"
        for place, change in enumerate(changes)
    )
    line = f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    told = "mean change at each step: " + ", ".join(number(change) for change in changes)
    return f'<svg class="steps" viewBox="0 0 70 16" role="img" aria-label="{told}"><title>{told}</title>{line}</svg>'


def markdown(card: Card) -> str:
    """Return the card as Markdown."""
    lines = [f"# Reliability Card: {escape.markdown(card.protocol)}, {escape.markdown(weights_of(card))}", ""]
    lines += [f"- {escape.markdown(name)}: {escape.markdown(value)}" for name, value in facts(card).items()]
    for heading, told, grid in sections(card):
        lines += ["", f"## {heading}", "", told, ""]
        lines += _table(grid, escape.markdown)
    return "\n".join(lines) + "\n"


def _table(grid: Grid, escaped: Any) -> list[str]:
    head, *rows = grid
    lines = [f"| {' | '.join(map(escaped, head))} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return lines + [f"| {' | '.join(map(escaped, row))} |" for row in rows]


def latex(card: Card) -> str:
    """Return the taus and what follows from them as a LaTeX table (booktabs), one row a measure."""
    head, *rows = overview(card)
    lines = [
        f"% Reliability Card, {card.signature}, {card.clips} clips, {card.copies} copies",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(map(escape.latex, head)) + r" \\",
        r"\midrule",
        *(" & ".join(map(escape.latex, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"
