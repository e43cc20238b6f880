"""Turn a list of pairs into a manifest: CSV, TSV, JSON, JSON lines or Parquet with the columns of `lists`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.lists import ClipList, ListRow, read_list
from lse_bench.manifests.manifest import Job, Manifest, checked, job_of
from lse_bench.manifests.preview import Preview
from lse_bench.manifests.speakers import speaker_rule
from lse_bench.naming import some, whole, without_suffix


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
    base = whole(root or path.parent)
    if root is not None and not root.is_dir():
        raise UsageError(f"--root {root}: no such folder")
    files = list[Path]()  # video and sound in turn
    for row in table.rows:
        for column, value in (("video", row.video), ("sound", row.sound)):
            if value is None:
                raise UsageError(f"{path}: row {row.number}: {column}: is empty; a pair needs both files")
            files.append(whole(base / value))
            if root is not None and not files[-1].is_relative_to(base):
                raise UsageError(f"{path}: row {row.number}: {column}: {files[-1]} lies outside --root {root}")
    if not all(file.is_relative_to(base) for file in files):
        base = Path(os.path.commonpath([file.parent for file in files]))
    names = [file.relative_to(base).as_posix() for file in files]
    return base, list(zip(names[::2], names[1::2], strict=True))


def _job(path: Path, row: ListRow, video: str, sound: str, speaker: str | None) -> Job:
    try:
        job = job_of(without_suffix(video), without_suffix(sound), video, sound, row.groups.get("speaker", speaker))
        return checked(Job, id=row.id or job.id, video=video, sound=sound, groups=job.groups | row.groups)
    except UsageError as error:
        raise UsageError(f"{path}: row {row.number}: {error}") from None


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
            preview.doubts.append(f"files of the column {column} that do not exist: {len(absent)}: {some(absent)}")
    if all(lost.values()):
        raise UsageError(
            f"no file of the list exists in {folder}, such as {jobs[0].video}. Give the folder with --root"
        )
    own = table.column("id")
    preview.lines.append(f"id ← {f'column {own}' if own else 'made of video and sound'}, such as {jobs[0].id}")
    speakers = [job.groups.get("speaker") for job in jobs]
    nameless = speakers.count(None)
    if nameless == len(jobs):
        preview.lines.append("speaker ← none: intervals then treat clips, and not speakers, as independent")
    else:
        origin = f"--speaker-from {speaker_from}" if speaker_from else f"column {table.column('speaker')}"
        preview.add_speakers(origin, speakers)
        if nameless:
            preview.doubts.append(f"rows that name no speaker: {nameless} of {len(jobs)}")
    for name in sorted({name for job in jobs for name in job.groups} - {"video", "sound", "speaker"}):
        preview.lines.append(f"group {name} ← column group_{name}")
    if table.passed:
        preview.lines.append(f"passed over: columns {', '.join(table.passed)} (a group is a column group_NAME)")
