"""Whether a number moves with the versions of the libraries: the same files measured in several environments.

`bootstrap.py libraries` makes the environments and runs all of it. By hand, with the same FOLDER each time:

    python measurements/precision/libraries.py make FOLDER           # MiniLRS clips, and faces in frames of five sizes
    python measurements/precision/libraries.py measure FOLDER NAME   # in each environment: FOLDER/NAME.npz
    python measurements/precision/libraries.py compare FOLDER        # the table; exit status 1 when a number moved
"""

from __future__ import annotations

import argparse
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lse_bench.faces.detectors import load_detector
from lse_bench.faces.tracking import Tracking
from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.stage import write_stage
from lse_bench.sync.scorer import SyncScorer
from lse_bench.versions import versions

GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "syncnet"
SIZES = ((320, 240), (640, 360), (480, 640), (960, 540), (1280, 720))
SHORT = 5  # of the clips: their sound ends before their picture
# Largest differences: nothing may move samples, windows and curves; OpenCV 4 and 5 add in another order in CenterFace.
ALLOWED = {"samples": 1e-6, "windows": 1e-6, "curve": 1e-6, "tracked": 1e-3, "boxes": 1e-3}
Found = dict[str, NDArray[Any]]


def make(folder: Path) -> None:
    """20 MiniLRS clips with the golden ones in `clips`, and five frame sizes in `sizes`."""
    clips, sizes = folder / "clips", folder / "sizes"
    make_corpus(Spec(speakers=10, clips=2, seed=77, split="test", frames=125), folder / "corpus")
    paths = [clip.path for clip in read_corpus(folder / "corpus")[1]]
    clips.mkdir()
    for number, path in enumerate(paths):
        target = clips / f"minilrs_{number:02d}.mp4"
        if number < SHORT:  # no multiple of 1,024 samples, so that the encoder has to pad
            sound = np.concatenate(list(read_sound(probe(path))))[: 48_000 + 777 * number]
            write_clip(target, read_frames(probe(path)), sound, Fraction(25))
        else:
            shutil.copyfile(path, target)
    for path in GOLDEN.glob("*.mp4"):
        shutil.copyfile(path, clips / path.name)
    sizes.mkdir()
    for number, size in enumerate(SIZES):
        write_stage(
            paths[number : number + 1], sizes / f"{size[0]}x{size[1]}.mp4", size=size, face=round(0.8 * min(size))
        )


def measure(folder: Path, name: str) -> None:
    """Samples, curves and boxes of all files into `folder`/`name`.npz."""
    found: Found = {}
    scorer = SyncScorer.load("syncnet-mini", protocol="lrs-lossless", fps_policy="resample")
    paths = sorted((folder / "clips").glob("*.mp4"))
    for path in paths:
        found[f"samples {path.stem}"] = np.concatenate(list(read_sound(probe(path))))
    for outcome in scorer.score_all(list(enumerate(paths))):
        assert outcome.score is not None, (paths[outcome.clip], outcome.failure)
        found[f"windows {paths[outcome.clip].stem}"] = np.array(outcome.score.windows)
        found[f"curve {paths[outcome.clip].stem}"] = outcome.score.curve
    sizes = sorted((folder / "sizes").glob("*.mp4"))
    for how, groups in (("together", [sizes]), ("alone", [[path] for path in sizes])):
        for group in groups:
            tracking = Tracking(load_detector("centerface"))
            tracked = SyncScorer.load("syncnet-mini", protocol="tracked", tracking=tracking)
            for outcome in tracked.score_all(list(enumerate(group))):
                assert outcome.score is not None and outcome.facts.scene is not None, outcome.failure
                stem = group[outcome.clip].stem
                found[f"tracked {how} {stem}"] = outcome.score.curve
                found[f"boxes {how} {stem}"] = outcome.facts.scene.tracks.kept[0].boxes
    np.savez(folder / f"{name}.npz", versions=np.array([f"{k} {v}" for k, v in versions().items()]), **found)


def compare(folder: Path) -> None:
    """The table: each environment against the first by name."""
    console = Console(width=160)
    held = {path.stem: dict(np.load(path)) for path in sorted(folder.glob("*.npz"))}
    names = list(held)
    console.print(f"against {names[0]}: {', '.join(held[names[0]]['versions'])}")
    moved = False
    for name, found in held.items():
        console.print(f"[bold]{name}[/bold]: {', '.join(found['versions'])}")
        same = [np.array_equal(found[f"{k} together {s}"], found[f"{k} alone {s}"]) for k in ("tracked", "boxes")
                for s in (f"{w}x{h}" for w, h in SIZES)]  # fmt: skip
        console.print(f"  {sum(same) // 2} of {len(SIZES)} picture sizes in one folder exactly as each alone")
        moved |= not all(same)
        if name == names[0]:
            continue
        first = held[names[0]]
        for kind, unit in (("samples", "of 32,768"), ("windows", ""), ("curve", ""), ("tracked", ""), ("boxes", "px")):
            keys = [key for key in first if key.startswith(kind)]
            equal = [key for key in keys if first[key].shape == found[key].shape]
            apart = [float(np.abs(first[key].astype(float) - found[key]).max(initial=0)) for key in equal]
            most = max(apart, default=0.0)
            console.print(f"  {kind}: {len(equal)} of {len(keys)} of one length, largest difference {most:.1e} {unit}")
            moved |= len(equal) < len(keys) or most > ALLOWED[kind]
    raise SystemExit(1 if moved else 0)


def main() -> None:
    """Make, measure or compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("make", "measure", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", nargs="?", default="here")
    chosen = parser.parse_args()
    if chosen.what == "make":
        make(chosen.folder)
    elif chosen.what == "measure":
        measure(chosen.folder, chosen.name)
    else:
        compare(chosen.folder)


if __name__ == "__main__":
    main()
