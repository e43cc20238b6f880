"""The layouts of LRS2, LRS3 and LRW: the paths, the ids and the splits of their clips.

| | clips | split | picture |
|---|---|---|---|
| lrs2 | `mvlrs_v1/main/VIDEO/NNNNN.mp4` and `.txt` | `train.txt`, `val.txt`, `test.txt`: one id a line | 160x160 |
| lrs3 | `{trainval,test}/VIDEO/NNNNN.mp4` and `.txt` | the folder | 224x224 |
| lrw | `lipread_mp4/WORD/{train,val,test}/WORD_NNNNN.mp4` and `.txt` | the folder | 256x256, 29 frames |

All clips have 25 fps and 16 kHz mono sound. The part `pretrain` of LRS2 and LRS3 is not read, because no published
protocol scores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lse_bench.choices import Flavour
from lse_bench.errors import UsageError
from lse_bench.storage import read_bytes, read_text

FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
Split = Literal["train", "val", "trainval", "test"]
PICTURE_SIZE: dict[Flavour, int] = {"lrs2": 160, "lrs3": 224, "lrw": 256}
LRW_FRAMES = 29


@dataclass(frozen=True, slots=True)
class CorpusClip:
    """One clip of a corpus.

    `id`: the id of the published test lists. `video`: the recording that the clip was cut from, or None if it is not
    known. `text`: the transcript, or the word in LRW; empty if there is no transcript.
    """

    id: str
    path: Path
    split: Split
    video: str | None
    text: str

    @property
    def groups(self) -> dict[str, str]:
        """The groups for statistics: clips of one recording are not independent."""
        return {} if self.video is None else {"video": self.video}


def clip_path(flavour: Flavour, split: Split, name: str, number: int) -> Path:
    """Return the path of a clip below the corpus folder. `name`: the id of the recording or, in LRW, the word."""
    if flavour == "lrs2":
        return Path("mvlrs_v1", "main", name, f"{number:05d}.mp4")
    if flavour == "lrs3":
        return Path("test" if split == "test" else "trainval", name, f"{number:05d}.mp4")
    return Path("lipread_mp4", name, split, f"{name}_{number:05d}.mp4")


class NoCorpusError(UsageError):
    """The error for a folder that has none of the layouts."""


def read_corpus(root: Path | str) -> tuple[Flavour, list[CorpusClip]]:
    """Return the corpus in the folder `root` and its clips, sorted by split and id.

    Raises NoCorpusError if the folder has none of the layouts. Raises UsageError if the corpus is damaged: its lists
    are missing or cannot be read, or a list names a clip that does not exist.
    """
    root = Path(root)
    readers: dict[Flavour, Callable[[Path], Iterator[CorpusClip]]] = {"lrs2": _lrs2, "lrw": _lrw, "lrs3": _lrs3}
    for flavour, reader in readers.items():
        clips = sorted(reader(root), key=lambda clip: (clip.split, clip.id))
        if clips:
            return flavour, clips
    raise NoCorpusError(
        f"{root}: neither LRS2 (mvlrs_v1/main with train.txt, val.txt, test.txt), LRS3 (trainval/, test/) nor LRW "
        "(lipread_mp4/WORD/test/). Give the folder that contains these"
    )


def _lrs2(root: Path) -> Iterator[CorpusClip]:
    base = next((folder for folder in (root / "mvlrs_v1", root) if (folder / "main").is_dir()), None)
    if base is None:
        return
    lists: dict[Split, Path] = {}
    for split in ("train", "val", "test"):
        for folder in (root, base):
            if (folder / f"{split}.txt").is_file():
                lists[split] = folder / f"{split}.txt"
    if not lists:
        raise UsageError(f"{root}: looks like LRS2, but none of train.txt, val.txt, test.txt is in it; add the lists")
    for split, path in lists.items():
        for line in read_text(path).split("\n"):
            if not line.strip():
                continue
            name = line.split()[0]  # a tag may follow: NF or MV
            clip = base / "main" / f"{name}.mp4"
            if not clip.is_file():
                raise UsageError(f"{path}: lists {name}, but {clip} does not exist")
            yield CorpusClip(name, clip, split, name.split("/")[0], _transcript(clip))


def _lrs3(root: Path) -> Iterator[CorpusClip]:
    split: Split
    for split in ("trainval", "test"):
        for clip in (root / split).glob("*/[!.]*.mp4"):  # macOS may leave a ._NAME.mp4 for each file
            name = f"{clip.parent.name}/{clip.stem}"
            yield CorpusClip(name, clip, split, clip.parent.name, _transcript(clip))


def _lrw(root: Path) -> Iterator[CorpusClip]:
    base = root / "lipread_mp4" if (root / "lipread_mp4").is_dir() else root
    split: Split
    for split in ("train", "val", "test"):
        for clip in base.glob(f"*/{split}/*_[0-9][0-9][0-9][0-9][0-9].mp4"):
            if clip.parents[1].name == clip.stem.rsplit("_", 1)[0]:
                yield CorpusClip(clip.stem, clip, split, None, clip.parents[1].name)


def _transcript(clip: Path) -> str:
    path = clip.with_suffix(".txt")
    if not path.is_file():
        return ""
    # A transcript names no clip and changes no score, so undecodable bytes are replaced and not refused.
    first = read_bytes(path).decode("utf-8-sig", errors="replace").split("\n", 1)[0]
    return first.removeprefix("Text:").strip()
