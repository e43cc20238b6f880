"""Find the clips to score and give them ids.

Clips come from files, folders, CSV or JSON lists, or the numbered outputs of Wav2Lip's scripts. Ids are safe as file
names and unique in a list. The groups `video`, `sound` and `speaker` name what clips share. Statistics use them to
treat results that are not independent.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from lse_bench.errors import UsageError
from lse_bench.manifests.generated import GENERATION_FILE, clips_of_generation
from lse_bench.manifests.listed import GROUPS, Absent, ListedClip
from lse_bench.manifests.search import Passed, search
from lse_bench.naming import MEDIA_SUFFIXES, natural_key, safe_id
from lse_bench.storage import parse_json, read_text

LIST_SUFFIXES = frozenset({".csv", ".json"})
_CLIP, _SOUND = ("clip", "path", "file", "filename"), ("sound", "audio")
_COLUMNS = (*_CLIP, *_SOUND, "id", "video", "speaker")
_NEAR = 0.75  # similarity of an unknown column name to a known one (0-1) from which it counts as misspelt
PairsOrder = Literal["auto", "audio-video", "video-audio"]


class _Row(BaseModel):
    """A row of a CSV or JSON list, with the column names stripped of blanks and in lower case."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    clip: str = Field(min_length=1, validation_alias=AliasChoices(*_CLIP))
    id: str | None = None
    video: str | None = None
    sound: str | None = Field(default=None, validation_alias=AliasChoices(*_SOUND))
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The options of `lse-bench score` that name the clips. They are stored so that the clips can be listed again.

    `inputs`: files, folders and lists. `root`: the folder that names in lists are relative to; None means the folder of
    the list. `pairs`: the list of pairs that made numbered outputs; None means that the inputs are no numbered outputs.
    `pairs_order`: the order of the two names in a line of `pairs`.
    """

    inputs: Sequence[Path]
    root: Path | None = None
    pairs: Path | None = None
    pairs_order: str = "auto"

    def clips(self, passed: Passed | None = None) -> list[ListedClip]:
        """Return the clips; `passed` collects what is skipped.

        Raises UsageError if `pairs` is given with more than one input or with an unknown order, and for the reasons of
        `find_clips` and `numbered_outputs`.
        """
        if self.pairs is None:
            return find_clips(self.inputs, self.root, passed)
        if len(self.inputs) != 1 or self.pairs_order not in get_args(PairsOrder):
            raise UsageError(
                f"--pairs needs exactly one folder, and --pairs-order must be one of: {', '.join(get_args(PairsOrder))}"
            )
        return numbered_outputs(self.inputs[0], self.pairs, cast(PairsOrder, self.pairs_order))

    def as_json(self) -> dict[str, object]:
        """Return the options with absolute paths, for run.json."""
        return {
            "inputs": [str(path.absolute()) for path in self.inputs],
            "root": None if self.root is None else str(self.root.absolute()),
            "pairs": None if self.pairs is None else str(self.pairs.absolute()),
            "pairs_order": self.pairs_order,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Source:
        """Return the source that `as_json` stored. Raises UsageError if `content` has another form."""
        try:
            root, pairs = (None if content[name] is None else Path(content[name]) for name in ("root", "pairs"))
            return cls([Path(path) for path in content["inputs"]], root, pairs, content["pairs_order"])
        except (KeyError, TypeError) as error:
            told = f"{type(error).__name__}: {error}"
            raise UsageError(f"run.json: damaged: `source` does not describe where the clips are ({told})") from None


def find_clips(inputs: Sequence[Path], root: Path | None = None, passed: Passed | None = None) -> list[ListedClip]:
    """Return the clips of any mix of media files, folders and lists (.csv, .json).

    Folders are searched to any depth. A folder that `lse-bench generate` made gives one clip for every job, also for a
    job without a video. `root`: the folder that the names in lists are relative to; None means the folder of the list.
    `passed` collects what is skipped. Raises UsageError if an input does not exist, if a list cannot be read, if no
    clip is found, or if a clip is listed twice.
    """
    clips: list[ListedClip] = []
    passed = passed or Passed()
    for path in inputs:
        if (path / GENERATION_FILE).is_file():
            clips += clips_of_generation(path)
        elif path.is_dir():
            clips += _in_folder(path, passed)
        elif path.suffix.lower() in LIST_SUFFIXES:
            clips += _from_list(path, root, passed)
        elif path.exists() or path.is_symlink():
            clips.append(ListedClip(safe_id(path.stem), _shown(path.as_posix()), path))
        else:
            raise UsageError(f"{path}: no such file or folder")
    if not clips:
        raise UsageError(f"{', '.join(map(str, inputs))}: no clips to score")
    return _with_unique_ids(clips)


def numbered_outputs(folder: Path, pairs: Path, order: PairsOrder = "auto") -> list[ListedClip]:
    """Return the outputs `0.mp4, 1.mp4, …` in `folder` that Wav2Lip's scripts made from the list `pairs`, one per line.

    A line holds two names. In the lists of LRS2, LRS3 and LRW the sound comes first (`audio-video`). In the lists of
    ReSyncED, whose names have suffixes, the video comes first (`video-audio`). `auto` chooses `video-audio` if every
    name has a suffix. A number without a file stays in the list as an absent clip. The original scripts skip such
    pairs silently, which changes the mean. Raises UsageError if `folder` is no folder, if a line does not hold two
    names, or if the folder holds a number for which there is no line.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; --pairs needs the folder that holds 0.mp4, 1.mp4, …")
    lines = [line.split() for line in read_text(pairs).split("\n") if line.strip()]
    wrong = next((n for n, names in enumerate(lines, 1) if len(names) != 2), None)
    if wrong is not None:
        raise UsageError(f"{pairs}: line {wrong} has {len(lines[wrong - 1])} names, but needs 2: sound and video")
    if order == "auto":
        suffixed = sum(bool(re.search(r"\.\w{2,4}$", name)) for names in lines for name in names)
        order = "video-audio" if suffixed == 2 * len(lines) else "audio-video"
    clips = []
    for number, names in enumerate(lines):
        video, sound = names if order == "video-audio" else reversed(names)
        path = folder / f"{number}.mp4"
        reason = f"no {path.name}: the generator made no output for line {number + 1}"
        absent = None if path.exists() else Absent("generator_failed", reason)
        pair = f"{_without_suffix(video)}+{_without_suffix(sound)}"
        groups = {"video": _without_suffix(video), "sound": _without_suffix(sound)}
        clips.append(ListedClip(safe_id(pair), path.name, path, groups, absent))
    extra = sorted(path.name for path in folder.glob("*.mp4") if path.stem.isdigit() and int(path.stem) >= len(lines))
    if extra:
        raise UsageError(
            f"{folder} holds {extra[0]} but {pairs} has {len(lines)} lines; give the list that made the videos"
        )
    return _with_unique_ids(clips)


def _shown(name: str) -> str:
    """Return `name` with bytes that are not UTF-8 written as \\xNN. Old archives contain such names."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


def _in_folder(folder: Path, passed: Passed) -> list[ListedClip]:
    found = search(folder, MEDIA_SUFFIXES, passed, generations=True)
    clips = []
    for path in sorted(
        [*found.files, *found.dangling], key=lambda path: natural_key(path.relative_to(folder).as_posix())
    ):
        name = path.relative_to(folder)
        absent = None if path.exists() else Absent("unreadable", f"a link to {path.readlink()}, which is not there")
        clips.append(ListedClip(safe_id(name.with_suffix("").as_posix()), _shown(name.as_posix()), path, absent=absent))
    for generation in found.generations:
        inside = generation.relative_to(folder)
        clips += [
            replace(clip, clip=_shown((inside / clip.clip).as_posix())) for clip in clips_of_generation(generation)
        ]
    if not clips:
        over = passed.sentence()
        raise UsageError(
            f"{folder}: no video files in this folder (searched for {', '.join(sorted(MEDIA_SUFFIXES))})"
            + (f"; {over}" if over else "")
        )
    return clips


def _from_list(path: Path, root: Path | None, passed: Passed) -> list[ListedClip]:
    rows = _json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path)
    names = _columns_of(path, rows, passed)
    clips = []
    for number, content in enumerate(rows, 1):
        filled = {names[key]: value for key, value in content.items() if key in names and value not in (None, "")}
        for alike in (_CLIP, _SOUND):
            if len(there := [name for name in filled if name in alike]) > 1:
                raise UsageError(f"{path}: row {number}: {' and '.join(there)} mean the same; remove one of them")
        try:
            row = _Row.model_validate(filled)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "row"
            raise UsageError(
                f"{path}: row {number}: {where}: {first['msg']}. A list needs a column `clip` and may have id, "
                f"{', '.join(GROUPS)}; found: {', '.join(map(str, content)) or 'nothing'}"
            ) from None
        groups = {name: value for name in GROUPS if (value := getattr(row, name))}
        target = (root or path.parent) / row.clip
        absent = None if target.exists() else Absent("unreadable", f"no such file: {target}")
        clips.append(ListedClip(safe_id(row.id or _without_suffix(row.clip)), row.clip, target, groups, absent))
    if not clips:
        raise UsageError(f"{path}: the list is empty; name at least one clip")
    return clips


def _columns_of(path: Path, rows: Sequence[Mapping[str | None, object]], passed: Passed) -> dict[str | None, str]:
    """Return the normalised name of each known column; `passed` collects the unknown columns.

    Raises UsageError if a name is probably misspelt, if two columns have the same name, or if a row has more values
    than there are columns.
    """
    names: dict[str | None, str] = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        if key is None:
            raise UsageError(f"{path}: a row has more values than there are columns; quote values that contain a comma")
        name = key.strip().casefold()
        if name in names.values():
            raise UsageError(f"{path}: two columns are called {name}; remove or rename one of them")
        if name in _COLUMNS:
            names[key] = name
        elif near := difflib.get_close_matches(name, _COLUMNS, n=1, cutoff=_NEAR):
            raise UsageError(f"{path}: a column is called {key!r}. Did you mean {near[0]}? Rename or remove it")
        else:
            passed.columns.append(key)
    return names


def _csv_rows(path: Path) -> list[dict[str | None, object]]:
    try:
        return list(csv.DictReader(io.StringIO(read_text(path), newline=""), skipinitialspace=True))
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV list: {error}") from None


def _json_rows(path: Path) -> list[dict[str | None, object]]:
    content = parse_json(read_text(path), path, "Give a list of names, or of objects with `clip`")
    if not isinstance(content, list):
        raise UsageError(
            f"{path}: a JSON list of clips is needed (names, or objects with `clip`), found {type(content).__name__}"
        )
    return [row if isinstance(row, dict) else {"clip": row} for row in content]


def _without_suffix(name: str) -> str:
    return re.sub(r"\.\w{2,4}$", "", name)


def _with_unique_ids(clips: list[ListedClip]) -> list[ListedClip]:
    """Return the clips with unique ids.

    If clips differ only in suffix or folder, their ids get the suffix or folder. Raises UsageError if ids are still
    equal then.
    """
    for full in (False, True):
        counts = Counter(clip.id for clip in clips)
        names = [clip.path.as_posix() if full else clip.clip for clip in clips]
        clips = [
            clip if counts[clip.id] == 1 else replace(clip, id=safe_id(name))
            for clip, name in zip(clips, names, strict=True)
        ]
    double = next((id_ for id_, count in Counter(clip.id for clip in clips).items() if count > 1), None)
    if double is not None:
        names = [clip.clip for clip in clips if clip.id == double]
        raise UsageError(f"{len(names)} clips have the id {double} ({names[0]}); each clip can be listed only once")
    return clips
