"""`generate`: run a generator on a manifest and write the videos to a folder, in one call from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lse_bench.choices import FaceChoice, Faceless, NanSound, Paste, Short, Smoothing
from lse_bench.generators.redraw import OnRow
from lse_bench.manifests.generated import Generation
from lse_bench.reporting import Report
from lse_bench.tasks.declared import GenerateOptions
from lse_bench.tasks.generating import generate_into


def generate(
    name: str,
    manifest: Path | str,
    *,
    out: Path | str,
    root: Path | str | None = None,
    weights: Path | str | None = None,
    settings: Mapping[str, str] | None = None,
    detector: str | None = None,
    detector_weights: Path | str = "s3fd",
    boxes: Path | str | None = None,
    pads: tuple[int, int, int, int] | str | None = None,
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
    """Make a video for each pair of the manifest, as `lse-bench generate` does, and return a summary with the counts.

    `name`: a generator that `lse-bench generate --list` shows. `manifest`: the file with the pairs.
    `out`: the folder for the videos. The same call resumes an interrupted one.
    `settings`: the generator's own settings, such as `{"command": "python infer.py …"}`.
    `on_row`: a function that is called with every finished job.
    The other options are those of the command. `lse-bench generate --help` explains them.

    Raises UsageError if the options or the manifest are wrong, and WeightsError if weights are missing or damaged. A
    job that fails raises nothing: it is a row of `generation.jsonl`.
    """
    options = GenerateOptions(
        weights=None if weights is None else str(weights),
        settings=tuple(f"{key}={value}" for key, value in (settings or {}).items()),
        detector=detector,
        detector_weights=str(detector_weights),
        boxes=None if boxes is None else Path(boxes),
        pads=pads if pads is None or isinstance(pads, str) else ",".join(map(str, pads)),
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
        retry_failed=retry_failed,
        offline=offline,
        trust=trust,
    )
    folder = None if root is None else Path(root)
    return generate_into(Path(out), name, Path(manifest), options, Report(), root=folder, on_row=on_row)
