"""The options of the tasks that more than one of commands, benchmarks and the Python API offers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lse_bench.choices import (
    FaceChoice,
    Faceless,
    FpsPolicy,
    LandmarkSource,
    NanSound,
    Paste,
    ReferenceFrames,
    Region,
    Resize,
    ScoringPrecision,
    Short,
    Smoothing,
    Tracker,
    TrackRule,
)
from lse_bench.tasks.options import Flag, TaskOptions

TABLE = "a file or a name from `lse-bench weights list`"


@dataclass(frozen=True, kw_only=True)
class FetchOptions(TaskOptions):
    """Options for fetching weights."""

    offline: Annotated[bool, Flag("Never use the network, for weights and for clips.", neutral=True)] = False
    trust: Annotated[bool, Flag("Accept a download for which no digest is published.", neutral=True)] = False
    storage_options: Annotated[
        Path | None,
        Flag(
            "For addresses, such as s3://bucket/clips: a JSON or TOML file with fsspec's options by scheme.",
            neutral=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(FetchOptions):
    """Options for detecting faces."""

    detector: Annotated[
        str | None,
        Flag(
            "Face detector: centerface works offline and is the default. s3fd is the published detector and the "
            "default of tracked-legacy and --legacy. boxes reads the files in --boxes."
        ),
    ] = None
    boxes: Annotated[Path | None, Flag("For --detector boxes: a folder with CLIP.json or CLIP.npz for each clip.")] = (
        None
    )
    detector_weights: Annotated[str, Flag(f"S3FD's checkpoint: {TABLE}.", names="weights")] = "sfd_face"


@dataclass(frozen=True, kw_only=True)
class WeightsOptions(FetchOptions):
    """Options for fetching weights and for the device that networks run on."""

    device: Annotated[str, Flag("Device that networks run on: auto, cpu, cuda or cuda:N.")] = "auto"


@dataclass(frozen=True, kw_only=True)
class FaceOptions(DetectorOptions, WeightsOptions):
    """Options for detecting faces and for the device that the detector runs on."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(FaceOptions):
    """The options of `lse-bench score`."""

    weights: Annotated[str, Flag(f"SyncNet's checkpoint: {TABLE}. It is never executed.", names="weights")] = (
        "syncnet_v2"
    )
    protocol: Annotated[
        str,
        Flag(
            "Protocol. For face crops: lrs@1 (as published) or lrs-lossless@1 (without the JPEG step). For whole "
            "videos: tracked@1 (in memory) or tracked-legacy@2 (as published)."
        ),
    ] = "lrs@1"
    fps_policy: Annotated[
        FpsPolicy | None,
        Flag(
            "Handling of clips that are not 25 fps: require-25 refuses them, resample converts them by presentation "
            "time, as-is counts every frame as 40 ms. Default: require-25, or resample for tracked protocols."
        ),
    ] = None
    track_rule: Annotated[
        TrackRule,
        Flag(
            "What a mean counts: all (each face track once, as published), mean (each clip once, with the mean of its "
            "tracks) or best (each clip once, with its most confident track)."
        ),
    ] = "all"
    tracker: Annotated[
        Tracker, Flag("Face tracker: original (as published) or matched (corrected for faces near each other).")
    ] = "original"
    min_track: Annotated[
        int,
        Flag(
            "A track needs more detections than this. Lower it for clips under 4 s. Another value is part of the "
            "protocol id.",
            least=0,
        ),
    ] = 100
    stride: Annotated[
        int,
        Flag(
            "Detect faces in every N-th frame and interpolate between them. Another value is part of the protocol id.",
            least=1,
            most=25,
        ),
    ] = 1
    sound_stream: Annotated[
        str | None,
        Flag(
            "Sound to hear in a file with several: its number, counted from 1, or its language, such as eng. Default: "
            "the one that ffmpeg chooses. It is recorded.",
            metavar="N|LANGUAGE",
        ),
    ] = None
    search: Annotated[
        float | None,
        Flag("Look for delays of up to SECONDS, beyond the 0.6 s of the curve. It changes no LSE.", metavar="SECONDS"),
    ] = None
    timeline: Annotated[
        float | None,
        Flag(
            "Measure the offset over time, in pieces of SECONDS, and say whether it is constant, drifts or jumps.",
            metavar="SECONDS",
        ),
    ] = None
    measures: Annotated[
        str | None,
        Flag(
            "Further measures of each clip, with commas between them, such as psnr,ssim. `lse-bench measures` lists "
            "them.",
            metavar="NAME,…",
        ),
    ] = None
    originals: Annotated[
        Path | None, Flag("For measures against the untouched videos: their folder. They have the clips' ids.")
    ] = None
    landmarks: Annotated[
        LandmarkSource,
        Flag("For measures of landmarks: facemesh finds them, sidecar reads the files in --sidecars."),
    ] = "facemesh"
    landmark_weights: Annotated[
        str, Flag("For facemesh: the network, a file or a name from `lse-bench weights list`.")
    ] = "facemesh"
    sidecars: Annotated[
        Path | None,
        Flag(
            "A folder with what is known of the clips: landmarks (CLIP.npz), phonemes (CLIP.npz, CLIP.lab, "
            "CLIP.TextGrid or CLIP.json)."
        ),
    ] = None
    measure_command: Annotated[
        tuple[str, ...],
        Flag(
            'A program as a measure: "name=python eval.py --video {video} --original {original}". It prints a number. '
            "Repeatable.",
            metavar="NAME=COMMAND",
            names="settings",
        ),
    ] = ()
    calibration: Annotated[
        Path | None,
        Flag("For grades of offsets: a file from `lse-bench gate --calibrate`. Default: the package's, if it has one."),
    ] = None
    ffmpeg: Annotated[Path | None, Flag("For tracked-legacy: the ffmpeg program. Default: the one on the PATH.")] = None
    precision: Annotated[
        ScoringPrecision,
        Flag("fp32, or bf16, which is faster. bf16 is recorded. Its scores are not comparable with fp32."),
    ] = "fp32"
    batch_size: Annotated[
        int | None, Flag("Number of windows per network pass. It does not change a score.", least=1, neutral=True)
    ] = None
    workers: Annotated[
        int | None, Flag("Number of threads that decode ahead. It does not change a score.", least=0, neutral=True)
    ] = None
    keep_windows: Annotated[bool, Flag("Store the distances of every window.")] = False
    overlay: Annotated[
        Path | None,
        Flag(
            "A folder for copies of the scored clips with face boxes and running confidence (tracked protocols), and "
            "with the offset over time (--timeline).",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class AdoptOptions(TaskOptions):
    """The options of `lse-bench score --manifest`, which adopts finished videos."""

    names: Annotated[
        str | None,
        Flag(
            'How the videos are named: a template, such as "{speaker}_{id}_ours.mp4", or a list with the columns id '
            "and video. Default: by the pair's id.",
            metavar="TEMPLATE|FILE",
            names="file",
        ),
    ] = None
    pair_sounds: Annotated[bool, Flag("Hear the sound of each pair in place of the video's own.")] = False


@dataclass(frozen=True, kw_only=True)
class GateOptions(TaskOptions):
    """The options of `lse-bench gate`."""

    require: Annotated[
        tuple[str, ...],
        Flag(
            "A condition that accepted clips meet, such as lse_c >= 3 or abs(offset_ms) <= 80. Repeatable.",
            metavar="CONDITION",
        ),
    ] = ()
    max_rejected: Annotated[
        float, Flag("Share of rejected clips (0 to 1) from which the exit status is 1.", least=0, most=1)
    ] = 0.0
    fix: Annotated[
        bool,
        Flag(
            "Also write copies of clips whose offset is sure, with the sound moved by it, to OUT/fixed. The picture is "
            "copied."
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class RescoreOptions(WeightsOptions):
    """The options of `lse-bench verify --rescore`. The comparison key of the run gives all other settings."""

    weights: Annotated[
        str | None, Flag("SyncNet's checkpoint for --rescore. Default: the one that the run names.", names="weights")
    ] = None
    boxes: Annotated[Path | None, Flag("The folder of face boxes, for a run that was scored with --boxes.")] = None


@dataclass(frozen=True, kw_only=True)
class FidOptions(FaceOptions):
    """The options of `lse-bench fid`."""

    weights: Annotated[str, Flag(f"Inception's checkpoint: {TABLE}.", names="weights")] = "inception"
    region: Annotated[
        Region, Flag("Region to compare: frame (the whole frame) or face (a crop to its most confident face).")
    ] = "frame"
    reference_frames: Annotated[
        ReferenceFrames,
        Flag("Frames to compare: pooled (all frames of both sets) or matched (only clips whose id is in both sets)."),
    ] = "pooled"
    resize: Annotated[
        Resize, Flag("Resize method: bilinear (as pytorch-fid) or antialias (for frames larger than 299 px).")
    ] = "bilinear"
    frame_step: Annotated[int, Flag("Use every N-th frame of a video.", least=1)] = 1
    groups: Annotated[
        int, Flag("Number of groups of clips for the jackknife of FID (34 MB each). 0 turns it off.", least=0)
    ] = 5
    seed: Annotated[int, Flag("Random seed for the subsets of KID.")] = 2020


@dataclass(frozen=True, kw_only=True)
class FvdOptions(WeightsOptions):
    """The options of `lse-bench fvd`."""

    weights: Annotated[str, Flag(f"I3D's checkpoint: {TABLE}.", names="weights")] = "i3d"
    groups: Annotated[int, Flag("Number of groups of clips for the jackknife of FVD. 0 turns it off.", least=0)] = 5


@dataclass(frozen=True, kw_only=True)
class FdSyncOptions(WeightsOptions):
    """The options of `lse-bench fd-sync`."""

    weights: Annotated[str, Flag(f"SyncNet's checkpoint: {TABLE}.", names="weights")] = "syncnet_v2"
    protocol: Annotated[str, Flag("Protocol that prepares the frames: lrs@1 or lrs-lossless@1.")] = "lrs-lossless@1"
    fps_policy: Annotated[
        FpsPolicy,
        Flag(
            "Handling of clips that are not 25 fps: require-25 refuses them, resample converts them by presentation "
            "time, as-is counts every frame as 40 ms."
        ),
    ] = "require-25"


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(FaceOptions):
    """The options of `lse-bench generate`."""

    weights: Annotated[
        str | None, Flag(f"Checkpoint of the generator: {TABLE}. Default: see --list.", names="weights")
    ] = None
    legacy: Annotated[
        bool,
        Flag(
            "Work as the published evaluation scripts: detect faces with s3fd, add no padding, and drop source videos "
            "that are too short or have a frame without a face."
        ),
    ] = False
    detector_weights: Annotated[str, Flag(f"S3FD's checkpoint: {TABLE}.", names="weights")] = "s3fd"
    pads: Annotated[
        str | None,
        Flag(
            "Pixels added to the top, bottom, left and right of a face box. Default: the generator's.",
            metavar="T,B,L,R",
        ),
    ] = None
    smoothing: Annotated[
        Smoothing | None,
        Flag("Smoothing of face boxes over time: original, exponential or none. Default: the generator's."),
    ] = None
    face: Annotated[
        FaceChoice | None,
        Flag("Face to redraw if there are several: surest (most confident) or largest. Default: the generator's."),
    ] = None
    faceless: Annotated[
        Faceless,
        Flag("For a frame without a face: skip-clip (as published) or keep-frame (pass it through unchanged)."),
    ] = "skip-clip"
    short: Annotated[
        Short, Flag("For a source video shorter than the sound: skip (as published), loop or ping-pong.")
    ] = "skip"
    nan_sound: Annotated[
        NanSound, Flag("For digital silence, which makes some features non-finite: skip (as published) or noise.")
    ] = "skip"
    paste: Annotated[Paste, Flag("How a face is pasted: overwrite (as published) or feather (soft edges).")] = (
        "overwrite"
    )
    sound_offset: Annotated[
        int, Flag("Shift of the sound windows in frames. If it is positive, each frame is drawn to later sound.")
    ] = 0
    command: Annotated[
        str | None,
        Flag(
            'For `command`: the command line, such as "program --face {video} --audio {audio} --out {output}".',
            names="command",
        ),
    ] = None
    timeout: Annotated[float | None, Flag("For `command`: time limit of one job in seconds.", least=0.1)] = None
    settings: Annotated[
        tuple[str, ...],
        Flag(
            "A setting of the generator. --list shows them. Repeatable.",
            metavar="NAME=VALUE",
            name="set",
            names="settings",
        ),
    ] = ()
    seed: Annotated[int, Flag("Random seed, for generators that use random numbers.")] = 0
    retry_failed: Annotated[bool, Flag("Repeat jobs that failed before.")] = False
