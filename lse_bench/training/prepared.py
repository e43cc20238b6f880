"""Prepared clips: one safetensors file for each clip. A window is read without reading the rest of the file.

| array | shape and dtype | content |
|---|---|---|
| `faces` | (frames, S, S, 3) uint8 | the cropped face of every frame at 25 fps, BGR |
| `mel` | (columns, 80) float32 | mel spectrogram, 80 columns per second (`features/mel.py`) |
| `mfcc` | (columns, 12) float32 | HTK MFCC 1-12, 100 columns per second (`features/htk_mfcc.py`); NaN in silence |
| `sound` | (samples,) int16 | the sound, 16 kHz mono |
| `lips` | (frames, 7) float32 | lip parameters, MiniLRS only |

`prepared.json` in the same folder lists the clips, and the clips that were left out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.storage import read_object
from lse_bench.stored import Surroundings, parse_stored

SCHEMA = 2
_READ_SCHEMAS = (1, 2)
INDEX = "prepared.json"
_OPEN = 512  # largest number of open files


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """A clip in the index.

    `video`: the recording that the clip is from, None if the corpus does not say. `columns`: the columns of `mel`.
    """

    id: str
    split: str
    video: str | None
    frames: int
    columns: int


class PreparedIndex(Surroundings):
    """The file `prepared.json`."""

    schema_version: int = SCHEMA
    """Version of this format."""
    kind: Literal["prepared"] = "prepared"
    """A folder of `lse-bench prepare`."""
    settings: dict[str, Any]
    """Everything that changes the arrays."""
    digest: str
    """SHA-256 over the faces and the sound of all clips."""
    clips: list[PreparedClip]
    """Clips that can be trained on."""
    corrected: dict[str, int] = {}
    """AV offsets, in frames, that were corrected, by clip."""
    problems: dict[str, str] = {}
    """Reasons why clips were left out, by clip."""
    problem_counts: dict[str, int] = {}
    """Number of clips for each kind of reason."""


class PreparedClips:
    """A reader of a folder of `prepare`. Raises UsageError if the folder is no such folder, unfinished or damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / INDEX).exists():
            raise UsageError(f"{folder}: has no {INDEX}; run `lse-bench prepare`, or let that command finish")
        way_out = "Run `lse-bench prepare` into a new folder"
        content = read_object(folder / INDEX, way_out)
        if content.get("schema") not in _READ_SCHEMAS:
            told = f"schema {content.get('schema')}, but this version reads schema 1 and 2"
            raise UsageError(f"{folder}: {told}; prepare again")
        self.about = parse_stored(content, folder / INDEX, PreparedIndex, way_out)
        self.clips = self.about.clips
        if "crop" not in self.about.settings:
            raise UsageError(f"{folder / INDEX}: damaged: settings has no crop. {way_out}")
        self._files: OrderedDict[str, Any] = OrderedDict()

    @property
    def crop(self) -> str:
        """The method by which faces were cropped: `box` or `aligned`."""
        return str(self.about.settings["crop"])

    def need(self, crop: str, method: str) -> None:
        """Raise UsageError unless faces were cropped by `crop`. `method`: its name is used in the message."""
        if self.crop != crop:
            raise UsageError(
                f"{self.folder}: its faces are cropped by `{self.crop}`, but {method} trains on `{crop}`. Run "
                f"lse-bench prepare … --crop {crop}"
            )

    def read(self, clip: PreparedClip, name: str, start: int = 0, count: int | None = None) -> NDArray[Any]:
        """Return the rows `start` to `start + count` of the array `name` of a clip. None reads to the end."""
        part = self._file(clip).get_slice(name)
        found: NDArray[Any] = part[start:] if count is None else part[start : start + count]
        return found

    def has(self, clip: PreparedClip, name: str) -> bool:
        """Return whether a clip has the array `name`."""
        return name in self._file(clip).keys()  # noqa: SIM118 - the handle is no mapping

    def _file(self, clip: PreparedClip) -> Any:
        from safetensors import SafetensorError, safe_open

        if clip.id in self._files:
            self._files.move_to_end(clip.id)
            return self._files[clip.id]
        path = clip_file(self.folder, clip.id)
        try:
            file = safe_open(path, framework="np")
        except (SafetensorError, OSError) as error:
            raise UsageError(
                f"{path}: damaged or missing ({error}); run `lse-bench prepare` with the same options to repair it"
            ) from None
        self._files[clip.id] = file
        if len(self._files) > _OPEN:
            self._files.popitem(last=False)
        return file

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without open files, because loader processes open the files themselves."""
        return self.__dict__ | {"_files": OrderedDict()}


def clip_file(folder: Path, clip: str) -> Path:
    """Return the path of the file with a clip's arrays."""
    return folder / "clips" / f"{clip}.safetensors"


def windows(array: NDArray[np.float32], starts: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """Return windows (n, rows, width) of features `array` (columns, rows).

    `starts` (n,): the first column of each window. Beyond either end, the first or last column is repeated.
    """
    at = np.clip(starts[:, None] + np.arange(width), 0, len(array) - 1)
    return np.ascontiguousarray(array[at].transpose(0, 2, 1))
