"""Turn a list of pairs into a manifest: CSV, TSV, JSON, JSON lines or Parquet with the columns of `lists`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.lists import ClipList, ListRow, read_list
from lse_bench.manifests.manifest import Job, Manifest, checked, job_of

_SHOWN = 3  # names that a line of the preview shows
SpeakerOf = Callable[[str], str | None]


@dataclass(slots=True)
class Preview:
    """What was understood of a list.

    `lines`: for the user, one for each column. `doubts`: what is probably not meant.
    """

    lines: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def speaker_rule(pattern: str | None) -> SpeakerOf:
    """Return a function that finds the speaker in a path relative to the root. None as the pattern finds none.

    `pattern`: a regular expression with the group `(?P<speaker>…)`. Raises UsageError if it is not.
    """
    if pattern is None:
        return lambda name: None
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--speaker-from {pattern}: not a regular expression: {error}") from None
    if "speaker" not in found.groupindex:
        raise UsageError(
            f"--speaker-from {pattern}: the group (?P<speaker>…) is missing. It marks the speaker, as in "
            "'HDTF/(?P<speaker>[^/]+)/'"
        )
    return lambda name: match["speaker"] or None if (match := found.search(name)) else None


def manifest_from(
    path: Path,
    root: Path | None = None,
    speaker_from: str | None = None,
    renamed: Mapping[str, str] | None = None,
    name: str | None = None,
    preview: Preview | None = None,
) -> Manifest:
    """Return the manifest of a list of pairs.

    A row names a `video` and the `sound` that it shall speak, and may name `id`, `speaker` and `group_NAME`. An absent
    id is made of the two file names. `root`: the folder that names are relative to; None means the folder of the list,
    or the deepest folder that holds all files if a name leads out of it. `speaker_from`: see `speaker_rule`; it is
    applied to the path of the video. `renamed`: see `read_list`. `name`: the manifest's name, None for the list's.
    `preview`: gets what was understood.

    Raises UsageError if the list is wrong. The message names the row, the column and the nearest right name.
    """
    preview = preview or Preview()
    table = read_list(path, renamed)
    for column in ("video", "sound"):
        if table.column(column) is None:
            there = ", ".join([*table.columns, *table.passed])
            raise UsageError(
                f"{path}: no column `{column}`; there are: {there}. Rename one of them, or say which it is with "
                f"--column {column}=NAME"
            )
    part = next((row for row in table.rows if row.start is not None or row.end is not None), None)
    if part is not None:
        raise UsageError(
            f"{path}: row {part.number}: start, end: a pair is of whole files. Cut the part into a file first"
        )
    folder, files = _placed(path, table, root)
    speaker = speaker_rule(speaker_from)
    if speaker_from is not None and table.column("speaker") is not None:
        raise UsageError(f"{path}: has a column speaker already. Leave out --speaker-from, or remove the column")
    jobs, seen = list[Job](), dict[str, int]()
    for row, (video, sound) in zip(table.rows, files, strict=True):
        job = _job(path, row, video, sound, speaker(video))
        if speaker_from is not None and "speaker" not in job.groups:
            raise UsageError(f"{path}: row {row.number}: video: --speaker-from {speaker_from} finds nothing in {video}")
        if job.id in seen:
            raise UsageError(
                f"{path}: rows {seen[job.id]} and {row.number} have the id {job.id}. Give each row an id of its own"
            )
        seen[job.id] = row.number
        jobs.append(job)
    _look_at(table, jobs, folder, speaker_from, preview)
    return checked(Manifest, name=name or path.stem, corpus=path.stem, root=str(folder), jobs=tuple(jobs))


def _placed(path: Path, table: ClipList, root: Path | None) -> tuple[Path, list[tuple[str, str]]]:
    """Return the root, and the names of the video and the sound of each row relative to it."""
    base = Path(os.path.abspath(root or path.parent))  # noqa: PTH100 - resolve() would follow links to other names
    if root is not None and not root.is_dir():
        raise UsageError(f"--root {root}: no such folder")
    whole: list[list[Path]] = []
    for row in table.rows:
        for column, value in (("video", row.video), ("sound", row.sound)):
            if value is None:
                raise UsageError(f"{path}: row {row.number}: {column}: is empty; a pair needs both files")
        whole.append([Path(os.path.normpath(base / value)) for value in (row.video, row.sound) if value is not None])
    outside = next(((n, one) for n, pair in enumerate(whole) for one in pair if not one.is_relative_to(base)), None)
    if outside is not None and root is not None:
        number, one = outside
        column = "video" if whole[number][0] == one else "sound"
        raise UsageError(f"{path}: row {number + 1}: {column}: {one} lies outside --root {root}")
    if outside is not None:
        base = Path(os.path.commonpath([one.parent for pair in whole for one in pair]))
    names = [tuple(one.relative_to(base).as_posix() for one in pair) for pair in whole]
    return base, [(video, sound) for video, sound in names]


def _job(path: Path, row: ListRow, video: str, sound: str, speaker: str | None) -> Job:
    try:
        job = job_of(_stem(video), _stem(sound), video, sound, row.groups.get("speaker", speaker))
        return checked(Job, id=row.id or job.id, video=video, sound=sound, groups=job.groups | row.groups)
    except UsageError as error:
        raise UsageError(f"{path}: row {row.number}: {error}") from None


def _stem(name: str) -> str:
    return re.sub(r"\.\w{1,5}$", "", name)


def _look_at(table: ClipList, jobs: list[Job], folder: Path, speaker_from: str | None, preview: Preview) -> None:
    """Write what was understood into `preview`. Raises UsageError if no file exists."""
    lost = {}
    for column, names in (("video", [job.video for job in jobs]), ("sound", [job.sound for job in jobs])):
        absent = [name for name in dict.fromkeys(names) if not (folder / name).is_file()]
        lost[column] = len(absent) == len(set(names))
        there = "all found" if not absent else f"{len(absent)} not found"
        preview.lines.append(
            f"{column} ← column {table.column(column)}: {len(set(names))} files, {there}, such as {names[0]}"
        )
        if absent:
            preview.doubts.append(f"{len(absent)} files of the column {column} do not exist: {_some(absent)}")
    if all(lost.values()):
        raise UsageError(
            f"no file of the list exists in {folder}, such as {jobs[0].video}. Give the folder with --root"
        )
    own = table.column("id")
    preview.lines.append(f"id ← {f'column {own}' if own else 'made of video and sound'}, such as {jobs[0].id}")
    speakers = Counter(job.groups["speaker"] for job in jobs if "speaker" in job.groups)
    origin = f"--speaker-from {speaker_from}" if speaker_from else f"column {table.column('speaker')}"
    if speakers:
        listed = ", ".join(f"{name} ({count})" for name, count in speakers.most_common(_SHOWN))
        more = ", …" if len(speakers) > _SHOWN else ""
        preview.lines.append(f"speaker ← {origin}: {len(speakers)} speakers: {listed}{more}")
    else:
        preview.lines.append("speaker ← none: intervals then treat clips, and not speakers, as independent")
    if speakers and speakers.total() < len(jobs):
        preview.doubts.append(f"{len(jobs) - speakers.total()} rows name no speaker")
    for name in sorted({name for job in jobs for name in job.groups} - {"video", "sound", "speaker"}):
        preview.lines.append(f"group {name} ← column group_{name}")
    if table.passed:
        preview.lines.append(f"passed over: columns {', '.join(table.passed)} (a group is a column group_NAME)")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
