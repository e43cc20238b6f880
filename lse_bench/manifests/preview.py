"""What was understood of a list or a folder, for the user to check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_SHOWN = 3  # speakers that a line shows


@dataclass(slots=True)
class Preview:
    """What was understood of a list or a folder.

    `lines`: for the user, one for each column. `doubts`: what is probably not meant.
    """

    lines: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def add_speakers(self, origin: str, speakers: Sequence[str | None]) -> None:
        """Add a line with the speakers and how often each occurs. None: no speaker. `origin`: what names them."""
        counts = Counter(name for name in speakers if name is not None)
        listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common(_SHOWN))
        more = ", …" if len(counts) > _SHOWN else ""
        noun = "speaker" if len(counts) == 1 else "speakers"
        self.lines.append(f"speaker ← {origin}: {len(counts)} {noun}: {listed}{more}")
