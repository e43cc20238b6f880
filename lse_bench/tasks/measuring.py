"""The further measures of a run from its options: what they need is found, and weights are fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lse_bench.choices import LandmarkSource
from lse_bench.errors import UsageError
from lse_bench.measures.helpers import PACKAGES, WEIGHTS, Helpers
from lse_bench.measures.interface import PAIRED, AnyMeasure
from lse_bench.measures.registry import load, make_measures
from lse_bench.runs.measured import Measures
from lse_bench.tasks.declared import ScoreOptions
from lse_bench.versions import require

Fetch = Callable[[str], Path]


def measures_for(
    names: Sequence[str],
    commands: Sequence[tuple[str, str]],
    fetch: Fetch,
    *,
    originals: Path | None = None,
    landmarks: LandmarkSource = "facemesh",
    landmark_weights: str = "facemesh",
    sidecars: Path | None = None,
) -> Measures | None:
    """Return the further measures of a run, None for none.

    `names`: of measures. `commands`: names and command lines of programs. `fetch`: returns the file of weights by name
    or path. `originals`: the folder of untouched videos. `landmarks`: where landmarks come from. `landmark_weights`:
    the network of `facemesh`. `sidecars`: the folder of files with landmarks and phonemes. Raises UsageError if a
    measure is unknown or broken, or lacks a package or a folder, and WeightsError if weights cannot be had.
    """
    if not names and not commands:
        return None
    made = make_measures(names, commands)
    needing = [one.name for one in made if PAIRED & one.needs]
    if needing and originals is None:
        raise UsageError(
            f"{', '.join(needing)}: compares with the untouched videos. Give their folder with --originals"
        )
    return Measures(made, originals, _helpers(made, fetch, landmarks, landmark_weights, sidecars))


def names_of(text: str | None) -> list[str]:
    """Return the names in an option such as `psnr,ssim`. Raises UsageError if there are none in it."""
    found = [name.strip() for name in (text or "").split(",") if name.strip()]
    if text is not None and not found:
        raise UsageError(f"--measures {text!r} names no measure; lse-bench measures lists them")
    return found


def needs_originals(text: str | None) -> bool:
    """Return whether one of the measures in an option compares with the untouched videos. Broken ones do not count."""
    found = [load(name).make for name in names_of(text)]
    return any(made is not None and PAIRED & made.needs for made in found)


def needed_by(options: ScoreOptions) -> tuple[list[str], dict[str, str]]:
    """Return the weights and the packages, with the extra of each, that the measures of a scoring need."""
    weights: list[str] = []
    packages: dict[str, str] = {}
    for name in names_of(options.measures):
        made = load(name).make
        if made is None:
            continue
        packages |= made.packages
        if "landmarks" in made.needs and options.landmarks == "facemesh":
            weights.append(options.landmark_weights)
            packages |= PACKAGES["landmarks"]
        if "voice activity" in made.needs:
            weights.append(WEIGHTS["voice activity"])
    return list(dict.fromkeys(weights)), packages


def _helpers(
    measures: Sequence[AnyMeasure], fetch: Fetch, landmarks: LandmarkSource, weights: str, sidecars: Path | None
) -> Helpers:
    """Find what the measures need. Raises UsageError or WeightsError if it cannot be had."""
    from lse_bench.faces.landmarks import Landmarks, Mesh, Sidecars

    by_need: dict[str, str] = {}
    for measure in measures:
        for need in measure.needs:
            by_need.setdefault(need, measure.name)
    if sidecars is not None and not sidecars.is_dir():
        raise UsageError(f"--sidecars {sidecars}: no such folder")
    found: Landmarks | None = None
    if "landmarks" in by_need:
        name = by_need["landmarks"]
        if landmarks == "sidecar":
            if sidecars is None:
                raise UsageError(f"the measure {name} needs landmarks. --landmarks sidecar reads them from --sidecars")
            found = Sidecars(sidecars)
        else:
            for module, extra in PACKAGES["landmarks"].items():
                require(module, extra, f"the measure {name}")
            found = Mesh(fetch(weights).absolute())
    voice: Path | None = None
    if "voice activity" in by_need:
        from lse_bench.features.voice import load_vad

        voice = fetch(WEIGHTS["voice activity"]).absolute()
        load_vad(voice)  # a damaged file is told before the first clip
    if "phonemes" in by_need and sidecars is None:
        raise UsageError(
            f"the measure {by_need['phonemes']} needs phonemes with their times. Give their files: --sidecars FOLDER"
        )
    return Helpers(found, voice, sidecars)
