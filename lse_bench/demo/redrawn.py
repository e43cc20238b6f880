"""The demo's generator: Wav2Lip in miniature redraws the lips for another speaker's sound."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from lse_bench.demo.sets import file_name, mismatched
from lse_bench.manifests.generated import video_path
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.manifests.manifest import Manifest, checked, job_of, write_manifest
from lse_bench.reporting import Report
from lse_bench.tasks.declared import GenerateOptions
from lse_bench.tasks.generating import generate_into

GENERATOR, CHECKPOINT = "wav2lip", "wav2lip-mini"


def make_redrawn(clips: Sequence[CorpusClip], corpus: Path, out: Path, folder: Path, report: Report) -> None:
    """Generate a video of every clip with the sound that it has in the set `unsynced`, and copy it to `folder`.

    `corpus`: the folder of the clips. `out`: a folder for the manifest and the generation. Videos that exist are kept.
    """
    jobs = []
    for number, clip in enumerate(clips):
        other = mismatched(clips, number)
        video, sound = (one.path.relative_to(corpus).as_posix() for one in (clip, other))
        jobs.append(job_of(clip.id, other.id, video, sound, clip.video))
    manifest = checked(Manifest, name="demo", corpus="minilrs", root=str(corpus.absolute()), jobs=tuple(jobs))
    pairs = out / "pairs.json"
    write_manifest(manifest, pairs)
    generate_into(out / "videos", GENERATOR, pairs, GenerateOptions(weights=CHECKPOINT), report)
    folder.mkdir(parents=True, exist_ok=True)
    for clip, job in zip(clips, jobs, strict=True):
        made = video_path(out / "videos", job.id)
        if made.exists():
            shutil.copyfile(made, folder / file_name(clip))
