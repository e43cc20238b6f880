"""The Reliability Card as a stored object."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lse_bench.damage.clips import VERSION
from lse_bench.errors import Status, UsageError
from lse_bench.reliability.agreement import Agreement
from lse_bench.reliability.gaming import Gaming
from lse_bench.reliability.nuisance import Moved, Steadiness
from lse_bench.reliability.oracle import Interval, Seen
from lse_bench.reliability.repeats import Repeat
from lse_bench.reliability.resolution import Resolution, least_difference
from lse_bench.stored import Surroundings
from lse_bench.study.agreement import PairAgreement


class MeasureFacts(BaseModel):
    """A measure of the card."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    name: str
    """Its name."""
    id: str
    """All that moves its values: its settings, or those of the scorer."""
    unit: str
    """The unit of its values; empty for none."""
    higher_is_better: bool | None
    """Whether a higher value is better; null if neither end is. Then a positive tau means a rising value."""
    mean: float | None
    """Mean over the clips without damage; null without clips."""
    ci95: Interval | None
    """95 % interval of the mean."""
    n: int
    """Number of clips with a value."""


class DamageFacts(BaseModel):
    """A kind of damage, or a nuisance."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """Its name."""
    what: str
    """What is done."""
    unit: str
    """The unit of its amounts; empty for a nuisance."""
    steps: list[float]
    """Its amounts; empty for a nuisance."""


class People(BaseModel):
    """How far a measure agrees with people."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    measure: str
    """The measure."""
    pairs: PairAgreement
    """In how many comparisons of two clips it prefers the one that the majority prefers."""


class Card(Surroundings):
    """The content of card.json."""

    schema_version: int = 1
    """Version of this format."""
    kind: Literal["reliability card"] = "reliability card"
    """Kind of the file."""
    damage_version: int = VERSION
    """Version of the damage. Cards of different versions are not set side by side."""
    parts: list[str]
    """The parts that were measured: oracle, nuisance, gaming."""
    protocol: str
    """Protocol id."""
    weights: str
    """SHA-256 of the scorer's checkpoint."""
    weights_name: str | None
    """Its name in the table of weights; null if the table does not list it."""
    signature: str
    """The comparison key and the version in one line."""
    clips: int
    """Number of clips."""
    clips_sha256: str
    """SHA-256 over the clips' names, groups and files, and over the damage."""
    seconds: float | None
    """Mean length of a clip in seconds; null if none could be read."""
    clusters: int
    """Number of groups of clips that depend on each other."""
    unit: str
    """What clips share that depend on each other: clip or speaker."""
    copies: int
    """Number of scored copies."""
    failed: dict[Status, int]
    """Number of copies without a score, by status."""
    command: list[str]
    """The command line."""
    measures: list[MeasureFacts]
    """The measures."""
    damages: list[DamageFacts]
    """The kinds of damage."""
    nuisances: list[DamageFacts]
    """The nuisances."""
    seen: list[Seen]
    """What each measure sees of each kind of damage."""
    moved: list[Moved]
    """How far each nuisance moves each measure."""
    steadiness: list[Steadiness]
    """How far all nuisances together spread each measure."""
    resolution: list[Resolution]
    """The smallest difference that each measure decides, from the clips and their damaged copies."""
    between: list[Resolution]
    """The same from runs of methods; empty without them."""
    repeats: list[Repeat]
    """How far other runs of the same clips repeat the values."""
    agreement: list[Agreement]
    """Measures beside each other."""
    people: list[People]
    """Agreement with people; empty without a study."""
    ceiling: PairAgreement | None
    """How often one person's vote agrees with the majority of the others: no measure can be expected to do better."""
    gaming: Gaming | None
    """How far confidence rises without a moving mouth; null if it was not tried."""

    def of(self, measure: str) -> MeasureFacts:
        """Return a measure by name. Raises UsageError if the card has none of this name."""
        found = next((one for one in self.measures if one.name == measure), None)
        if found is None:
            raise UsageError(
                f"the card has no measure {measure}; it has {', '.join(one.name for one in self.measures)}"
            )
        return found

    def resolves(self, measure: str, n: int) -> float | None:
        """Return the difference that n clips rank wrongly in 5 % of cases; None if the card does not know.

        Runs of methods tell it where the card has them, damaged copies elsewhere.
        """
        known = (one.deviation for one in (*self.between, *self.resolution) if one.measure == measure)
        deviation = next((one for one in known if one is not None), None)
        return None if deviation is None else least_difference(deviation, n)
