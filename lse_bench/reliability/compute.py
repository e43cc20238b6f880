"""Compute a Reliability Card from the run of damaged copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lse_bench.damage.clips import AGAIN, NUISANCES, Damage
from lse_bench.errors import UsageError
from lse_bench.reliability.agreement import agreement
from lse_bench.reliability.asked import Asked, kinds
from lse_bench.reliability.attack import Attack
from lse_bench.reliability.card import Card, DamageFacts, MeasureFacts, People
from lse_bench.reliability.gaming import gaming
from lse_bench.reliability.nuisance import best_seen, moved, steadiness
from lse_bench.reliability.oracle import Seen, seen
from lse_bench.reliability.plan import NONE, SOURCE, Part, condition
from lse_bench.reliability.repeats import repeats
from lse_bench.reliability.resolution import Resolution, resolution
from lse_bench.reliability.values import Table, Values, table_of
from lse_bench.runs.read import Run
from lse_bench.runs.statistics import mean_with_interval
from lse_bench.runs.summary import members_of
from lse_bench.study.report import StudyReport


@dataclass(frozen=True, slots=True)
class Beside:
    """What a card takes beside the damaged copies.

    `methods`: runs of methods on one list of clips, by name. `again`: runs of the card's clips, by name. `study`: the
    report of a study; None without one.
    """

    methods: Mapping[str, Run] = field(default_factory=dict)
    again: Mapping[str, Run] = field(default_factory=dict)
    study: StudyReport | None = None


def card_of(
    run: Run,
    asked: Sequence[Asked],
    parts: Collection[Part],
    attack: Attack,
    beside: Beside,
    command: Sequence[str] = (),
) -> Card:
    """Compute a card. `run`: of the damaged copies. `asked`: the measures. `command`: the words that the card tells.

    Raises UsageError if no copy has a score.
    """
    table = table_of(run.records, asked)
    if not any(np.isfinite(table.of(one.name, NONE)).any() for one in asked):
        raise UsageError(f"{run.name}: no clip has a value of {', '.join(one.name for one in asked)}")
    damages = kinds() if "oracle" in parts else []
    rows = [_seen(table, one, damage) for one in asked for damage in damages]
    nuisances = list(NUISANCES.values()) if "nuisance" in parts else []
    best = {one.name: best_seen([row for row in rows if row.measure == one.name]) for one in asked}
    lengths = [r.seconds for r in run.records if r.groups["damage"] == SOURCE and r.seconds is not None]
    scored = {name for _, name in table.values}
    conditions = [name for one in kinds() for amount in one.steps if (name := condition(one.name, amount)) in scored]
    study = beside.study
    about = run.description
    card = Card(
        versions=about.versions,
        machine=about.machine,
        continued_with=about.continued_with,
        parts=list(parts),
        protocol=about.protocol,
        weights=about.weights.sha256 or "",
        weights_name=about.weights.name,
        signature=run.signature,
        clips=len(table.clips),
        clips_sha256=about.clip_list.sha256,
        seconds=float(np.mean(lengths)) if lengths else None,
        clusters=len(np.unique(table.clusters)),
        unit=table.members.unit,
        copies=len(run.records),
        failed=dict(Counter(record.status for record in run.records if record.status != "ok")),
        command=list(command or about.command),
        measures=[_facts(table, one, run) for one in asked],
        damages=[_told(one, True) for one in damages],
        nuisances=[_told(one, False) for one in nuisances],
        seen=rows,
        moved=[
            moved(one.name, n.name, *_around(table, one, n), table.members, best[one.name])
            for one in asked
            for n in nuisances
        ],
        steadiness=[steadiness(one.name, _spread(table, one, nuisances)) for one in asked] if nuisances else [],
        resolution=_resolutions(table, asked, conditions),
        between=_between(asked, beside.methods) if beside.methods else [],
        repeats=repeats(beside.again, asked, table.clips, {one.name: table.of(one.name, SOURCE) for one in asked}, run),
        agreement=agreement(table, asked, NONE, conditions),
        people=[]
        if study is None
        else [
            People(measure=one.measure, pairs=one.pairs)
            for one in study.measures
            if one.pairs is not None and one.measure in {a.name for a in asked}
        ],
        ceiling=None if study is None else study.ceiling,
        gaming=gaming(table, asked, rows, attack) if "gaming" in parts else None,
    )
    return Card.model_validate(_rounded(card.model_dump(by_alias=True)))


def _rounded(value: Any) -> Any:
    """Return content with its numbers rounded to 12 decimals.

    Sums of a clip differ in the 15th digit with the clips that were in the batch before it, as after a restart.
    """
    if isinstance(value, float):
        return round(value, 12)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _seen(table: Table, measure: Asked, damage: Damage) -> Seen:
    columns = [NONE, *(condition(damage.name, amount) for amount in damage.steps)]
    values = np.stack([table.of(measure.name, name) for name in columns], axis=1)
    return seen(
        measure.name,
        damage.name,
        damage.steps,
        values,
        table.members,
        table.clusters,
        higher_is_better=measure.higher_is_better,
        blind=measure.blind_to(damage),
    )


def _around(table: Table, measure: Asked, nuisance: Damage) -> tuple[Values, Values]:
    """Return the values before and after a nuisance. Being written again is the one that every copy has."""
    names = (SOURCE, NONE) if nuisance.name == AGAIN else (NONE, nuisance.name)
    before, after = (table.of(measure.name, name) for name in names)
    return before, after


def _spread(table: Table, measure: Asked, nuisances: Sequence[Damage]) -> dict[str, Values]:
    names = [NONE, *(one.name for one in nuisances if one.name != AGAIN)]
    return {name: table.of(measure.name, name) for name in names}


def _facts(table: Table, measure: Asked, run: Run) -> MeasureFacts:
    values = table.of(measure.name, NONE)
    there = np.isfinite(values)
    estimate = mean_with_interval(values[there], table.members[there])
    about = run.description.measures.get(measure.field)
    return MeasureFacts(
        name=measure.name,
        id=run.signature if about is None else about.id,
        unit="ms" if measure.field == "offset_ms" else "" if about is None else about.unit,
        higher_is_better=measure.higher_is_better,
        mean=estimate.mean,
        ci95=estimate.ci95,
        n=estimate.n,
    )


def _told(damage: Damage, in_steps: bool) -> DamageFacts:
    return DamageFacts(
        name=damage.name,
        what=damage.what,
        unit=damage.unit if in_steps else "",
        steps=list(damage.steps) if in_steps else [],
    )


def _resolutions(table: Table, asked: Sequence[Asked], conditions: Sequence[str]) -> list[Resolution]:
    """Return what each measure resolves between no damage and each step of damage."""
    names = (NONE, *conditions)
    return [
        resolution(one.name, {name: table.of(one.name, name) for name in names}, table.members, NONE) for one in asked
    ]


def _between(asked: Sequence[Asked], methods: Mapping[str, Run]) -> list[Resolution]:
    """Return what each measure resolves between methods. Raises UsageError if they share too few scored clips."""
    records = {name: {r.id: r for r in run.records if r.status == "ok"} for name, run in methods.items()}
    common = sorted(set.intersection(*(set(found) for found in records.values())))
    if len(common) < 2:
        raise UsageError(f"--method: {', '.join(methods)} share {len(common)} scored clips; two or more are needed")
    members = members_of([records[next(iter(methods))][clip] for clip in common])
    found = []
    for one in asked:
        sets = {
            name: np.array([np.nan if (value := one.value(held[clip])) is None else value for clip in common])
            for name, held in records.items()
        }
        found.append(resolution(one.name, sets, members))
    return [one for one in found if one.pairs]
