"""Convert the official test lists to manifests. The list is checked against the digest in `data_manifests/`.

The lists of LRS2, LRS3 and LRW name the sound first. The lists of ReSyncED name the video first. The ids of LRW have no
folders.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lse_bench.errors import UsageError, WeightsError, no_such
from lse_bench.manifests.manifest import Job, Manifest, checked, job_of
from lse_bench.weights.download import FetchSettings, download
from lse_bench.weights.table import Entry


class OfficialList(BaseModel):
    """A published list: its origin, digest and columns.

    `bytes`: size of the file. `pairs`, `clips`: number of pairs and of distinct clips. `order`: order of the two names
    in a line. `pattern`: path of an id's file below the corpus folder, with `{id}` and `{word}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    url: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int
    pairs: int
    clips: int
    order: Literal["audio-video", "video-audio"]
    pattern: str
    licence: str

    def path_of(self, name: str) -> str:
        """Return the path of the file of the id `name`. In LRW the word is the part before the number."""
        return self.pattern.format(id=name, word=name.rsplit("_", 1)[0])


class Corpus(BaseModel):
    """A corpus, as one file of `data_manifests/` describes it.

    `obtain`: how to get the corpus. `counts`: the published counts. `list`: the official test list, or None if there is
    none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    layout: str
    licence: str
    obtain: str
    citation: str
    counts: dict[str, int] = {}
    list: OfficialList | None = None


@cache
def corpora() -> dict[str, Corpus]:
    """Return every corpus of `data_manifests/` by the name of its file."""
    folder = files("lse_bench.data_manifests")
    found = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return {
        item.name.removesuffix(".toml"): Corpus(**tomllib.loads(item.read_text(encoding="utf-8"))) for item in found
    }


def corpus(name: str) -> Corpus:
    """Return the corpus `name`. Raises UsageError if it is unknown; the message suggests the nearest name."""
    known = corpora()
    if name not in known:
        raise UsageError(no_such("corpus", name, known))
    return known[name]


def import_list(name: str, content: bytes, root: Path | None = None, *, any_digest: bool = False) -> Manifest:
    """Return the manifest of an official list of the corpus `name`.

    `content`: the bytes of the list. `root`: the corpus folder to record. `any_digest`: accept an edited or cut list.
    Raises UsageError if the corpus is unknown or has no list, if the digest differs, if a line does not hold two names,
    or if two lines are the same pair.
    """
    entry = corpus(name).list
    if entry is None:
        raise UsageError(f"{name} has no official list; make a list with lse-bench manifest build")
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256 and not any_digest:
        raise UsageError(
            f"{entry.file}: sha256 {digest} ({len(content):,} bytes), but the official list has {entry.sha256} "
            f"({entry.bytes:,} bytes). The file may be cut, edited, another list, or have other line ends; "
            "--any-digest accepts it, and the manifest's name then ends in -unofficial"
        )
    try:
        lines = [line.split() for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise UsageError(f"{entry.file}: not a text file in UTF-8; give the original list") from None
    wrong = next((number for number, names in enumerate(lines, 1) if len(names) != 2), None)
    if wrong is not None or not lines:
        found = len(lines[wrong - 1]) if wrong is not None else 0
        raise UsageError(f"{entry.file}: line {wrong or 1} has {found} names, but needs 2")
    jobs: list[Job] = []
    seen: dict[str, int] = {}
    for number, names in enumerate(lines, 1):
        video, sound = names if entry.order == "video-audio" else names[::-1]
        job = job_of(video, sound, entry.path_of(video), entry.path_of(sound), _speaker(name, video))
        if job.id in seen:
            raise UsageError(f"{entry.file}: lines {seen[job.id]} and {number} are the same pair ({video}, {sound})")
        seen[job.id] = number
        jobs.append(job)
    official = f"{name}-test" if digest == entry.sha256 else f"{name}-unofficial"
    return checked(
        Manifest,
        name=official,
        corpus=name,
        root=None if root is None else str(root.absolute()),
        list_sha256=digest,
        jobs=tuple(jobs),
    )


def _speaker(name: str, video: str) -> str | None:
    """Return the recording, which is the first part of an LRS id, or None for other corpora."""
    return video.split("/")[0] if name in ("lrs2", "lrs3") else None


def fetch_list(name: str, settings: FetchSettings) -> bytes:
    """Return the content of an official list from its pinned address.

    `settings`: how it may be fetched. Raises UsageError if the corpus is unknown or has no list, if the network may not
    be used, or if the download fails.
    """
    entry = corpus(name).list
    if entry is None:
        raise UsageError(f"{name} has no official list; make a list with lse-bench manifest build")
    if (forbidden := settings.forbidden) is not None:
        raise UsageError(
            f"{entry.file} is at {entry.url}, but {forbidden} forbids fetching it; give your copy with --list"
        )
    settings.say(f"fetching {entry.url} (licence: {entry.licence})")
    item = Entry(
        name=entry.file,
        file=entry.file,
        what=f"the test list of {name}",
        urls=(entry.url,),
        licence=entry.licence,
        format="text",
        sha256=entry.sha256,
        bytes=entry.bytes,
    )
    with tempfile.TemporaryDirectory() as folder:  # the list is stored nowhere but in the manifest
        partial = Path(folder) / entry.file
        try:
            download(item, partial, settings, "give your copy with --list")
        except WeightsError as error:
            raise UsageError(str(error)) from None
        return partial.read_bytes()
