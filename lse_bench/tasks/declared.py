"""The options of every task that more than one door offers: commands, benchmarks, Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lse_bench.choices import (
    Crop,
    FaceChoice,
    Faceless,
    Flavour,
    FpsPolicy,
    NanSound,
    PairRule,
    Part,
    Paste,
    ReferenceFrames,
    Region,
    Resize,
    ScoringPrecision,
    Short,
    Smoothing,
    Style,
    Tracker,
    TrackRule,
    VoiceFamily,
)
from lse_bench.tasks.options import Flag, TaskOptions

TABLE = "a file, or a name of `lse-bench weights list`"


@dataclass(frozen=True, kw_only=True)
class FetchOptions(TaskOptions):
    """How weights are fetched."""

    offline: Annotated[bool, Flag("Never fetch weights from the network.")] = False
    trust: Annotated[bool, Flag("Accept a download whose digest nobody has published.")] = False


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(FetchOptions):
    """What finds faces."""

    detector: Annotated[
        str | None,
        Flag("Finds faces: centerface (default, offline), s3fd (as published), boxes (files, see --boxes)."),
    ] = None
    boxes: Annotated[Path | None, Flag("Folder with CLIP.json or CLIP.npz of face boxes, for --detector boxes.")] = None
    detector_weights: Annotated[str, Flag(f"S3FD's checkpoint: {TABLE}.", names="weights")] = "sfd_face"


@dataclass(frozen=True, kw_only=True)
class WeightsOptions(FetchOptions):
    """Where networks compute."""

    device: Annotated[str, Flag("auto, cpu, cuda or cuda:N.")] = "auto"


@dataclass(frozen=True, kw_only=True)
class FaceOptions(DetectorOptions, WeightsOptions):
    """What finds faces, and where it computes."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(FaceOptions):
    """Of `lse-bench score`."""

    weights: Annotated[str, Flag(f"SyncNet's checkpoint: {TABLE}; never executed.", names="weights")] = "syncnet_v2"
    protocol: Annotated[
        str,
        Flag(
            "Face crops: lrs@1 (as published), lrs-lossless@1 (without its JPEG step). Whole videos: tracked@1 (in "
            "memory), tracked-legacy@2 (as published)."
        ),
    ] = "lrs@1"
    fps_policy: Annotated[
        FpsPolicy | None,
        Flag(
            "require-25 refuses other rates; resample converts by presentation time; as-is counts frames as 40 ms. "
            "Default: require-25, for tracked protocols resample."
        ),
    ] = None
    track_rule: Annotated[
        TrackRule, Flag("all: each face track counts once, as published; mean: each clip; best: its surest track.")
    ] = "all"
    tracker: Annotated[Tracker, Flag("original, as published, or matched: corrected for faces near each other.")] = (
        "original"
    )
    min_track: Annotated[
        int,
        Flag("A track needs more detections than this. Lower it for clips under 4 s; it is part of the id.", least=0),
    ] = 100
    stride: Annotated[int, Flag("Detect faces in every N-th frame; part of the id.", least=1, most=25)] = 1
    ffmpeg: Annotated[Path | None, Flag("The ffmpeg program for tracked-legacy.")] = None
    precision: Annotated[ScoringPrecision, Flag("fp32, or bf16: faster, recorded, not comparable with fp32.")] = "fp32"
    batch_size: Annotated[int | None, Flag("Windows per network pass; never changes a number.", least=1)] = None
    workers: Annotated[int | None, Flag("Threads that decode ahead; never changes a number.", least=0)] = None
    keep_windows: Annotated[bool, Flag("Keep the distances of every window.")] = False
    overlay: Annotated[Path | None, Flag("Folder for the scored clips with boxes and running confidence drawn in.")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class RescoreOptions(WeightsOptions):
    """Of `lse-bench verify --rescore`; the rest is in the run's key."""

    weights: Annotated[
        str | None, Flag("SyncNet's weights to score with; default: those that the run names.", names="weights")
    ] = None
    boxes: Annotated[Path | None, Flag("Folder of face boxes, for a run that was scored with --boxes.")] = None


@dataclass(frozen=True, kw_only=True)
class FidOptions(FaceOptions):
    """Of `lse-bench fid`."""

    weights: Annotated[str, Flag(f"Inception: {TABLE}.", names="weights")] = "inception"
    region: Annotated[Region, Flag("frame: all of it; face: cut to the most confident face of each frame.")] = "frame"
    reference_frames: Annotated[
        ReferenceFrames, Flag("pooled: all frames of both sets; matched: only clips whose id is in both.")
    ] = "pooled"
    resize: Annotated[Resize, Flag("bilinear, as pytorch-fid; antialias for frames above 299 px.")] = "bilinear"
    frame_step: Annotated[int, Flag("Take every N-th frame of a video.", least=1)] = 1
    groups: Annotated[int, Flag("Groups of clips for FID's jackknife (34 MB each); 0 for none.", least=0)] = 5
    seed: Annotated[int, Flag("Seed of KID's subsets.")] = 2020


@dataclass(frozen=True, kw_only=True)
class FdSyncOptions(WeightsOptions):
    """Of `lse-bench fd-sync`."""

    weights: Annotated[str, Flag(f"SyncNet: {TABLE}.", names="weights")] = "syncnet_v2"
    protocol: Annotated[str, Flag("How frames are prepared: lrs@1 or lrs-lossless@1.")] = "lrs-lossless@1"
    fps_policy: Annotated[FpsPolicy, Flag("require-25, resample or as-is.")] = "require-25"


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(FaceOptions):
    """Of `lse-bench generate`."""

    checkpoint: Annotated[str | None, Flag(f"The generator's weights: {TABLE}.", names="weights")] = None
    legacy: Annotated[
        bool,
        Flag(
            "The published evaluation script's choices: detector s3fd, no padding, short sources and sources with a "
            "faceless frame dropped."
        ),
    ] = False
    detector_weights: Annotated[str, Flag(f"S3FD's checkpoint: {TABLE}.", names="weights")] = "s3fd"
    pads: Annotated[str | None, Flag("Pixels added to a face box; default: the generator's.", metavar="T,B,L,R")] = None
    smoothing: Annotated[
        Smoothing | None, Flag("Of boxes: original, exponential or none; default: the generator's.")
    ] = None
    face: Annotated[
        FaceChoice | None, Flag("Of several faces the surest or the largest; default: the generator's.")
    ] = None
    faceless: Annotated[Faceless, Flag("A frame without a face: skip-clip, as published, or keep-frame.")] = "skip-clip"
    short: Annotated[Short, Flag("A source shorter than the sound: skip, as published, loop or ping-pong.")] = "skip"
    nan_sound: Annotated[
        NanSound, Flag("Digital silence, which some features cannot take: skip, as published, or noise.")
    ] = "skip"
    paste: Annotated[Paste, Flag("overwrite, as published, or feather: soft edges.")] = "overwrite"
    sound_offset: Annotated[int, Flag("Frames by which the sound is heard later (positive) or earlier.")] = 0
    command: Annotated[str | None, Flag('For `command`: "program --face {video} --audio {audio} --out {output}".')] = (
        None
    )
    timeout: Annotated[float | None, Flag("For `command`: seconds for one job.", least=0.1)] = None
    settings: Annotated[
        tuple[str, ...],
        Flag("A setting of the generator, see --list.", metavar="NAME=VALUE", name="set", names="settings"),
    ] = ()
    seed: Annotated[int, Flag("For generators that draw at random.")] = 0
    retry_failed: Annotated[bool, Flag("Try jobs again that failed before.")] = False


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(DetectorOptions):
    """Of `lse-bench prepare`."""

    crop: Annotated[Crop, Flag("box, 96x96; or aligned by landmarks, 112x112, for Speech2Vid.")] = "box"
    pads: Annotated[str, Flag("Pixels added to a face box; 0, as the originals train.", metavar="T,B,L,R")] = "0,0,0,0"
    split: Annotated[tuple[str, ...], Flag("Only this split; may be repeated. Default: all.")] = ()
    sync_weights: Annotated[
        str | None, Flag("SyncNet's weights: clips out of sync are corrected or dropped.", names="weights")
    ] = None
    min_confidence: Annotated[float, Flag("With --sync-weights: clips under it are dropped.")] = 3.0
    max_offset: Annotated[int, Flag("With --sync-weights: frames beyond which to drop.", least=0)] = 13
    drop_offsets: Annotated[bool, Flag("With --sync-weights: drop clips with any offset, correct none.")] = False
    workers: Annotated[int | None, Flag("Processes; changes nothing but time.", least=1)] = None


@dataclass(frozen=True, kw_only=True)
class BuildOptions(TaskOptions):
    """Of `lse-bench manifest build`."""

    pairs: Annotated[
        int | None, Flag("How many; default: the published list's size, or every clip for self.", least=1)
    ] = None
    seed: Annotated[int, Flag("The same seed gives the same pairs.", least=0)] = 0
    rule: Annotated[PairRule, Flag("other-speaker, same-speaker or self.")] = "other-speaker"
    split: Annotated[str, Flag("Split of a corpus.")] = "test"


@dataclass(frozen=True, kw_only=True)
class ImportOptions(TaskOptions):
    """Of `lse-bench manifest import`."""

    list: Annotated[Path | None, Flag("Your copy of the list; default: fetched from its pinned address.")] = None
    any_digest: Annotated[bool, Flag("Accept a list that is not the official one.")] = False
    offline: Annotated[bool, Flag("Never fetch the list.")] = False


@dataclass(frozen=True, kw_only=True)
class MiniLrsOptions(TaskOptions):
    """Of `lse-bench minilrs`."""

    flavour: Annotated[Flavour, Flag("Whose layout and format: lrs2, lrs3 or lrw.")] = "lrs2"
    speakers: Annotated[int, Flag("How many people.", least=1)] = 10
    clips: Annotated[int, Flag("Clips of each.", least=1)] = 8
    seed: Annotated[int, Flag("Other seeds give other people, voices and words.", least=0)] = 0
    split: Annotated[Part, Flag("auto parts the speakers into train, val and test; or put all into one of these.")] = (
        "auto"
    )
    style: Annotated[Style, Flag("plain faces, marked ones (beard, glasses, dark light), or mixed.")] = "mixed"
    voices: Annotated[VoiceFamily, Flag("american, or foreign: Scots, Caribbean, London, German, Spanish.")] = (
        "american"
    )
    frames: Annotated[int | None, Flag("Length of every clip; default 50 to 125, and 29 for lrw.")] = None
    workers: Annotated[int | None, Flag("Processes; changes nothing but time.", least=1)] = None
