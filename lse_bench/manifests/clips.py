"""Find the clips to score and give them ids.

Clips come from files, folders and lists, or are the finished videos of the pairs of a manifest. Ids are safe as file
names and unique in a list. The groups `video`, `sound` and `speaker` name what clips share. Statistics use them to
treat results that are not independent.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lse_bench.collecting import uncollected
from lse_bench.errors import UsageError
from lse_bench.manifests.adopted import Adoption, adopt
from lse_bench.manifests.elsewhere import SHARD_SUFFIX, clips_at, clips_of_shard
from lse_bench.manifests.generated import GENERATION_FILE, clips_of_generation
from lse_bench.manifests.listed import Absent, ListedClip, is_there, shown, state_of
from lse_bench.manifests.lists import READERS, ClipList, ListRow, read_list
from lse_bench.manifests.manifest import read_manifest
from lse_bench.manifests.search import Passed, search
from lse_bench.manifests.sounds import with_one_sound, with_sounds
from lse_bench.media.clip_files import ClipFiles
from lse_bench.naming import MEDIA_SUFFIXES, id_of, natural_key, safe_id, whole, without_suffix
from lse_bench.remote.addresses import (
    SCHEMES,
    address_of,
    joined,
    suffix_of,
    unknown_scheme,
    without_place,
    without_secrets,
)
from lse_bench.remote.stores import forget


@dataclass(frozen=True, slots=True)
class Source:
    """The options of `lse-bench score` that name the clips. They are stored so that the clips can be listed again.

    `inputs`: files, folders and lists. `root`: the folder that names in lists are relative to; None means the folder of
    the list. `manifest`: the pairs whose finished videos lie in the only input, a folder; None means that the inputs
    are clips. `names`: how these videos are named, see `adopt`. `pair_sounds`: hear the sounds of the manifest, whose
    names are relative to `root`. `sound`: the sound of the only clip. `sounds`: a folder with one sound for each clip.
    None means that the clips are heard with their own sound, unless a list names another.
    """

    inputs: Sequence[Path]
    root: Path | None = None
    manifest: Path | None = None
    names: str | None = None
    pair_sounds: bool = False
    sound: Path | None = None
    sounds: Path | None = None

    @uncollected()
    def clips(self, passed: Passed | None = None) -> list[ListedClip]:
        """Return the clips; `passed` collects what is skipped.

        Raises UsageError if options exclude each other, and for the reasons of `find_clips`, `adopt`, `with_one_sound`
        and `with_sounds`.
        """
        if sum((self.sound is not None, self.sounds is not None, self.pair_sounds)) > 1:
            raise UsageError("--sound, --sounds and --pair-sounds exclude each other. Give one of them")
        lists = any(suffix_of(path) in READERS for path in self.inputs)
        if self.root is not None and not lists and not self.pair_sounds:
            raise UsageError("--root belongs to names in lists or to --pair-sounds. Leave it out")
        forget()
        adopted = self.adoption()
        clips = find_clips(self.inputs, self.root, passed) if adopted is None else adopted.clips
        if self.sound is not None:
            return with_one_sound(clips, self.sound)
        return clips if self.sounds is None else with_sounds(clips, self.sounds)

    def adoption(self) -> Adoption | None:
        """Return how the finished videos of the manifest were found, None without a manifest.

        Raises UsageError if an option needs a manifest, if there is more than one input, and for the reasons of `adopt`
        and `read_manifest`.
        """
        if self.manifest is None:
            if self.names is not None or self.pair_sounds:
                option = "--names" if self.names is not None else "--pair-sounds"
                raise UsageError(f"{option} belongs to finished videos of a manifest. Give it with --manifest")
            return None
        if len(self.inputs) != 1 or not self.inputs[0].is_dir():
            given = ", ".join(map(str, self.inputs))
            raise UsageError(f"{given}: --manifest needs exactly one folder, which holds the videos of its pairs")
        manifest = read_manifest(self.manifest)
        root = manifest.folder(self.root) if self.pair_sounds else None
        return adopt(self.inputs[0], manifest, self.names, root)

    def as_json(self) -> dict[str, object]:
        """Return the options with absolute paths, for run.json. Options that were not given are left out."""
        paths = {"root": self.root, "manifest": self.manifest, "sound": self.sound, "sounds": self.sounds}
        found: dict[str, object] = {"inputs": [_stored(path) for path in self.inputs]}
        found |= {name: _stored(path) for name, path in paths.items() if path is not None}
        if self.names is not None:
            table = Path(self.names)
            found["names"] = str(table.absolute()) if table.is_file() else self.names
        return found | ({"pair_sounds": True} if self.pair_sounds else {})

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Source:
        """Return the source that `as_json` stored. Raises UsageError if `content` has another form."""
        if content.get("pairs") is not None:
            raise UsageError(
                f"an older version listed the clips by {content['pairs']} (--pairs), and no manifest was stored"
            )
        try:
            paths = {
                name: Path(content[name]) if content.get(name) is not None else None
                for name in ("root", "manifest", "sound", "sounds")
            }
            inputs = [Path(path) for path in content["inputs"]]
            return cls(inputs, names=content.get("names"), pair_sounds=bool(content.get("pair_sounds")), **paths)
        except (KeyError, TypeError) as error:
            told = f"{type(error).__name__}: {error}"
            raise UsageError(f"run.json: damaged: `source` does not describe where the clips are ({told})") from None


def _stored(path: Path) -> str:
    """Return an absolute path, or an address without its keys, for run.json."""
    address = address_of(path)
    return str(path.absolute()) if address is None else without_secrets(address)


def find_clips(inputs: Sequence[Path], root: Path | None = None, passed: Passed | None = None) -> list[ListedClip]:
    """Return the clips of any mix of media files, folders and lists (.csv, .tsv, .json, .jsonl, .parquet).

    Folders are searched to any depth. A folder that `lse-bench generate` made gives one clip for every job, also for a
    job without a video. `root`: the folder that the names in lists are relative to; None means the folder of the list.
    `passed` collects what is skipped. Raises UsageError if an input does not exist, if a list cannot be read, if no
    clip is found, or if a clip is listed twice.
    """
    clips: list[ListedClip] = []
    passed = passed or Passed()
    for path in inputs:
        if (scheme := unknown_scheme(str(path))) is not None:
            raise UsageError(f"{path}: addresses of {scheme} are not opened; there are: {', '.join(SCHEMES)}")
        if suffix_of(path) == SHARD_SUFFIX:
            clips += clips_of_shard(path)
        elif address_of(path) is not None and suffix_of(path) not in READERS:
            clips += clips_at(path, passed)
        elif (path / GENERATION_FILE).is_file():
            clips += clips_of_generation(path)
        elif path.is_dir():
            clips += _in_folder(path, passed)
        elif suffix_of(path) in READERS:
            clips += _from_list(path, root, passed)
        elif path.exists() or path.is_symlink():
            clips.append(ListedClip(safe_id(path.stem), shown(path.name), path))
        else:
            raise UsageError(f"{path}: no such file or folder")
    if not clips:
        raise UsageError(f"{', '.join(map(str, inputs))}: no clips to score")
    return _with_unique_ids(clips)


def _in_folder(folder: Path, passed: Passed) -> list[ListedClip]:
    found = search(folder, MEDIA_SUFFIXES, passed, generations=True)
    clips = []
    for path in sorted(
        [*found.files, *found.dangling], key=lambda path: natural_key(path.relative_to(folder).as_posix())
    ):
        name = path.relative_to(folder)
        absent = None if path.exists() else Absent("unreadable", f"a link to {path.readlink()}, which is not there")
        clips.append(ListedClip(safe_id(name.with_suffix("").as_posix()), shown(name.as_posix()), path, absent=absent))
    for generation in found.generations:
        inside = generation.relative_to(folder)
        clips += [
            replace(clip, clip=shown((inside / clip.clip).as_posix())) for clip in clips_of_generation(generation)
        ]
    if not clips:
        over = passed.sentence()
        raise UsageError(
            f"{folder}: no video files in this folder (searched for {', '.join(sorted(MEDIA_SUFFIXES))})"
            + (f"; {over}" if over else "")
        )
    return clips


def _from_list(path: Path, root: Path | None, passed: Passed) -> list[ListedClip]:
    table = read_list(path)
    passed.columns += table.passed
    folder = root or path.parent
    _refuse_lost_sounds(path, folder, table)
    seen: dict[str, int] = {}
    for row in table.rows:
        if row.id is not None and seen.setdefault(row.id, row.number) != row.number:
            raise UsageError(
                f"{path}: rows {seen[row.id]} and {row.number} have the id {row.id}; each row needs its own"
            )
    base = str(folder)
    return [_listed(path, folder, base, row) for row in table.rows]


def _listed(path: Path, folder: Path, base: str, row: ListRow) -> ListedClip:
    """Return the clip of a row. `base`: the folder as a text, because a text is joined and looked at much faster."""
    if row.video is None:
        raise UsageError(
            f"{path}: row {row.number}: clip: names no file. A list needs a column `clip` and may have id, sound, "
            "start, end, speaker and group_NAME"
        )
    target, sound = joined(folder, row.video), None if row.sound is None else joined(folder, row.sound)
    if row.start is not None or row.end is not None:
        try:
            ClipFiles(target, sound, row.start, row.end)
        except UsageError as error:
            raise UsageError(f"{path}: row {row.number}: {error}") from None
    state = state_of(target if "://" in row.video else os.path.join(base, row.video))  # noqa: PTH118
    lost = target if state is None else None if sound is None or is_there(sound) else sound
    absent = None if lost is None else Absent("unreadable", f"no such file: {shown(str(lost))}")
    plain = without_suffix(without_place(row.video))
    name = safe_id(_part_of(plain, row)) if row.id is None else id_of(row.id)
    return ListedClip(name, shown(row.video), target, row.groups, absent, sound, row.sound, row.start, row.end, state)


def _part_of(name: str, row: ListRow) -> str:
    """Return the name of a part of a file: the file's name with its start and end in seconds."""
    if row.start is None and row.end is None:
        return name
    return f"{name}@{row.start or 0:.10g}-{'' if row.end is None else f'{row.end:.10g}'}"


def _refuse_lost_sounds(path: Path, folder: Path, table: ClipList) -> None:
    """Raise UsageError if no sound of a list exists. In lists of older versions, `sound` named the source sound."""
    named = [row.sound for row in table.rows if row.sound is not None]
    if named and not any(is_there(folder / name) for name in named):
        raise UsageError(
            f"{path}: row 1: sound: no such file: {folder / named[0]}. The column `sound` names the file to hear in "
            "place of the clip's own sound; rename it to `group_sound` if it only names the source sound"
        )


def _with_unique_ids(clips: list[ListedClip]) -> list[ListedClip]:
    """Return the clips with unique ids.

    If clips differ only in suffix or folder, their ids get the suffix or folder. Raises UsageError if ids are still
    equal then.
    """
    for full in (False, True):
        counts = Counter(clip.id for clip in clips)
        if len(counts) == len(clips):
            return clips
        # Below the deepest folder that holds all, so that the way in which a path is written does not count.
        paths = [whole(clip.path) for clip in clips]
        base = Path(os.path.commonpath([path.parent for path in paths]))
        places = [path.relative_to(base).as_posix() for path in paths]
        names = places if full else [clip.clip for clip in clips]
        clips = [
            clip if counts[clip.id] == 1 else replace(clip, id=safe_id(name))
            for clip, name in zip(clips, names, strict=True)
        ]
    double = next((id_ for id_, count in Counter(clip.id for clip in clips).items() if count > 1), None)
    if double is not None:
        names = [clip.clip for clip in clips if clip.id == double]
        raise UsageError(f"{len(names)} clips have the id {double} ({names[0]}); each clip can be listed only once")
    return clips
