"""Adopt finished videos: match the files of a folder with the pairs of a manifest.

How such videos were made is not known. A pair without a video stays in the list as an absent clip, because leaving it
out would change the mean.
"""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lse_bench.errors import UsageError, no_such
from lse_bench.manifests.listed import Absent, ListedClip, is_there, shown
from lse_bench.manifests.lists import READERS, read_list
from lse_bench.manifests.manifest import Job, Manifest
from lse_bench.manifests.search import Passed, search
from lse_bench.naming import MEDIA_SUFFIXES, some


@dataclass(frozen=True, slots=True)
class Adoption:
    """The finished videos of a manifest.

    `manifest`: the pairs. `clips`: one clip for each pair, in the order of the manifest. `rule`: how the videos were
    found, in words. `extra`: files of the folder that belong to no pair.
    """

    manifest: Manifest
    clips: list[ListedClip]
    rule: str
    extra: list[str]

    def sentences(self) -> list[str]:
        """Return what was found and what is missing, one sentence each."""
        missing = [clip.clip for clip in self.clips if _status(clip) == "generator_failed"]
        silent = [clip.clip for clip in self.clips if _status(clip) == "unreadable"]
        made = len(self.clips) - len(missing)
        told = [f"{made} of {len(self.clips)} pairs of {self.manifest.name} have a video, {self.rule}"]
        if missing:
            told.append(f"missing, and counted as failed clips: {some(missing)}")
        if silent:
            told.append(f"without their sound, and counted as failed clips: {some(silent)}")
        if self.extra:
            told.append(f"{len(self.extra)} videos belong to no pair: {some(self.extra)}")
        return told


def adopt(folder: Path, manifest: Manifest, names: str | None = None, sounds: Path | None = None) -> Adoption:
    """Return the video in `folder` for each pair of `manifest`.

    `names`: how the videos are named. None: the name without suffix is the pair's id, in any sub-folder. A template,
    as `{speaker}_{id}_ours.mp4`: its fields are `id`, `number` (the place of the pair in the manifest, from 0), `video`
    and `sound` (the names of the source files without folder and suffix) and the pair's groups. A list, as `map.csv`:
    its columns `id` and `video` name the file of each pair. `sounds`: the folder that the pairs' sounds are relative
    to, to hear them in place of the videos' own sound; None for the videos' own. Raises UsageError if the template or
    the list is wrong, if an id has two videos, or if no pair has a video.
    """
    found = search(folder, MEDIA_SUFFIXES, Passed())
    files = {path.relative_to(folder).as_posix(): path for path in found.files}
    if names is None:
        placed, rule = _by_id(folder, files, manifest), "named by the pair's id"
    elif Path(names).suffix.lower() in READERS:
        placed, rule = _by_list(Path(names), manifest), f"as {names} says"
    else:
        placed, rule = _by_template(names, manifest), f"named {names}"
    clips = [_clip(folder, job, placed.get(job.id), sounds) for job in manifest.jobs]
    used = {placed[clip.id] for clip in clips if _status(clip) != "generator_failed"}
    extra = [shown(name) for name in files if name not in used]
    if not used:
        there = f"; it holds {some(extra)}" if extra else "; it holds no videos"
        first = next(job.id for job in manifest.jobs if job.id in placed)
        raise UsageError(
            f"{folder}: no pair of {manifest.name} has a video ({rule}). For the pair {first} the file {placed[first]} "
            f'is needed{there}. Name them with --names: a template as "{{id}}_ours.mp4", or a list with the columns id '
            "and video"
        )
    return Adoption(manifest, clips, rule, extra)


def _status(clip: ListedClip) -> str | None:
    return None if clip.absent is None else clip.absent.status


def _clip(folder: Path, job: Job, name: str | None, sounds: Path | None) -> ListedClip:
    """Return the clip of a pair. `name`: its file in `folder`, None if the user's list does not name it."""
    path = folder / (name or job.id)
    absent = None
    if name is None:
        absent = Absent("generator_failed", "no video for this pair: the list of --names does not have it")
    elif not is_there(path):
        absent = Absent("generator_failed", f"no video for this pair: {path} does not exist")
    sound = None if sounds is None else sounds / job.sound
    if absent is None and sound is not None and not is_there(sound):
        absent = Absent("unreadable", f"no such file: {sound}")
    heard = None if sound is None else job.sound
    return ListedClip(job.id, shown(name or job.id), path, job.groups, absent, sound, heard)


def _by_id(folder: Path, files: Mapping[str, Path], manifest: Manifest) -> dict[str, str]:
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name, path in files.items():
        by_stem[path.stem].append(name)
    for job in manifest.jobs:
        if len(two := by_stem.get(job.id, [])) > 1:
            raise UsageError(f"{folder}: the pair {job.id} has {len(two)} videos: {some(two)}. Keep one of them")
    return {job.id: by_stem.get(job.id, [f"{job.id}.mp4"])[0] for job in manifest.jobs}


def _by_template(template: str, manifest: Manifest) -> dict[str, str]:
    placed = {}
    for number, job in enumerate(manifest.jobs):
        stems = {name: PurePosixPath(value).stem for name, value in (("video", job.video), ("sound", job.sound))}
        known: dict[str, str | int] = {**job.groups, **stems, "id": job.id, "number": number}
        placed[job.id] = _filled(template, known, job.id)
    double = next((name for name, count in Counter(placed.values()).items() if count > 1), None)
    if double is not None:
        ids = [id_ for id_, name in placed.items() if name == double]
        raise UsageError(f"--names {template}: the pairs {' and '.join(ids[:2])} would both have {double}. Add {{id}}")
    return placed


def _filled(template: str, known: Mapping[str, str | int], pair: str) -> str:
    try:
        parts = [(field, spec, how) for _, field, spec, how in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise UsageError(f"--names {template}: {error}") from None
    for field, spec, how in parts:
        if field not in known:
            raise UsageError(f"--names {template}: the pair {pair} has {no_such('field', field, sorted(known))}")
        if how or (spec and not (field == "number" and re.fullmatch(r"0?\d{1,2}d", spec))):
            raise UsageError(
                f"--names {template[:80]}: a field stands alone, as {{id}}; only number has digits, as {{number:05d}}"
            )
    fields = [field for field, _, _ in parts]
    if not fields:
        raise UsageError(f"--names {template}: all pairs would have this file. Add a field, such as {{id}}")
    name = template.format_map(known)
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UsageError(f"--names {template}: {name} leads out of the folder")
    return PurePosixPath(name).as_posix()


def _by_list(path: Path, manifest: Manifest) -> dict[str, str]:
    ids = {job.id for job in manifest.jobs}
    placed, pair_of = dict[str, str](), dict[str, str]()
    for row in read_list(path).rows:
        if (row.sound, row.start, row.end) != (None, None, None):
            raise UsageError(f"{path}: row {row.number}: a list for --names has only the columns id and video")
        if row.id is None or row.video is None:
            raise UsageError(
                f"{path}: row {row.number}: {'id' if row.id is None else 'video'} is empty; both are needed"
            )
        if row.id not in ids:
            raise UsageError(f"{path}: row {row.number}: id: {no_such('pair', row.id, sorted(ids))}")
        if row.id in placed:
            raise UsageError(f"{path}: row {row.number}: id: {row.id} is listed twice")
        if PurePosixPath(row.video).is_absolute() or ".." in PurePosixPath(row.video).parts:
            raise UsageError(f"{path}: row {row.number}: video: {row.video} leads out of the folder of the videos")
        video = PurePosixPath(row.video).as_posix()
        if video in pair_of:
            raise UsageError(
                f"{path}: row {row.number}: video: {video} is the video of two pairs, {pair_of[video]} and {row.id}"
            )
        placed[row.id], pair_of[video] = video, row.id
    return placed
