"""The options of the tasks that make corpora, lists of pairs and training clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lse_bench.choices import Crop, Flavour, PairRule, Part, Style, VoiceFamily
from lse_bench.tasks.declared import DetectorOptions
from lse_bench.tasks.options import Flag, TaskOptions

SPEAKER_FROM = "The speaker in the path of a video: a regular expression with (?P<speaker>…)."


@dataclass(frozen=True, kw_only=True)
class MiniLrsOptions(TaskOptions):
    """The options of `lse-bench minilrs`."""

    flavour: Annotated[Flavour, Flag("Corpus whose layout and format are used: lrs2, lrs3 or lrw.")] = "lrs2"
    speakers: Annotated[int, Flag("Number of speakers.", least=1)] = 10
    clips: Annotated[int, Flag("Number of clips of each speaker.", least=1)] = 8
    seed: Annotated[int, Flag("Random seed. Another seed gives other faces, voices and words.", least=0)] = 0
    split: Annotated[
        Part, Flag("Split of the speakers: auto (divided over train, val and test), or train, val or test for all.")
    ] = "auto"
    style: Annotated[Style, Flag("Style of the faces: plain, marked (beard, glasses, dark light) or mixed.")] = "mixed"
    voices: Annotated[
        VoiceFamily, Flag("Accent of the voices: american, or foreign (Scottish, Caribbean, British, German, Spanish).")
    ] = "american"
    frames: Annotated[int | None, Flag("Length of every clip in frames. Default: 50 to 125, or 29 for lrw.")] = None
    workers: Annotated[
        int | None, Flag("Number of processes. It does not change the result.", least=1, neutral=True)
    ] = None


@dataclass(frozen=True, kw_only=True)
class BuildOptions(TaskOptions):
    """The options of `lse-bench manifest build`."""

    pairs: Annotated[
        int | None,
        Flag("Number of pairs. Default: the size of the published list, or every clip for the rule self.", least=1),
    ] = None
    seed: Annotated[int, Flag("Random seed. The same seed gives the same pairs.", least=0)] = 0
    rule: Annotated[
        PairRule, Flag("Whose sound a source video gets: other-speaker, same-speaker, or self (its own).")
    ] = "other-speaker"
    split: Annotated[str, Flag("Split of a corpus to draw from.")] = "test"
    speaker_from: Annotated[str | None, Flag(SPEAKER_FROM, metavar="REGEX")] = None


@dataclass(frozen=True, kw_only=True)
class FromOptions(TaskOptions):
    """The options of `lse-bench manifest from`."""

    speaker_from: Annotated[str | None, Flag(SPEAKER_FROM, metavar="REGEX")] = None
    column: Annotated[
        tuple[str, ...],
        Flag("A column with another name: video=path. Repeatable.", metavar="NAME=COLUMN", names="settings"),
    ] = ()
    name: Annotated[str | None, Flag("Name of the manifest in tables. Default: the name of the list.")] = None


@dataclass(frozen=True, kw_only=True)
class EditOptions(TaskOptions):
    """The options of `lse-bench manifest edit`."""

    where: Annotated[
        tuple[str, ...],
        Flag(
            "Keep pairs whose id, video, sound or group matches, as speaker=anna,b* or id!=x*. Repeatable.",
            metavar="NAME=PATTERN",
        ),
    ] = ()
    sample: Annotated[int | None, Flag("Keep as many pairs, by a random choice.", least=1)] = None
    split: Annotated[
        tuple[str, ...],
        Flag("Write parts NAME.json into the folder --out, as train=0.9. Repeatable.", metavar="NAME=SHARE"),
    ] = ()
    by: Annotated[str | None, Flag("With --split: a group whose pairs stay in one part, such as speaker.")] = None
    seed: Annotated[int, Flag("Random seed of --sample and --split.", least=0)] = 0
    name: Annotated[str | None, Flag("Name of the new manifest in tables.")] = None


@dataclass(frozen=True, kw_only=True)
class ImportOptions(TaskOptions):
    """The options of `lse-bench manifest import`."""

    list: Annotated[Path | None, Flag("Your copy of the list. Default: fetch it from its pinned address.")] = None
    any_digest: Annotated[bool, Flag("Accept a list whose digest is not the official one.")] = False
    offline: Annotated[bool, Flag("Never fetch the list from the network.", neutral=True)] = False


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(DetectorOptions):
    """The options of `lse-bench prepare`."""

    crop: Annotated[Crop, Flag("Face crop: box (96x96) or aligned (by landmarks, 112x112, for Speech2Vid).")] = "box"
    pads: Annotated[
        str,
        Flag(
            "Pixels added to the top, bottom, left and right of a face box. The original methods train with 0.",
            metavar="T,B,L,R",
        ),
    ] = "0,0,0,0"
    split: Annotated[
        tuple[str, ...], Flag("Prepare only this split of a corpus. Repeatable. Default: all splits.")
    ] = ()
    speaker_from: Annotated[str | None, Flag(SPEAKER_FROM, metavar="REGEX")] = None
    sync_weights: Annotated[
        str | None, Flag("SyncNet's checkpoint. With it, clips out of sync are corrected or dropped.", names="weights")
    ] = None
    min_confidence: Annotated[float, Flag("With --sync-weights: drop clips with a lower LSE-C.")] = 3.0
    max_offset: Annotated[int, Flag("With --sync-weights: drop clips with a larger AV offset, in frames.", least=0)] = (
        13
    )
    drop_offsets: Annotated[
        bool, Flag("With --sync-weights: drop every clip whose AV offset is not 0, and correct none.")
    ] = False
