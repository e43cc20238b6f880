"""Clips that lie elsewhere: below an address, and in the shards of a WebDataset.

A shard is a tar file. Its members `KEY.mp4`, `KEY.wav` and `KEY.json` belong together: a video, the sound that is heard
in place of its own, and what the clip shares with others (`speaker`, `group_NAME`).
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.listed import ListedClip, shown
from lse_bench.manifests.search import Passed
from lse_bench.naming import MEDIA_SUFFIXES, id_of, natural_key, safe_id
from lse_bench.remote.addresses import address_of, joined, suffix_of, without_place
from lse_bench.remote.cache import local_copy
from lse_bench.remote.stores import RemoteError, State, below, state_at

SHARD_SUFFIX = ".tar"
_SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".opus")
_MOST = 1 << 20  # bytes of a KEY.json


def clips_at(path: Path, passed: Passed) -> list[ListedClip]:
    """Return the clip at an address, or all clips below it. `passed` collects what is skipped.

    Raises UsageError if there is none, or if the store refuses.
    """
    address = address_of(path)
    assert address is not None
    try:
        if suffix_of(path) in MEDIA_SUFFIXES and (state := state_at(address)) is not None:
            name = Path(without_place(address)).name
            return [ListedClip(safe_id(Path(name).stem), name, path, state=state)]
        found = list(below(address))
    except RemoteError as error:
        raise UsageError(str(error)) from None
    clips = []
    for name, state in sorted(found, key=lambda one: natural_key(one[0])):
        suffix = Path(name).suffix.lower()
        if suffix not in MEDIA_SUFFIXES:
            passed.other[suffix] += 1
            continue
        stem = Path(name).with_suffix("").as_posix()
        clips.append(ListedClip(safe_id(stem), shown(name), joined(path, name), state=state))
    if not clips:
        raise UsageError(f"{shown(address)}: no videos below this address")
    return clips


def clips_of_shard(path: Path) -> list[ListedClip]:
    """Return the clips of a shard, in the order of its members. Raises UsageError if it cannot be read or has none."""
    try:
        here = local_copy(path)
        with tarfile.open(here) as archive:
            members = [member for member in archive if member.isfile()]
            about = {
                Path(member.name).with_suffix("").as_posix(): _groups(archive, member)
                for member in members
                if member.name.endswith(".json") and member.size <= _MOST
            }
    except ClipError as error:
        raise UsageError(error.reason) from None
    except (tarfile.TarError, OSError) as error:
        raise UsageError(f"{shown(str(path))}: not a tar file, or damaged: {error}") from None
    sounds = {
        member.name.rpartition(".")[0]: member.name for member in members if member.name.lower().endswith(_SOUNDS)
    }
    place = address_of(path) or str(path.absolute())
    clips = []
    for member in members:
        key, _, suffix = member.name.rpartition(".")
        if f".{suffix.lower()}" not in MEDIA_SUFFIXES or f".{suffix.lower()}" in _SOUNDS:
            continue
        sound = sounds.get(key)
        clips.append(
            ListedClip(
                id_of(key),
                shown(member.name),
                Path(f"tar://{member.name}::{place}"),
                about.get(key, {}),
                sound=None if sound is None else Path(f"tar://{sound}::{place}"),
                sound_name=sound,
                state=State(member.size, int(member.mtime) * 1_000_000),
            )
        )
    if not clips:
        raise UsageError(f"{shown(str(path))}: no member of this tar file is a video (KEY.mp4)")
    return clips


def _groups(archive: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, str]:
    """Return the groups in a KEY.json; none if it holds something else."""
    file = archive.extractfile(member)
    try:
        content = json.loads(file.read()) if file is not None else {}
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    named = {name: str(value) for name, value in content.items() if isinstance(value, str | int)}
    groups = {name.removeprefix("group_"): value for name, value in named.items() if name.startswith("group_")}
    return groups | ({"speaker": named["speaker"]} if "speaker" in named else {})
