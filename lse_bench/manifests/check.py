"""Check that all files of a manifest exist and can be used.

Each file is probed once. The counts of an imported list are compared with the published counts.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lse_bench.errors import ClipError
from lse_bench.manifests.manifest import Manifest
from lse_bench.manifests.official_lists import corpora
from lse_bench.media.probe import probe
from lse_bench.processor import usable_cores

OnFile = Callable[[], None]


@dataclass(slots=True)
class Findings:
    """The results of a check.

    `jobs`: number of pairs. `files`: number of distinct files. `seconds`: total duration of the files. `problems`: one
    (file, sentence) for each file that cannot be used. `notes`: differences from the published list.
    """

    jobs: int
    files: int
    seconds: float = 0.0
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_manifest(manifest: Manifest, root: Path, on_file: OnFile = lambda: None) -> Findings:
    """Probe every file of `manifest` once.

    A file that is used as a video needs a video stream, and a file that is used as a sound needs a sound stream. Each
    stream needs at least one frame. `root`: the folder that the names are relative to. `on_file`: called after each
    file.
    """
    videos, sounds = {job.video for job in manifest.jobs}, {job.sound for job in manifest.jobs}
    names = sorted(videos | sounds)
    findings = Findings(len(manifest.jobs), len(names))

    def look(name: str) -> tuple[float, str | None]:
        path = root / name
        if not path.is_file():
            return 0.0, "no such file"
        try:
            info = probe(path)
        except ClipError as error:
            return 0.0, error.reason
        seconds = max((stream.seconds for stream in (info.video, info.sound) if stream is not None), default=0.0)
        if name in videos and info.video is None:
            return seconds, "no picture, but a job uses this file as its video"
        if name in sounds and info.sound is None:
            return seconds, "no sound, but a job uses this file as its sound"
        return seconds, None

    with ThreadPoolExecutor(usable_cores()) as pool:  # FFmpeg releases Python's lock while it reads
        for name, (seconds, problem) in zip(names, pool.map(look, names), strict=True):
            findings.seconds += seconds
            if problem is not None:
                findings.problems.append((name, problem))
            on_file()
    known = corpora().get(manifest.corpus)
    published = known.list if known is not None else None
    if published is not None and manifest.list_sha256 is not None:
        if manifest.list_sha256 != published.sha256:
            findings.notes.append(f"the list is not the official {published.file}: its digest differs")
        if len(manifest.jobs) != published.pairs:
            findings.notes.append(f"{len(manifest.jobs)} pairs, but the official list has {published.pairs}")
        if len(names) != published.clips:
            findings.notes.append(f"{len(names)} clips, but the official list names {published.clips}")
    return findings
