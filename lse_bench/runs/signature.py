"""The signature of a result: its comparison key and the version of LSE-Bench in one line for a paper.

`lrs@1|syncnet_v2:961e8696|fps:25|fp32|ffmpeg:8.1.2|lse-bench:0.2.0`: protocol, scorer with the first digits of its
digest, frame rate, precision, FFmpeg where the protocol depends on it, and the version, which is not part of the key.
`fps:25` where no clip was converted or refused for its rate; else the policy.
"""

from __future__ import annotations

from collections.abc import Iterable

from lse_bench.runs.schema import Record, RunDescription
from lse_bench.sync.protocol import counts_as_25
from lse_bench.weights.table import name_of_digest

_PARTS = ("protocol", "weights_sha256", "fps_policy", "precision")
_IN_PROTOCOL = (
    "tracker",
    "min_track",
    "stride",
    "track_rule",
    "detector_sha256",
)  # the id has marks of them
DIGITS = 8


def signature(description: RunDescription, records: Iterable[Record]) -> str:
    """The signature of a run with these records."""
    key = description.key
    parts = [key["protocol"], short_name(key.get("weights_sha256", "")), _fps(key.get("fps_policy", ""), records)]
    parts.append(key.get("precision", ""))
    parts += [f"{name}:{value}" for name, value in key.items() if name not in (*_PARTS, *_IN_PROTOCOL)]
    begun = (description.versions or {}).get("lse-bench", "unknown")
    later = [(one.get("versions") or {}).get("lse-bench") for one in description.continued_with or []]
    return "|".join([*parts, f"lse-bench:{'+'.join(dict.fromkeys([begun, *filter(None, later)]))}"])


def short_name(sha256: str, name: str | None = None) -> str:
    """Weights in a signature: their name and the first digits of their digest."""
    return f"{name or name_of_digest(sha256) or 'weights'}:{sha256[:DIGITS]}"


def _fps(policy: str, records: Iterable[Record]) -> str:
    plain = all(
        record.status != "wrong_fps" and (record.fps is None or counts_as_25(record.fps)) and not _uneven(record)
        for record in records
    )
    return "fps:25" if plain else f"fps:{policy}"


def _uneven(record: Record) -> bool:
    return any(text.startswith("variable frame rate") for text in record.warnings)
