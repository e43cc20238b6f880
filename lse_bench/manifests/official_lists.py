"""The official test lists into manifests: from the user's copy, checked against the digest in `data_manifests/`.

The lists of LRS2, LRS3 and LRW name the sound first, those of ReSyncED the video; LRW's ids have no folders.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lse_bench.errors import UsageError, no_such
from lse_bench.manifests.manifest import Job, Manifest, checked, job_of

_TIMEOUT = (10, 60)  # seconds to connect, and between two blocks


class OfficialList(BaseModel):
    """A published list: origin, digest, columns. `pattern`: an id's file below the corpus folder."""

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
        """The file of an id of the list. In LRW the word is what comes before the number."""
        return self.pattern.format(id=name, word=name.rsplit("_", 1)[0])


class Corpus(BaseModel):
    """One file of `data_manifests/`: a corpus, how to get it, its published counts and test list."""

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
    """Every corpus of `data_manifests/` by the name of its file."""
    folder = files("lse_bench.data_manifests")
    found = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return {
        item.name.removesuffix(".toml"): Corpus(**tomllib.loads(item.read_text(encoding="utf-8"))) for item in found
    }


def corpus(name: str) -> Corpus:
    """Raises UsageError with the nearest name."""
    known = corpora()
    if name not in known:
        raise UsageError(no_such("corpus", name, known))
    return known[name]


def import_list(name: str, content: bytes, root: Path | None = None, *, any_digest: bool = False) -> Manifest:
    """The manifest of an official list. `content`: of the file; `any_digest`: accept an edited or cut list.

    Raises UsageError for a list with another digest or with lines that are not two names.
    """
    entry = corpus(name).list
    if entry is None:
        raise UsageError(f"{name} has no official list; lse-bench manifest build makes one")
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256 and not any_digest:
        raise UsageError(
            f"{entry.file}: sha256 {digest} ({len(content):,} bytes), the official list has {entry.sha256} "
            f"({entry.bytes:,} bytes). It is cut, edited, has other line ends, or is another list; --any-digest takes "
            "it as it is, and the manifest says so"
        )
    try:
        lines = [line.split() for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise UsageError(f"{entry.file}: not a text file in UTF-8") from None
    wrong = next((number for number, names in enumerate(lines, 1) if len(names) != 2), None)
    if wrong is not None or not lines:
        found = len(lines[wrong - 1]) if wrong is not None else 0
        raise UsageError(f"{entry.file}: line {wrong or 1} has {found} names, 2 are needed")
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
    """The recording, which LRS ids begin with."""
    return video.split("/")[0] if name in ("lrs2", "lrs3") else None


def fetch_list(name: str, offline: bool, say: Callable[[str], None]) -> bytes:
    """The content of an official list from its pinned address. Raises UsageError when it cannot be had."""
    import requests

    from lse_bench.weights.store import Options

    entry = corpus(name).list
    if entry is None:
        raise UsageError(f"{name} has no official list; lse-bench manifest build makes one")
    forbidden = Options(offline=offline).forbidden
    if forbidden is not None:
        raise UsageError(f"{entry.file} is at {entry.url}; {forbidden} forbids fetching it: give your copy with --list")
    say(f"fetching {entry.url} (licence: {entry.licence})")
    try:
        answer = requests.get(entry.url, timeout=_TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise UsageError(
            f"{entry.url}: cannot be fetched ({type(error).__name__}); give your copy with --list"
        ) from None
    return answer.content
