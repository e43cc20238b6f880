"""What the records of a run have in common: their warnings by kind, and the protocol that their pictures ask for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lse_bench.runs.schema import Record

_SCENES = ("not a face crop", "huge frames")  # kinds of warnings on pictures that hold more than a face
_MOST = 0.5  # share of the scored clips from which the protocol is probably wrong


def warnings_by_kind(records: Sequence[Record]) -> Counter[str]:
    """Return how many scored clips have each kind of warning. A kind is the part before the first colon or number."""
    return Counter(
        kind
        for record in records
        if record.status == "ok"
        for kind in {re.split(r"[:\d,]", text)[0].strip() or "several streams" for text in record.warnings}
    )


def wrong_protocol(records: Sequence[Record], protocol: str) -> str | None:
    """Return a sentence if most clips under a whole-frame protocol are whole scenes, None otherwise."""
    scored = [record for record in records if record.status == "ok"]
    found = warnings_by_kind(scored)
    scenes = sum(any(text.startswith(_SCENES) for text in record.warnings) for record in scored)
    if not scored or scenes < _MOST * len(scored):
        return None
    kinds = ", ".join(f"{found[kind]} {kind}" for kind in _SCENES if found[kind])
    return (
        f"{scenes} of {len(scored)} clips are whole scenes ({kinds}), but {protocol} treats the whole frame as a face. "
        "Score them with --protocol tracked"
    )
