"""Cards side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.reliability.card import Card
from lse_bench.reliability.page import CARD_FILE
from lse_bench.reliability.sections import number, overview, percent, weights_of
from lse_bench.stored import read_stored
from lse_bench.tables import escape

_WAY_OUT = "Make the card again: lse-bench reliability"


def read_card(path: Path) -> Card:
    """Read a card. `path`: its folder or its card.json. Raises UsageError if there is none, or if it is damaged."""
    file = path / CARD_FILE if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{path}: no card; `lse-bench reliability CLIPS --out {path}` makes one")
    return read_stored(file, Card, _WAY_OUT)


def beside(cards: Mapping[str, Card]) -> str:
    """Return cards side by side as Markdown. `cards`: by name.

    Raises UsageError if cards of different versions of the damage are given: equal amounts are different damage.
    """
    versions = {card.damage_version for card in cards.values()}
    if len(versions) > 1:
        raise UsageError(
            f"cards of the damage versions {', '.join(map(str, sorted(versions)))} cannot be set side by side. Make "
            "the older ones again"
        )
    lines = ["# Reliability Cards side by side", ""]
    lines += ["| card | protocol | weights | clips | copies |", "|---|---|---|---:|---:|"]
    for name, card in cards.items():
        cells = (name, card.protocol, weights_of(card), str(card.clips), str(card.copies))
        lines.append(f"| {' | '.join(map(escape.markdown, cells))} |")
    lines += ["", "## At a glance", ""]
    head: list[str] | None = None
    for name, card in cards.items():
        first, *rows = overview(card)
        first[4] = "resolved by its clips"
        if head is None:
            head = ["card", *first]
            lines += [f"| {' | '.join(map(escape.markdown, head))} |", f"|---|---|{'---:|' * (len(head) - 2)}"]
        lines += [f"| {' | '.join(map(escape.markdown, (name, *row)))} |" for row in rows]
    lines += ["", "## Tau by damage", ""]
    measures = list(dict.fromkeys(one.name for card in cards.values() for one in card.measures))
    damages = list(dict.fromkeys(one.name for card in cards.values() for one in card.damages))
    lines += [f"| measure | damage | {' | '.join(map(escape.markdown, cards))} |", f"|---|---|{'---:|' * len(cards)}"]
    for measure in measures:
        for damage in damages:
            taus = [_tau(card, measure, damage) for card in cards.values()]
            lines.append(f"| {escape.markdown(measure)} | {escape.markdown(damage)} | {' | '.join(taus)} |")
    lines += ["", "## Spread by nuisances", ""]
    lines += [f"| measure | {' | '.join(map(escape.markdown, cards))} |", f"|---|{'---:|' * len(cards)}"]
    for measure in measures:
        spread = [{one.measure: one.cv for one in card.steadiness}.get(measure) for card in cards.values()]
        lines.append(f"| {escape.markdown(measure)} | {' | '.join(map(percent, spread))} |")
    return "\n".join(lines) + "\n"


def _tau(card: Card, measure: str, damage: str) -> str:
    row = next((one for one in card.seen if (one.measure, one.damage) == (measure, damage)), None)
    return "–" if row is None or row.blind is not None else number(row.per_clip.tau)
