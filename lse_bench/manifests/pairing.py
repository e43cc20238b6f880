"""Choose the sound for each video with seeded pairing rules, by default as many pairs as the published test lists."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np

from lse_bench.choices import PairRule
from lse_bench.errors import UsageError
from lse_bench.manifests.folders import clips_in, name_in
from lse_bench.manifests.layouts import CorpusClip, NoCorpusError, read_corpus
from lse_bench.manifests.manifest import Job, Manifest, checked, job_of
from lse_bench.manifests.preview import Preview
from lse_bench.manifests.search import Passed
from lse_bench.manifests.speakers import with_speakers

T = TypeVar("T")
RULES: tuple[PairRule, ...] = get_args(PairRule)
# Pairs in the published lists of Wav2Lip's evaluation.
PRESETS = {"lrs2": 14_239, "lrs3": 14_000, "lrw": 28_000}


def build_manifest(
    source: Path,
    pairs: int | None,
    seed: int = 0,
    rule: PairRule = "other-speaker",
    split: str = "test",
    passed: Passed | None = None,
    speaker_from: str | None = None,
    preview: Preview | None = None,
) -> Manifest:
    """Return a manifest of distinct pairs from a corpus, any folder of videos, or a list of clips.

    `source`: the folder or the list. `pairs`: the number of pairs. None means every clip once under the rule `self`,
    and otherwise the size of the published list. `seed`: the random seed; the same seed gives the same pairs. `rule`:
    the pairing rule. A speaker is the recording (LRS2, LRS3) or the word (LRW). In a plain folder `speaker_from` finds
    it in the path of a video, see `speaker_rule`; without it, it is the first folder of the path in which videos
    differ. `split`: the part of a corpus. `passed` collects what is skipped, including videos of a plain folder without
    a picture or without a sound. `preview`: gets what was understood.

    Raises UsageError if the rule or the split is unknown, if the rule allows too few pairs, if `speaker_from` finds no
    speaker, or if `pairs` is None and no list was published.
    """
    corpus, folder, clips = _clips_of(source, split, passed or Passed(), speaker_from, preview or Preview())
    if rule not in RULES:
        raise UsageError(f"no pairing rule called {rule}; the rules are: {', '.join(RULES)}")
    if rule == "self":
        if pairs is not None and pairs > len(clips):
            raise UsageError(f"{folder}: {pairs} self pairs wanted, but there are only {len(clips)} clips")
        chosen = clips if pairs is None else _sample(clips, pairs, _chooser(seed))
        drawn = [(clip, clip) for clip in chosen]
    else:
        wanted = pairs if pairs is not None else PRESETS.get(corpus)
        if wanted is None:
            raise UsageError(
                f"--pairs is missing, and {corpus} has no published list; give the number of pairs with --pairs"
            )
        drawn = _draw(clips, wanted, seed, rule, folder)
    jobs = [_job(video, sound, folder) for video, sound in drawn]
    name = f"{corpus}-{split}-{rule}-{len(jobs)}-seed{seed}"
    return checked(
        Manifest, name=name, corpus=corpus, root=str(folder.absolute()), rule=rule, seed=seed, jobs=tuple(jobs)
    )


def _clips_of(
    source: Path, split: str, passed: Passed, speaker_from: str | None, preview: Preview
) -> tuple[str, Path, list[CorpusClip]]:
    corpus: str
    try:
        corpus, clips = read_corpus(source)
    except NoCorpusError:
        folder, clips = clips_in(source, passed)
        return "folder", folder, with_speakers(clips, folder, speaker_from, preview)
    folder = source
    if speaker_from is not None:
        raise UsageError(f"{folder}: is {corpus}, whose layout names the speakers. Leave out --speaker-from")
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        there = ", ".join(sorted({clip.split for clip in clips}))
        raise UsageError(f"{folder}: no clips of the split {split}; there are: {there}")
    return ("minilrs" if (folder / "minilrs" / "corpus.json").is_file() else corpus), folder, chosen


def _speaker(clip: CorpusClip) -> str:
    return clip.video or clip.text or clip.id


def _draw(
    clips: list[CorpusClip], pairs: int, seed: int, rule: PairRule, folder: Path
) -> list[tuple[CorpusClip, CorpusClip]]:
    by_speaker: dict[str, list[CorpusClip]] = defaultdict(list)
    for clip in clips:
        by_speaker[_speaker(clip)].append(clip)
    same = sum(len(found) * (len(found) - 1) for found in by_speaker.values())
    possible = same if rule == "same-speaker" else len(clips) ** 2 - sum(len(v) ** 2 for v in by_speaker.values())
    if pairs > possible:
        raise UsageError(
            f"{folder}: {pairs} pairs wanted, but {len(clips)} clips of {len(by_speaker)} speakers allow {possible} "
            f"with the rule {rule}. {_way_out(rule, len(by_speaker), possible)}"
        )
    chooser = _chooser(seed)
    found: dict[tuple[str, str], tuple[CorpusClip, CorpusClip]] = {}
    if pairs * 2 > possible:  # random draws would often repeat a pair, so choose from the full list
        everything = [
            (video, sound)
            for video in clips
            for sound in clips
            if video is not sound and (_speaker(video) == _speaker(sound)) == (rule == "same-speaker")
        ]
        return _sample(everything, pairs, chooser)
    while len(found) < pairs:
        video = clips[chooser.integers(len(clips))]
        sounds = by_speaker[_speaker(video)] if rule == "same-speaker" else clips
        sound = sounds[chooser.integers(len(sounds))]
        if video is not sound and (_speaker(video) == _speaker(sound)) == (rule == "same-speaker"):
            found.setdefault((video.id, sound.id), (video, sound))
    return list(found.values())


def _way_out(rule: PairRule, speakers: int, possible: int) -> str:
    """Return advice for the case that the rule allows too few pairs."""
    if possible:
        return f"--pairs {possible} takes them all"
    if speakers == 1 and rule == "other-speaker":
        return (
            "A pair needs two speakers: use --rule same-speaker or self, another --split, or a corpus with more "
            "speakers in this split (minilrs --speakers 40 has 4 in its test split)"
        )
    return "Each speaker has one clip: use --rule other-speaker or self"


def _chooser(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _sample(items: list[T], count: int, chooser: np.random.Generator) -> list[T]:
    return [items[n] for n in chooser.permutation(len(items))[:count]]


def _job(video: CorpusClip, sound: CorpusClip, folder: Path) -> Job:
    seen, heard = (name_in(folder, clip.path) for clip in (video, sound))
    return job_of(video.id, sound.id, seen, heard, speaker=video.video)
