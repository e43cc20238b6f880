"""The clips that a network is trained on: those of a corpus, a plain folder, a list, or a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.folders import clips_in, ids_of_files
from lse_bench.manifests.layouts import CorpusClip, NoCorpusError, read_corpus
from lse_bench.manifests.manifest import Manifest, manifest_in
from lse_bench.manifests.preview import Preview
from lse_bench.manifests.search import Passed
from lse_bench.manifests.speakers import with_speakers


def clips_to_train(
    source: Path, passed: Passed, preview: Preview, root: Path | None = None, speaker_from: str | None = None
) -> tuple[Path, list[CorpusClip]]:
    """Return the folder of the clips, and the clips. Clips without a split count as `train`.

    `source`: a corpus, any folder of videos, a list of clips, or a manifest, whose source videos are returned.
    `passed`: collects what is skipped. `preview`: gets how speakers were found. `root`: the folder with the files of a
    list or manifest, None for the one that it names. `speaker_from`: see `with_speakers`. Raises UsageError if there
    are no clips.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such folder, list or manifest")
    if source.suffix.lower() == ".json" and (manifest := manifest_in(source)) is not None:
        _refuse_speakers(speaker_from, "a manifest")
        folder = manifest.folder(root)
        return folder, _sources(manifest, folder)
    try:
        flavour, found = read_corpus(source)
        _refuse_speakers(speaker_from, flavour)
        return source, found
    except NoCorpusError:
        folder, clips = clips_in(source, passed, root)
    spoken = with_speakers(clips, folder, speaker_from, preview)
    return folder, [replace(clip, split="train") for clip in spoken]


def _refuse_speakers(speaker_from: str | None, what: str) -> None:
    if speaker_from is not None:
        raise UsageError(f"{what} names its speakers itself. Leave out --speaker-from")


def _sources(manifest: Manifest, folder: Path) -> list[CorpusClip]:
    """Return the distinct source videos of a manifest."""
    speakers = {job.video: job.groups.get("speaker") for job in manifest.jobs}
    ids = ids_of_files(list(speakers))
    return [
        CorpusClip(id_, folder / name, "train", speaker, "")
        for id_, (name, speaker) in zip(ids, speakers.items(), strict=True)
    ]
