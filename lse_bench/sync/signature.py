"""The signature of a result: its comparison key and the version of LSE-Bench in one line for a paper.

`lrs@1|syncnet_v2:961e8696|fps:25|fp32|ffmpeg:8.1.2|lse-bench:0.2.0`: protocol, scorer with the first digits of its
digest, frame rate, precision, FFmpeg where the protocol depends on it, and the version, which is not part of the key.
`fps:25` where no clip was converted or refused for its rate; else the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lse_bench.sync.protocol import counts_as_25
from lse_bench.weights.table import name_of_digest

_PARTS = ("protocol", "weights_sha256", "fps_policy", "precision")
_IN_PROTOCOL = ("tracker", "min_track", "stride", "track_rule", "detector_sha256")  # the id has marks of them
DIGITS = 8


def signature(key: Mapping[str, str], all_at_25: bool, versions: Iterable[str]) -> str:
    """The signature of results with this comparison key. `all_at_25`: no clip was converted or refused for its frame
    rate; `versions`: of LSE-Bench, several where another version went on with a run."""
    parts = [key["protocol"], short_name(key.get("weights_sha256", ""))]
    parts += ["fps:25" if all_at_25 else f"fps:{key.get('fps_policy', '')}", key.get("precision", "")]
    parts += [f"{name}:{value}" for name, value in key.items() if name not in (*_PARTS, *_IN_PROTOCOL)]
    return "|".join([*parts, f"lse-bench:{'+'.join(dict.fromkeys(versions)) or 'unknown'}"])


def short_name(sha256: str, name: str | None = None) -> str:
    """Weights in a signature: their name and the first digits of their digest."""
    return f"{name or name_of_digest(sha256) or 'weights'}:{sha256[:DIGITS]}"


def at_25(fps: float | None, warnings: Iterable[str]) -> bool:
    """Whether a clip was read as it is: 25 frames per second, evenly spaced. `fps`: None where it is not known."""
    uneven = any(text.startswith("variable frame rate") for text in warnings)
    return not uneven and (fps is None or counts_as_25(fps))
