"""Which damaged copies of which clips are scored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lse_bench.damage.clips import AGAIN, NUISANCES, ORACLE, VERSION
from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.listed import ListedClip
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.probe import probe
from lse_bench.naming import safe_id
from lse_bench.runs.outcomes import digest_or_none

Part = Literal["oracle", "nuisance", "gaming"]
PARTS: tuple[Part, ...] = ("oracle", "nuisance", "gaming")
SOURCE, NONE, ATTACKED, FROZEN = "source", "none", "attacked", "frozen-mouth"
_LONGEST_DELAY = 0.6  # of a clip: enough speech stays to be compared
_ROUNDING = 0.02  # seconds: half a frame
_LEAST = 2  # clips: a clip can get the sound of another one


@dataclass(frozen=True, slots=True)
class Planned:
    """A copy to be made and scored.

    `damage`: its name in `damage.clips`, or `source` for the clip itself, `none` for a plain copy, `attacked` for a
    frozen mouth that an attack makes look well. `amount`: of the damage; 0 for none. `source`: the clip. `other`: the
    clip whose sound is used in the place of its own. `listed`: the copy, as its record names it; its path is that of
    the clip until the copy is made.
    """

    damage: str
    amount: float
    source: ListedClip
    other: ClipFiles
    listed: ListedClip


def condition(damage: str, amount: float) -> str:
    """Return the name of a condition, such as `late-0.2`."""
    return damage if damage in (SOURCE, NONE, ATTACKED) or damage in NUISANCES else f"{damage}-{amount:g}"


def refuse_unusable(clips: Sequence[ListedClip]) -> list[ListedClip]:
    """Return the clips that have a file. Raises UsageError if there are fewer than two."""
    usable = [clip for clip in clips if clip.absent is None]
    if len(usable) < _LEAST:
        raise UsageError(f"{len(usable)} of {len(clips)} clips can be read; a card needs {_LEAST} or more")
    return usable


def plan(clips: Sequence[ListedClip], parts: Collection[Part], attacked: int, bound: float) -> Iterator[Planned]:
    """Yield the copies of each clip, all of one clip after another.

    `clips`: those that have a file. `parts`: of the card. `attacked`: of how many clips the mouth is frozen and the
    rest attacked, by at most `bound` grey levels. A delay of more than 0.6 of a clip's length is left out for that
    clip.
    """
    chosen = {clip.id for clip in spread(clips, attacked)} if "gaming" in parts else set()
    lengths = [_seconds(clip) for clip in clips]
    for place, clip in enumerate(clips):
        wanted = [(SOURCE, 0.0), (NONE, 0.0)]
        if "oracle" in parts:
            longest = _LONGEST_DELAY * lengths[place]
            wanted += [
                (one.name, amount)
                for one in ORACLE.values()
                for amount in one.steps
                if not one.delays or amount <= longest + _ROUNDING
            ]
        if clip.id in chosen:
            gaming = [("other-sound", 1.0), (FROZEN, 1.0), (ATTACKED, 1.0)]
            wanted += [one for one in gaming if one not in wanted]
        if "nuisance" in parts:
            wanted += [(name, 0.0) for name in NUISANCES if name != AGAIN]
        groups = clip.groups | {"source": clip.id, "source_sha256": (digest_or_none(clip.path) or "")[:16]}
        other = _another(clips, lengths, place).files
        for damage, amount in wanted:
            name = condition(damage, amount)
            limit = {"bound": f"{bound:g}"} if damage == ATTACKED else {}  # so that a run has one bound
            listed = ListedClip(
                id=safe_id(f"{name}--{clip.id}"),
                clip=f"damage@{VERSION}/{name}/{clip.clip}",
                path=clip.path,
                groups=groups | {"damage": damage, "amount": f"{amount:g}"} | limit,
            )
            yield Planned(damage, amount, clip, other, listed)


def spread(clips: Sequence[ListedClip], count: int) -> list[ListedClip]:
    """Return `count` clips that are spread evenly over a list; all of them if there are fewer."""
    if count >= len(clips):
        return list(clips)
    return [clips[place * len(clips) // count] for place in range(count)]


def part_of_copy(listed: ListedClip, share: tuple[float, float] | None, seconds: float) -> ListedClip:
    """Return a copy of which only a part is scored. `share`: its start and end; None for the whole copy."""
    if share is None:
        return listed
    start, end = (None if edge in (0.0, 1.0) else round(edge * seconds, 2) for edge in share)
    return replace(listed, start=start, end=end)


def _another(clips: Sequence[ListedClip], lengths: Sequence[float], place: int) -> ListedClip:
    """Return the next clip of another speaker that can be heard, or the next clip if there is none."""
    places = [(place + step) % len(clips) for step in range(1, len(clips))]
    heard = [clips[one] for one in places if lengths[one]] or [clips[places[0]]]
    speaker = _speaker(clips[place])
    return next((one for one in heard if _speaker(one) != speaker), heard[0])


def _speaker(clip: ListedClip) -> str:
    return clip.groups.get("speaker") or clip.groups.get("video") or clip.id


def _seconds(clip: ListedClip) -> float:
    """Return the length of a clip; 0 if it cannot be seen or heard, which its records tell."""
    try:
        info = probe(clip.path)
        heard = info if clip.sound is None else probe(clip.sound)
    except ClipError:
        return 0.0
    if info.video is None or heard.sound is None:
        return 0.0
    whole = info.video.seconds if clip.end is None else min(info.video.seconds, clip.end)
    return max(0.0, whole - (clip.start or 0.0))
