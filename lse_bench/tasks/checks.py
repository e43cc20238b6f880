"""Checks of options against each other. They load no network and read no clip, so a benchmark makes them first."""

from __future__ import annotations

from lse_bench.devices import choose_device
from lse_bench.errors import UsageError, no_such
from lse_bench.faces.detectors import DETECTORS
from lse_bench.generators.interface import FaceGenerator
from lse_bench.generators.registry import load
from lse_bench.minilrs.plan import Spec
from lse_bench.sync.offset_settings import OffsetSettings
from lse_bench.sync.protocol import get_protocol
from lse_bench.tasks.declared import DetectorOptions, FdSyncOptions, FidOptions, GenerateOptions, ScoreOptions
from lse_bench.tasks.declared_corpora import MiniLrsOptions
from lse_bench.tasks.options import changed, parse_pads, settings_of

_OF_FACES = {"detector", "boxes", "pads", "smoothing", "face", "sound_offset"}
_POLICIES = {"short", "faceless", "nan_sound", "paste"}  # their defaults are the published choices
_OF_TRACKS = {"detector", "boxes", "tracker", "min_track", "stride", "track_rule"}


def detector_of(options: DetectorOptions) -> str:
    """Return the name of the face detector that options ask for. Raises UsageError if it cannot be had as given.

    The default is s3fd if the published pipeline or script is asked for, and centerface otherwise.
    """
    published = isinstance(options, GenerateOptions) and options.legacy
    if isinstance(options, ScoreOptions):
        published = get_protocol(options.protocol).codec == "pipeline"
    default = "s3fd" if published else "centerface"
    name = options.detector or ("boxes" if options.boxes is not None else default)
    if name not in DETECTORS:
        raise UsageError(no_such("face detector", name, DETECTORS))
    if options.boxes is not None and name != "boxes":
        raise UsageError(f"--boxes is for --detector boxes, not {name}")
    if name == "boxes" and (options.boxes is None or not options.boxes.is_dir()):
        raise UsageError(f"the detector boxes needs --boxes FOLDER with a file for each clip, got {options.boxes}")
    return name


def check_scoring(options: ScoreOptions) -> None:
    """Raise UsageError for options that do not fit the protocol or each other."""
    protocol = get_protocol(options.protocol)
    choose_device(options.device)
    given = {declared.field: declared.option for declared, _ in changed(options)}
    wrong = [option for field, option in given.items() if field in _OF_TRACKS]
    if not protocol.tracked and wrong:
        raise UsageError(
            f"{protocol.id} treats the whole frame as a face. Leave out {', '.join(wrong)}, or use --protocol tracked "
            "or tracked-legacy"
        )
    if not protocol.tracked and options.overlay is not None and options.timeline is None:
        raise UsageError(
            f"{protocol.id} treats the whole frame as a face, so --overlay has no face tracks to draw. Use --protocol "
            "tracked, or --timeline SECONDS to draw the offset over time"
        )
    measured = bool(options.measures or options.measure_command)
    if options.originals is not None and not measured:
        raise UsageError("--originals belongs to --measures or --measure-command. Give one of them, or leave it out")
    of_measures = [given[field] for field in ("landmarks", "landmark_weights", "sidecars") if field in given]
    if of_measures and not options.measures:
        raise UsageError(f"{', '.join(of_measures)} belongs to --measures. Give some, or leave it out")
    if measured and protocol.codec == "pipeline":
        raise UsageError("--measures: tracked-legacy reads its own copies of the clips. Use --protocol tracked")
    OffsetSettings(search=options.search, timeline=options.timeline)
    if protocol.codec != "pipeline" and "ffmpeg" in given:
        raise UsageError(f"{protocol.id} uses no ffmpeg program. --ffmpeg needs --protocol tracked-legacy")
    if protocol.tracked:
        detector_of(options)


def check_generation(name: str, options: GenerateOptions) -> dict[str, str]:
    """Return the settings of the generator `name`. Raises UsageError for options that it lacks or that exclude others.

    The settings of a generator that is broken are not checked.
    """
    plugin = load(name)
    choose_device(options.device)
    given = {declared.field for declared, _ in changed(options)}
    if options.legacy and given & _POLICIES:
        raise UsageError("--legacy makes the published choices. Leave out --short, --faceless, --nan-sound and --paste")
    settings = settings_of(options.settings)
    for setting, value in (("command", options.command), ("timeout", options.timeout)):
        if value is not None and setting in settings:
            raise UsageError(f"--{setting} and --set {setting} are the same setting. Leave one of them out")
        if value is not None:
            settings[setting] = str(value)
    if plugin.make is None:
        return settings
    if unknown := sorted(set(settings) - set(plugin.make.settings)):
        there = ", ".join(plugin.make.settings) or "none"
        raise UsageError(f"{name} has no setting {', '.join(unknown)}; its settings: {there}")
    if not issubclass(plugin.make, FaceGenerator):
        if given & (_OF_FACES | _POLICIES):
            raise UsageError(f"{name} makes whole videos. Leave out the options about faces and their sound")
        return settings
    detector_of(options)
    if options.pads is not None:
        parse_pads(options.pads)
    return settings


def check_fid(options: FidOptions) -> None:
    """Raise UsageError for options that exclude each other."""
    choose_device(options.device)
    if options.region == "frame" and (options.detector or options.boxes):
        raise UsageError("--detector and --boxes are for --region face")
    if options.boxes is not None and options.frame_step != 1:
        raise UsageError("--boxes has one entry per frame. Use --frame-step 1 with it")
    if options.region == "face":
        detector_of(options)


def check_fd_sync(options: FdSyncOptions) -> None:
    """Raise UsageError for a protocol that fd-sync does not have."""
    choose_device(options.device)
    protocol = get_protocol(options.protocol)
    if protocol.tracked:
        raise UsageError(f"fd-sync takes face crops, by lrs@1 or lrs-lossless@1, and not {protocol.id}")


def spec_of(options: MiniLrsOptions) -> Spec:
    """Return the specification of a corpus. Raises UsageError for values that make no corpus."""
    return Spec(
        flavour=options.flavour,
        speakers=options.speakers,
        clips=options.clips,
        seed=options.seed,
        split=options.split,
        style=options.style,
        voices=options.voices,
        frames=options.frames,
    )
