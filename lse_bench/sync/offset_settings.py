"""What is said about the offset of a clip beside the number of its protocol. None of it changes LSE-D or LSE-C."""

from __future__ import annotations

from dataclasses import dataclass

from lse_bench.errors import UsageError
from lse_bench.sync import search, timeline
from lse_bench.sync.curve import MAX_SHIFT
from lse_bench.sync.offsets import MS_PER_FRAME, Calibration

_NARROWEST = MAX_SHIFT * MS_PER_FRAME / 1000  # seconds that every curve covers


@dataclass(frozen=True, slots=True)
class OffsetSettings:
    """Settings of offsets.

    `calibration`: for their grades, None for no grades. `search`: how far to look for larger delays, in seconds, more
    than 0.6 and at most 60; None for not at all. `timeline`: the length of the pieces of which offsets over time are
    made, in seconds, 2 to 600; None for no timeline. Raises UsageError if a value is out of range.
    """

    calibration: Calibration | None = None
    search: float | None = None
    timeline: float | None = None

    def __post_init__(self) -> None:
        if self.search is not None and not _NARROWEST < self.search <= search.LONGEST:
            raise UsageError(
                f"search = {self.search:g} s: must be more than {_NARROWEST:g} s, which every curve covers, and at "
                f"most {search.LONGEST:g} s"
            )
        if self.timeline is not None and not timeline.SHORTEST <= self.timeline <= timeline.LONGEST:
            raise UsageError(
                f"timeline = {self.timeline:g} s: the length of a piece must be {timeline.SHORTEST:g} to "
                f"{timeline.LONGEST:g} s"
            )
