"""The frames of folders of videos or pictures, and of single files. Frames are RGB, uint8, read one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.elsewhere import clips_at
from lse_bench.manifests.search import Passed, search
from lse_bench.media.pictures import PICTURE_SUFFIXES, read_picture
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.naming import MEDIA_SUFFIXES, natural_key, safe_id
from lse_bench.remote.addresses import address_of
from lse_bench.weights.readers import digest_of_digests, file_digest

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels, the last two exclusive


class BoxSource(Protocol):
    """A source of face boxes. `name`: its name in the FID id."""

    name: str

    def boxes(self, clip: Path, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Box | None]]:
        """Yield the frames of a clip, each with its face box.

        The box is None if the frame has no face. Such a frame is left out and counted.
        """
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One clip or one picture of a set. `sound`: the file whose sound belongs to the clip, None for its own."""

    id: str
    path: Path
    sound: Path | None = None


@dataclass(slots=True)
class FrameCount:
    """The frames that were read of a set.

    `frames`: the number of used frames. `without_face`: the number of frames that were left out because they have no
    face. `sizes`: the number of used frames by (width, height).
    """

    frames: int = 0
    without_face: int = 0
    sizes: dict[tuple[int, int], int] | None = None

    def add(self, other: FrameCount) -> None:
        """Add the frames of another part of the set."""
        self.frames += other.frames
        self.without_face += other.without_face
        sizes = self.sizes = self.sizes if self.sizes is not None else {}
        for size, number in (other.sizes or {}).items():
            sizes[size] = sizes.get(size, 0) + number


def items_of(source: Path, passed: Passed | None = None) -> list[Item]:
    """Return the clips or pictures below a folder in natural order, or a single file.

    `passed`: collects what the search passes over. A set is compared as a whole, so nothing may be missing. Raises
    UsageError if there is no file, if there are both videos and pictures, if a link is broken, or if a folder cannot be
    read.
    """
    if address_of(source) is not None:
        return [Item(clip.id, clip.path) for clip in clips_at(source, passed or Passed())]
    if source.is_file():
        return [Item(safe_id(source.stem), source)]
    if not source.is_dir():
        raise UsageError(f"{source}: no such file or folder")
    passed = passed or Passed()
    found = search(source, MEDIA_SUFFIXES | PICTURE_SUFFIXES, passed)
    if found.dangling:
        raise UsageError(f"{found.dangling[0]}: a broken link. Remove it, or restore the file that it names")
    if passed.closed:
        raise UsageError(f"{passed.closed[0]}: this folder cannot be read. A set is compared as a whole")
    videos = [path for path in found.files if path.suffix.lower() in MEDIA_SUFFIXES]
    pictures = [path for path in found.files if path.suffix.lower() in PICTURE_SUFFIXES]
    if videos and pictures:
        raise UsageError(
            f"{source}: this folder has {len(videos)} videos and {len(pictures)} pictures. Compare one kind at a time"
        )
    if not videos and not pictures:
        raise UsageError(f"{source}: this folder has neither videos nor pictures")
    names = [path.relative_to(source) for path in (videos or pictures)]
    twice = Counter(name.with_suffix("") for name in names)
    # Names that differ only in their suffix keep it, as in a list of clips.
    ids = [safe_id((name if twice[name.with_suffix("")] > 1 else name.with_suffix("")).as_posix()) for name in names]
    return [Item(id_, source / name) for id_, name in zip(ids, names, strict=True)]


def files_digest(items: Sequence[Item]) -> str:
    """Return the SHA-256 over the digests of a set's files. It does not depend on their order or names."""
    return digest_of_digests(file_digest(item.path) for item in items)


def matched(first: Sequence[Item], second: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Return the items of both sets whose id is in both and that are readable in both, in the same natural order.

    Raises UsageError if there are none.
    """
    shared = {item.id for item in first} & {item.id for item in second}
    shared -= {item.id for item in [*first, *second] if item.id in shared and not _readable(item)}
    if not shared:
        raise UsageError(
            f"no id is readable in both sets ({first[0].id}, … and {second[0].id}, …). Give matching files equal "
            "names, or pass --reference-frames pooled to compare the sets as a whole"
        )
    one, two = ({item.id: item for item in items} for items in (first, second))
    order = sorted(shared, key=natural_key)
    return [one[name] for name in order], [two[name] for name in order]


def _readable(item: Item) -> bool:
    if item.path.suffix.lower() in PICTURE_SUFFIXES:
        return item.path.stat().st_size > 0
    try:
        return probe(item.path).video is not None
    except ClipError:
        return False


def frames_of(item: Item, step: int, boxes: BoxSource | None, count: FrameCount) -> Iterator[NDArray[np.uint8]]:
    """Yield the RGB frames (H,W,3), uint8, of an item, and add them to `count`.

    `step`: every `step`-th frame of a video is used. `boxes`: crops each frame to the face; None uses whole frames.
    Raises ClipError if the item cannot be read.
    """
    if item.path.suffix.lower() in PICTURE_SUFFIXES:
        frames: Iterator[Frame] = iter([read_picture(item.path)])
        step = 1
    else:
        info = probe(item.path)
        if info.video is None:
            raise ClipError(item.path, "no_video", "it has no video stream with frames")
        frames = read_frames(info)
    frames = (frame for number, frame in enumerate(frames) if number % step == 0)
    boxed = ((frame, None) for frame in frames) if boxes is None else boxes.boxes(item.path, frames)
    sizes = count.sizes = count.sizes if count.sizes is not None else {}
    for frame, box in boxed:
        if boxes is not None and box is None:
            count.without_face += 1
            continue
        if box is not None:
            x1, y1, x2, y2 = box
            frame = frame[max(0, y1) : y2, max(0, x1) : x2]
        count.frames += 1
        size = (frame.shape[1], frame.shape[0])
        sizes[size] = sizes.get(size, 0) + 1
        yield np.ascontiguousarray(frame[:, :, ::-1])
