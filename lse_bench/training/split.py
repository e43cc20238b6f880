"""Which clips train and which validate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

_HELD_OUT = 10  # where a corpus has no val split, every tenth video of its train split is kept for validation


class _Clip(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def video(self) -> str | None: ...


C = TypeVar("C", bound=_Clip)


def split_clips(clips: Sequence[C]) -> dict[str, list[C]]:
    """Clips for training and validation. The test split is never used; LRS3, which has no val, lends a tenth of the
    videos of its trainval.
    """
    training = [clip for clip in clips if clip.split in ("train", "trainval")]
    validation = [clip for clip in clips if clip.split == "val"]
    if not validation:
        videos = sorted({clip.video or clip.id for clip in training})
        held = set(videos[::_HELD_OUT]) if len(videos) > 1 else set()
        validation = [clip for clip in training if (clip.video or clip.id) in held]
        training = [clip for clip in training if (clip.video or clip.id) not in held]
    return {"training": training, "validation": validation}
