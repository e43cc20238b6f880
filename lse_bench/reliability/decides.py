"""What a card says of a table: which differences are smaller than so many clips can decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from lse_bench.errors import UsageError
from lse_bench.reliability.card import Card
from lse_bench.reliability.sections import title, weights_of
from lse_bench.runs.read import Run
from lse_bench.tables.table import Table


def is_about(card: Card, key: Mapping[str, str]) -> bool:
    """Return whether a card is of the weights and the protocol of a result with this comparison key."""
    return (card.protocol, card.weights) == (key.get("protocol"), key.get("weights_sha256"))


def refuse_other(card: Card, where: str, key: Mapping[str, str], about: str) -> None:
    """Raise UsageError if a card is of other weights or another protocol than a result with this comparison key.

    `where`, `about`: the card and the result in the message.
    """
    if not is_about(card, key):
        own, other = (
            f"{card.protocol}, {card.weights[:12]}",
            f"{key.get('protocol')}, {key.get('weights_sha256', '')[:12]}",
        )
        raise UsageError(
            f"{where} says nothing of {about}: it is of {own}, and that is of {other}. Make a card with the same "
            "weights and protocol"
        )


def measured_alike(card: Card, metric: str, runs: Sequence[Run]) -> bool:
    """Return whether a card has a measure with the settings that runs measured it with."""
    facts = next((one for one in card.measures if one.name == metric), None)
    if facts is None:
        return False
    ids = {run.description.measures[metric].id for run in runs if metric in run.description.measures}
    return not ids or ids == {facts.id}


def decided(card: Card, metric: str, difference: float | None, n: int) -> tuple[float | None, bool | None]:
    """Return the least difference that n clips decide, and whether `difference` reaches it; None if that is unknown."""
    least = card.resolves(metric, n) if n else None
    if least is None or difference is None:
        return least, None
    return least, abs(difference) >= least


def notes(card: Card, table: Table, runs: Sequence[Run]) -> list[str]:
    """Return a note for each measure of a table in which neighbours are closer than their clips can decide.

    `runs`: of the table.
    """
    found = []
    for facts in card.measures:
        if not measured_alike(card, facts.name, runs):
            continue
        rows = ((row.metrics[facts.name], row.method) for row in table.rows if facts.name in row.metrics)
        known = sorted((metric.mean, metric.n, method) for metric, method in rows if metric.mean is not None)
        close = []
        for (one, n, first), (other, m, second) in pairwise(known):
            least, reached = decided(card, facts.name, other - one, min(n, m))
            if least is not None and reached is False:
                close.append(f"{first} and {second} (they differ by {other - one:.3g}, of {least:.3g})")
        if close:
            found.append(
                f"{title(card, facts.name)}: too close to be ranked rightly by so many clips in 19 of 20 cases, says "
                f"the Reliability Card of {weights_of(card)} ({card.clips} clips): {', '.join(close)}."
            )
    return found
