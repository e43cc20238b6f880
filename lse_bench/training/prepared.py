"""Prepared clips: one safetensors file each, from which any window is read without touching the rest.

| array | shape | what |
|---|---|---|
| `faces` | (frames, S, S, 3) uint8 | the cropped face of every frame at 25 fps, BGR |
| `mel` | (columns, 80) float32 | mel spectrogram, 80 columns a second (`features/mel.py`) |
| `mfcc` | (columns, 12) float32 | HTK MFCC 1-12, 100 columns a second (`features/htk_mfcc.py`); NaN where silent |
| `sound` | (samples,) int16 | 16 kHz mono |
| `lips` | (frames, 7) float32 | lip parameters, MiniLRS only |

`prepared.json` beside them lists the clips and what was left out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.storage import read_object

SCHEMA = 1
INDEX = "prepared.json"
_OPEN = 512  # files held open at once


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """A clip in the index. `columns`: of `mel`."""

    id: str
    split: str
    video: str | None
    frames: int
    columns: int


class PreparedClips:
    """Reads a folder that `prepare` made. Raises UsageError when it is none, or unfinished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / INDEX).exists():
            raise UsageError(f"{folder}: no {INDEX} in it; make it by `lse-bench prepare`, or let that command finish")
        way_out = "`lse-bench prepare` into a new folder makes it again"
        about = read_object(folder / INDEX, way_out)
        if about.get("schema") != SCHEMA:
            raise UsageError(f"{folder}: schema {about.get('schema')}, this version reads {SCHEMA}; prepare it again")
        self.about = about
        try:
            self.clips = [PreparedClip(**clip) for clip in about["clips"]]
            self.crop  # noqa: B018 - is it there?
        except (KeyError, TypeError) as error:
            raise UsageError(f"{folder / INDEX}: damaged: {type(error).__name__}: {error}. {way_out}") from None
        self._files: OrderedDict[str, Any] = OrderedDict()

    @property
    def crop(self) -> str:
        """How faces were cropped: `box` or `aligned`."""
        return str(self.about["settings"]["crop"])

    def need(self, crop: str, method: str) -> None:
        """Raise UsageError unless faces were cropped so."""
        if self.crop != crop:
            raise UsageError(
                f"{self.folder}: its faces are cropped `{self.crop}`, {method} trains on `{crop}`; "
                f"lse-bench prepare … --crop {crop}"
            )

    def read(self, clip: PreparedClip, name: str, start: int = 0, count: int | None = None) -> NDArray[Any]:
        """Rows `start` to `start + count` of an array of a clip; all without a count."""
        part = self._file(clip).get_slice(name)
        found: NDArray[Any] = part[start:] if count is None else part[start : start + count]
        return found

    def has(self, clip: PreparedClip, name: str) -> bool:
        """Whether a clip has this array."""
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
                f"{path}: damaged or missing ({error}); `lse-bench prepare` with the same options mends it"
            ) from None
        self._files[clip.id] = file
        if len(self._files) > _OPEN:
            self._files.popitem(last=False)
        return file

    def __getstate__(self) -> dict[str, Any]:
        """For loader processes, which open the files for themselves."""
        return self.__dict__ | {"_files": OrderedDict()}


def clip_file(folder: Path, clip: str) -> Path:
    """Where a clip's arrays lie."""
    return folder / "clips" / f"{clip}.safetensors"


def windows(array: NDArray[np.float32], starts: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """Windows (n, rows, width) of features (columns, rows) from given columns on; beyond the ends the nearest column
    inside is repeated."""
    at = np.clip(starts[:, None] + np.arange(width), 0, len(array) - 1)
    return np.ascontiguousarray(array[at].transpose(0, 2, 1))
