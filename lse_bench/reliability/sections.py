"""The tables of a card as text, with what explains them."""

from __future__ import annotations

import shlex
from typing import Any

from lse_bench.reliability.card import Card
from lse_bench.reliability.oracle import Interval, Seen
from lse_bench.weights.table import mark_of

Grid = list[list[str]]


def overview(card: Card) -> Grid:
    """Return one row for each measure: what it sees, what spreads it, what it resolves, whether it was fooled."""
    rows: Grid = [
        ["measure", "damage seen", "best tau", "CV of nuisances", f"resolved by {card.clips} clips", "rise by attack"]
    ]
    steady = {one.measure: one.cv for one in card.steadiness}
    fooled = {one.measure: one for one in card.gaming.measures} if card.gaming is not None else {}
    for one in card.measures:
        mine = [row for row in card.seen if row.measure == one.name]
        open_to = [row for row in mine if row.blind is None]
        sees = [row for row in open_to if row.per_clip.ci95 is not None and row.per_clip.ci95[0] > 0]
        best = max(open_to, key=lambda row: row.per_clip.tau or -1.0, default=None)
        least = card.resolves(one.name, card.clips)
        rise = fooled[one.name].rise if one.name in fooled else None
        rows.append(
            [
                title(card, one.name),
                f"{len(sees)} of {len(mine)}",
                "–" if best is None else f"{number(best.per_clip.tau)} ({best.damage})",
                percent(steady.get(one.name)),
                "–" if least is None else number(least),
                percent(rise),
            ]
        )
    return rows


def sections(card: Card) -> list[tuple[str, str, Grid]]:
    """Return the tables of the card: heading, explanation, rows with their head."""
    found = [("At a glance", _AT_A_GLANCE, overview(card))]
    if card.seen:
        found.append(("Oracle: what a measure sees", _ORACLE, _taus(card)))
        found.append(("Smallest damage that shows", _SMALLEST, _smallest(card)))
        if any(row.blind for row in card.seen):
            found.append(("Where there is no tau", _BLIND, _blind(card)))
    if card.moved:
        found.append(("Nuisance: what should not move it", _NUISANCE, _nuisances(card)))
    found.append(("Resolution: how many clips decide", _RESOLUTION, _resolution(card)))
    if card.between:
        found.append(("Resolution between methods", _BETWEEN, _between(card)))
    if card.repeats:
        found.append(("Repeatability", _REPEATS, _repeats(card)))
    if card.agreement:
        found.append(("Agreement with other measures", _AGREEMENT, _agreement(card)))
    if card.people:
        found.append(("Agreement with people", _people_told(card), _people(card)))
    if card.gaming is not None:
        found.append(("Gaming: confidence without a moving mouth", _gaming_told(card), _gaming(card)))
    return found


_AT_A_GLANCE = (
    "Damage seen: kinds whose tau is above 0 at the 95 % level, of all kinds. Resolved: the true difference of two "
    "sets that so many clips rank wrongly in 5 % of cases. Rise by attack: a share of the way from unsynced to real."
)
_ORACLE = (
    "Kendall's tau-b of the damage and the measure: the mean over clips, with its 95 % interval. 1: more damage is "
    "always worse; 0: no relation; −1: more damage is always better. A dash: there is none, see below."
)
_SMALLEST = (
    "The smallest step from which on the mean over all clips differs from that without damage, at the 95 % level. In "
    "brackets: the share of single clips that are called worse at this step. A dash: no step does."
)
_BLIND = "These cells have no tau: the measure cannot see the damage by definition, does not change, or lacks values."
_NUISANCE = (
    "Mean change, and in brackets the damage of the kind that the measure sees best which moves the mean as much. The "
    "last row is the coefficient of variation over all nuisances."
)
_REPEATS = "The same clips in another run: the largest difference of a clip, and the standard deviation of differences."
_AGREEMENT = (
    "Spearman's rank correlation with its 95 % interval, over the clips without damage, and over the means of the sets "
    "of damaged copies. 1: both call the same ones better."
)


def _taus(card: Card) -> Grid:
    seen = {(row.measure, row.damage): row for row in card.seen}
    rows: Grid = [["damage", *(title(card, one.name) for one in card.measures)]]
    for damage in card.damages:
        cells = [seen[one.name, damage.name] for one in card.measures]
        rows.append([f"{damage.name}: {damage.what}", *(_tau(cell) for cell in cells)])
    return rows


def _tau(cell: Seen) -> str:
    if cell.blind is not None or cell.per_clip.tau is None:
        return "–"
    return f"{number(cell.per_clip.tau)} {interval(cell.per_clip.ci95)}".rstrip()


def _smallest(card: Card) -> Grid:
    seen = {(row.measure, row.damage): row for row in card.seen}
    rows: Grid = [["damage", *(title(card, one.name) for one in card.measures)]]
    for damage in card.damages:
        cells = []
        for one in card.measures:
            row = seen[one.name, damage.name]
            step = next((step for step in row.steps if step.amount == row.smallest), None)
            cells.append("–" if step is None else f"{amount(step.amount, damage.unit)} ({percent(step.worse)})")
        rows.append([damage.name, *cells])
    return rows


def _blind(card: Card) -> Grid:
    rows: Grid = [["measure", "damage", "why"]]
    for one in card.measures:
        by_reason: dict[str, list[str]] = {}
        for row in card.seen:
            if row.measure == one.name and row.blind is not None:
                by_reason.setdefault(row.blind, []).append(row.damage)
        rows += [[title(card, one.name), ", ".join(names), why] for why, names in by_reason.items()]
    return rows


def _nuisances(card: Card) -> Grid:
    moved = {(row.measure, row.nuisance): row for row in card.moved}
    rows: Grid = [["nuisance", *(title(card, one.name) for one in card.measures)]]
    for nuisance in card.nuisances:
        cells = []
        for one in card.measures:
            row = moved[one.name, nuisance.name]
            cells.append("–" if row.change is None else f"{number(row.change, sign=True)} {_like(card, row)}".rstrip())
        rows.append([f"{nuisance.name}: {nuisance.what}", *cells])
    steady = {one.measure: one.cv for one in card.steadiness}
    return [*rows, ["coefficient of variation", *(percent(steady.get(one.name)) for one in card.measures)]]


def _like(card: Card, row: Any) -> str:
    if row.equivalent is None:
        return ""
    damage = next(one for one in card.damages if one.name == row.equivalent.damage)
    if row.equivalent.amount is None:
        return f"(more than {damage.name} {amount(damage.steps[-1], damage.unit)})"
    return f"({damage.name} {amount(row.equivalent.amount, damage.unit)})"


_RESOLUTION = (
    "The true difference of two sets that n clips rank wrongly in 5 % of cases, from the paired differences of clips "
    "and their damaged copies (the median pair). card.json has every pair."
)
_BETWEEN = (
    "Each two methods: their difference, the probability that n clips rank them wrongly if it is the true one, and the "
    "number of clips for which that is 5 %."
)


def _resolution(card: Card) -> Grid:
    counts = next((list(one.least) for one in card.resolution if one.least), [])
    rows: Grid = [["measure", *(f"n = {n:,}" for n in counts)]]
    return rows + [[title(card, one.measure), *(number(one.least.get(n)) for n in counts)] for one in card.resolution]


def _between(card: Card) -> Grid:
    pairs = [pair for one in card.between for pair in one.pairs]
    counts = list(pairs[0].wrong)
    rows: Grid = [["measure", "methods", "difference", *(f"wrong at n = {n:,}" for n in counts), "clips for 5 %"]]
    return rows + [
        [
            title(card, one.measure),
            f"{one.first}, {one.second}",
            number(one.difference),
            *(percent(one.wrong[n]) for n in counts),
            "–" if one.needed is None else f"{one.needed:,}",
        ]
        for one in pairs
    ]


def _repeats(card: Card) -> Grid:
    rows: Grid = [["run", "measure", "clips", "largest", "deviation", "what differs"]]
    return rows + [
        [
            one.run,
            title(card, one.measure),
            str(one.n),
            number(one.largest),
            number(one.deviation),
            "; ".join(one.differs) or "nothing that is recorded",
        ]
        for one in card.repeats
    ]


def _agreement(card: Card) -> Grid:
    rows: Grid = [["measure", "and", "over clips", "over sets", "sets"]]
    for one in card.agreement:
        clips, sets = (f"{number(o.spearman)} {interval(o.spearman_ci95)}".rstrip() for o in (one.clips, one.sets))
        rows.append([title(card, one.first), title(card, one.second), clips, sets, str(one.sets.n)])
    return rows


def _people_told(card: Card) -> str:
    told = "In how many comparisons of two clips a measure and the majority of people prefer the same; chance is 0.5."
    if card.ceiling is None:
        return told
    most = f"{number(card.ceiling.share)} {interval(card.ceiling.ci95)}".rstrip()
    return f"{told} One person agrees with the majority of the others in {most}."


def _people(card: Card) -> Grid:
    rows: Grid = [["measure", "agreement", "comparisons"]]
    return rows + [
        [title(card, o.measure), f"{number(o.pairs.share)} {interval(o.pairs.ci95)}".rstrip(), str(o.pairs.n)]
        for o in card.people
    ]


def _gaming_told(card: Card) -> str:
    assert card.gaming is not None
    return (
        f"The mouth stands still, and every other pixel is changed by at most {card.gaming.bound:g} of 255 grey "
        f"levels, along the gradient of the scoring network ({card.gaming.passes} passes), before the clip is encoded. "
        "This is a test of the measure. A generator that is trained with such a network can learn the same. Rise: a "
        "share of the way from unsynced to real. Back: of the way from frozen to real. A measure that sees frozen "
        "mouths and goes back little exposes the attack."
    )


def _gaming(card: Card) -> Grid:
    assert card.gaming is not None
    rows: Grid = [["measure", "real", "unsynced", "frozen", "attacked", "rise", "back", "clips", "exposes it"]]
    return rows + [
        [
            title(card, one.measure),
            number(one.real),
            number(one.unsynced),
            number(one.frozen),
            number(one.attacked),
            f"{percent(one.rise)} {percents(one.rise_ci95)}".rstrip(),
            percent(one.back),
            str(one.n),
            "yes" if one.exposes else "no",
        ]
        for one in card.gaming.measures
    ]


def facts(card: Card) -> dict[str, str]:
    """Return what the numbers depend on, by name."""
    length = "" if card.seconds is None else f" of {card.seconds:.2f} s on average"
    failed = ", ".join(f"{count} {status}" for status, count in card.failed.items())
    found = {
        "clips": f"{card.clips}{length}, {card.clusters} groups that are independent (by {card.unit})",
        "copies": f"{card.copies} (damage version {card.damage_version})"
        + (f"; without a score: {failed}" if failed else ""),
        "weights": f"{weights_of(card)}, SHA-256 {card.weights}",
        "signature": card.signature,
        "list": f"SHA-256 {card.clips_sha256}",
        "versions": ", ".join(f"{name} {value}" for name, value in (card.versions or {}).items()),
        "machine": ", ".join(f"{name} {value}" for name, value in (card.machine or {}).items()),
        "command": shlex.join(card.command),
    }
    found |= {f"measure {one.name}": one.id for one in card.measures if one.id != card.signature}
    return {name: value for name, value in found.items() if value}


def weights_of(card: Card) -> str:
    """Return the name of the scorer's weights, or the start of their digest."""
    return card.weights_name or card.weights[:12]


def title(card: Card, name: str) -> str:
    """Return a measure as it is headed: with the mark of small weights and an arrow to its better end."""
    plain = {"lse_d": "LSE-D", "lse_c": "LSE-C", "lse_d_at_0": "LSE-D at 0"}.get(name, name)
    marked = plain + (mark_of(card.weights_name) if name.startswith(("lse_", "abs(offset", "offset")) else "")
    return f"{marked} {({True: '↑', False: '↓', None: ''})[card.of(name).higher_is_better]}".rstrip()


def number(value: float | None, sign: bool = False) -> str:
    """Return a number with three significant digits; a dash for none."""
    if value is None:
        return "–"
    return f"{value:{'+' if sign else ''}.3g}" if abs(value) < 1000 else f"{value:{'+' if sign else ''},.0f}"


def interval(ci95: Interval | None) -> str:
    """Return an interval in brackets; nothing for none."""
    return "" if ci95 is None else f"[{number(ci95[0])}, {number(ci95[1])}]"


def percent(value: float | None) -> str:
    """Return a share in per cent; a dash for none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def percents(ci95: Interval | None) -> str:
    """Return an interval of shares in per cent; nothing for none."""
    return "" if ci95 is None else f"[{100 * ci95[0]:.1f}, {100 * ci95[1]:.1f}]"


def amount(value: float, unit: str) -> str:
    """Return an amount of damage with its unit."""
    if unit == "share":
        return f"{100 * value:.3g} %"
    return f"{value:.3g} {unit}" if unit == "s" else f"{value:.3g}"
