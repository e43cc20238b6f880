"""Make the signature of a result: its comparison key and the version of LSE-Bench in one line for a paper.

An example is `lrs@1|syncnet_v2:961e8696|fps:25|fp32|ffmpeg:8.1.2|lse-bench:0.2.0`. It names the protocol, the scorer
with the first digits of its digest, the frame rate and the precision. It names FFmpeg's version if the protocol depends
on it. The version of LSE-Bench is not part of the key. The frame rate says what happened: `fps:25` if no clip was
converted or refused for its rate, `fps:resample` if clips were converted by presentation time, else the frame rate
policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lse_bench.sync.protocol import counts_as_25
from lse_bench.weights.table import name_of_digest

_PARTS = ("protocol", "weights_sha256", "fps_policy", "precision")
_IN_PROTOCOL = ("tracker", "min_track", "stride", "track_rule", "detector_sha256")  # the protocol id already shows them
DIGITS = 8


def as_happened(policy: str, converted: bool, refused: bool) -> str:
    """Return the frame rate of a comparison key: what happened, and not what was asked for.

    `policy`: the frame rate policy. `converted`: whether a clip of another or an uneven rate was scored. `refused`:
    whether a clip was refused for its rate. `require-25` and `resample` convert an uneven clip in the same way.
    """
    if refused:
        return policy
    if not converted:
        return "25"
    return "resample" if policy == "require-25" else policy


def signature(key: Mapping[str, str], versions: Iterable[str]) -> str:
    """Return the signature of results with the comparison key `key`.

    `versions`: versions of LSE-Bench, more than one if another version continued the run.
    """
    parts = [key["protocol"], short_name(key.get("weights_sha256", ""))]
    parts += [f"fps:{key.get('fps_policy', '')}", key.get("precision", "")]
    parts += [f"{name}:{value}" for name, value in key.items() if name not in (*_PARTS, *_IN_PROTOCOL)]
    return "|".join([*parts, f"lse-bench:{'+'.join(dict.fromkeys(versions)) or 'unknown'}"])


def short_name(sha256: str, name: str | None = None) -> str:
    """Return the short name of weights in a signature: the name and the first 8 digits of the digest.

    `name`: None to look the digest up in the table of weights.
    """
    return f"{name or name_of_digest(sha256) or 'weights'}:{sha256[:DIGITS]}"


def at_25(fps: float | None, warnings: Iterable[str]) -> bool:
    """Return whether a clip was read without conversion: 25 frames per second, evenly spaced.

    `fps`: frame rate of the file, None if it is unknown. `warnings`: the warnings of the clip.
    """
    uneven = any(text.startswith("variable frame rate") for text in warnings)
    return not uneven and (fps is None or counts_as_25(fps))
