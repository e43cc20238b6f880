"""The division of a corpus into clips for training and clips for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

_HELD_OUT = 10  # if a corpus has no val split, every tenth training video is held out for validation


class _Clip(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def video(self) -> str | None: ...


C = TypeVar("C", bound=_Clip)


def split_clips(clips: Sequence[C]) -> dict[str, list[C]]:
    """Return the clips for `training` and for `validation`.

    The test split is never used. A corpus without a val split, such as LRS3, validates on a tenth of its training
    videos. A corpus without a val split that has a single video gets no validation clips.
    """
    training = [clip for clip in clips if clip.split in ("train", "trainval")]
    validation = [clip for clip in clips if clip.split == "val"]
    if not validation:
        videos = sorted({clip.video or clip.id for clip in training})
        held = set(videos[::_HELD_OUT]) if len(videos) > 1 else set()
        validation = [clip for clip in training if (clip.video or clip.id) in held]
        training = [clip for clip in training if (clip.video or clip.id) not in held]
    return {"training": training, "validation": validation}
