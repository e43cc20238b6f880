"""`generate`: a manifest through a generator into a folder of videos, as one call from Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lse_bench.choices import FaceChoice, Faceless, NanSound, Paste, Short, Smoothing
from lse_bench.devices import choose_device
from lse_bench.errors import UsageError
from lse_bench.faces.detectors import FaceDetector, load_detector
from lse_bench.generators.boxes import CHOICES, FACELESS, SMOOTHINGS, Locating
from lse_bench.generators.call import NAN_SOUNDS, Call, Policies, jobs_for
from lse_bench.generators.interface import FaceGenerator, Options
from lse_bench.generators.paste import PASTES
from lse_bench.generators.redraw import OnRow
from lse_bench.generators.registry import load, make_generator
from lse_bench.generators.run import generate_run
from lse_bench.generators.shared_source import SHORTS
from lse_bench.manifests.generated import Generation
from lse_bench.manifests.manifest import read_manifest
from lse_bench.weights import store
from lse_bench.weights.readers import file_digest

FindWeights = Callable[[str], Path]
FindDetector = Callable[[str], FaceDetector]
_AS_PUBLISHED = ("skip", "skip-clip", "skip", "overwrite")  # short, faceless, nan_sound, paste
_log = logging.getLogger("lse_bench")


def generate(
    name: str,
    manifest: Path | str,
    *,
    out: Path | str,
    root: Path | str | None = None,
    checkpoint: Path | str | None = None,
    settings: Mapping[str, str] | None = None,
    detector: str | None = None,
    detector_weights: Path | str = "sfd_face",
    boxes: Path | str | None = None,
    pads: tuple[int, int, int, int] | None = None,
    smoothing: Smoothing | None = None,
    face: FaceChoice | None = None,
    faceless: Faceless = "skip-clip",
    short: Short = "skip",
    nan_sound: NanSound = "skip",
    paste: Paste = "overwrite",
    legacy: bool = False,
    sound_offset: int = 0,
    seed: int = 0,
    device: str = "auto",
    retry_failed: bool = False,
    offline: bool = False,
    trust: bool = False,
    on_row: OnRow = lambda row: None,
) -> Generation:
    """Make a video for each pair of the manifest, as `lse-bench generate` does, and return the counts.

    `name`: a generator of `lse-bench generate --list`. `out`: the folder for the videos; the same call goes on where
    an earlier one was stopped. `settings`: of the generator, such as `{"command": "python infer.py …"}`. `on_row` is
    called with every finished job. The other options are those of the command, which explains them.

    Raises UsageError and WeightsError; a job that fails is a row of `generation.jsonl`, never an exception.
    """
    fetched = store.Options(offline=offline, trust=trust, say=_log.warning)

    def find_detector(kind: str) -> FaceDetector:
        weights = store.resolve(str(detector_weights), fetched) if kind == "s3fd" else None
        folder = None if boxes is None else Path(boxes)
        return load_detector(kind, weights=weights, boxes=folder, device=choose_device(device))

    call = call_for(
        name,
        Path(manifest),
        out=Path(out),
        root=None if root is None else Path(root),
        checkpoint=None if checkpoint is None else str(checkpoint),
        settings=settings or {},
        detector=detector or ("boxes" if boxes is not None else None),
        pads=pads,
        smoothing=smoothing,
        face=face,
        faceless=faceless,
        short=short,
        nan_sound=nan_sound,
        paste=paste,
        legacy=legacy,
        sound_offset=sound_offset,
        seed=seed,
        device=device,
        offline=offline,
        trust=trust,
        find_weights=lambda wanted: store.resolve(wanted, fetched),
        find_detector=find_detector,
    )
    return generate_run(call, on_row, retry_failed=retry_failed)


def call_for(
    name: str,
    manifest: Path,
    *,
    out: Path,
    root: Path | None,
    checkpoint: str | None,
    settings: Mapping[str, str],
    detector: str | None,
    pads: tuple[int, int, int, int] | None,
    smoothing: Smoothing | None,
    face: FaceChoice | None,
    faceless: Faceless,
    short: Short,
    nan_sound: NanSound,
    paste: Paste,
    legacy: bool,
    sound_offset: int,
    seed: int,
    device: str,
    offline: bool,
    trust: bool,
    find_weights: FindWeights,
    find_detector: FindDetector,
    command: Sequence[str] = (),
) -> Call:
    """The generation that is asked for, its generator loaded. `find_weights`, `find_detector`: get files and detector.

    Raises UsageError for options that the generator does not know or that exclude each other.
    """
    pairs = read_manifest(manifest)
    folder = pairs.folder(root)
    plugin = load(name)
    policies = (short, faceless, nan_sound, paste)
    for option, value, allowed in (
        ("faceless", faceless, FACELESS),
        ("short", short, SHORTS),
        ("nan-sound", nan_sound, NAN_SOUNDS),
        ("paste", paste, PASTES),
        ("smoothing", smoothing, (None, *SMOOTHINGS)),
        ("face", face, (None, *CHOICES)),
    ):
        if value not in allowed:
            raise UsageError(f"--{option} {value}: there are {', '.join(filter(None, allowed))}")
    if legacy and policies != _AS_PUBLISHED:
        raise UsageError("--legacy makes the published choices; leave --short, --faceless, --nan-sound and --paste out")
    wanted = checkpoint or (None if plugin.make is None else plugin.make.weights)
    weights = None if wanted is None else find_weights(wanted)
    options = Options(weights, choose_device(device), trust, legacy, sound_offset, offline, dict(settings))
    generator = make_generator(name, options)
    locating = None
    if isinstance(generator, FaceGenerator):
        found = find_detector(detector or ("s3fd" if legacy else "centerface"))
        locating = Locating(
            found,
            generator.pads if pads is None else pads,
            smoothing or generator.smoothing,
            face or generator.choice,
            faceless,
        )
    elif (detector, pads, smoothing, face, sound_offset) != (None, None, None, None, 0) or policies != _AS_PUBLISHED:
        raise UsageError(f"{name} makes whole videos; options about faces and their sound are not for it")
    return Call(
        generator=generator,
        manifest=jobs_for(generator, pairs),
        root=folder,
        out=out,
        locating=locating,
        policies=Policies(short=short, spare=0 if legacy else 2, paste=paste, nan_sound=nan_sound),
        weights_sha256=None if weights is None else file_digest(weights),
        options=options,
        package=f"{plugin.package} {plugin.version}",
        seed=seed,
        asked_sha256=pairs.sha256,
        command=command,
    )
