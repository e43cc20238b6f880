"""How exact are offsets in milliseconds, and how sure is their grade? Figures of known delays on MiniLRS.

    python -m measurements.quality.offsets                  # figures of the packaged calibration
    python -m measurements.quality.offsets --calibrate      # entries for lse_bench/sync/calibrations.toml
    python -m measurements.quality.offsets --fix            # what gate --fix does to delayed clips and to others

Calibration and figures use different people, voices and words. Run by `bootstrap.py offsets`.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from lse_bench.manifests.layouts import CorpusClip, read_corpus
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.rates import SAMPLE_RATE
from lse_bench.runs.records import read_records
from lse_bench.runs.schema import Record
from lse_bench.sync.offsets import Calibration, calibrate
from lse_bench.weights.table import table

FRAMES, CLIPS = 100, 10
LARGEST, STEP = 70, 8  # delays: up to 70 steps of 8 ms, 14 frames
PROTOCOLS = ("lrs@1", "lrs-lossless@1")
WEIGHTS = "syncnet-mini"

Sound = NDArray[np.int16]


def lse_bench(*arguments: object) -> None:
    command = [sys.executable, "-m", "lse_bench", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def corpus(folder: Path, seed: int, speakers: int) -> list[CorpusClip]:
    sizes = ("--speakers", speakers, "--clips", CLIPS, "--frames", FRAMES)
    lse_bench("minilrs", "--seed", seed, "--split", "test", *sizes, "--out", folder)
    return read_corpus(folder)[1]


def sound_of(clip: CorpusClip) -> Sound:
    return np.concatenate(list(read_sound(probe(clip.path))))


def moved(sound: Sound, delay: int) -> Sound:
    """The sound, later by `delay` milliseconds (earlier if negative), with silence in the gap, of the same length."""
    samples = delay * SAMPLE_RATE // 1000
    gap = np.zeros(abs(samples), np.int16)
    return np.concatenate([gap, sound[: len(sound) - samples]] if samples >= 0 else [sound[-samples:], gap])


def scored(
    folder: Path, clips: Sequence[CorpusClip], sounds: Sequence[Sound], protocol: str = "lrs-lossless@1"
) -> list[Record]:
    """The records of clips with these sounds, in order."""
    folder.mkdir()
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "clip", "sound"])
        for number, (clip, sound) in enumerate(zip(clips, sounds, strict=True)):
            wavfile.write(folder / f"{number}.wav", SAMPLE_RATE, sound)
            rows.writerow([number, clip.path, f"{number}.wav"])
    options = ("--weights", WEIGHTS, "--protocol", protocol, "--out", folder / "run")
    lse_bench("score", folder / "list.csv", *options)
    return sorted(read_records(folder / "run"), key=lambda record: int(record.id))


def foreign(clips: Sequence[CorpusClip], dice: np.random.Generator) -> list[Sound]:
    """For each clip the sound of another speaker's clip."""
    found = []
    for clip in clips:
        others = [other for other in clips if other.video != clip.video]
        found.append(sound_of(others[dice.integers(len(others))]))
    return found


def calibrated(folder: Path, protocol: str) -> Calibration:
    """A calibration from 400 clips of people that the figures do not use."""
    clips = corpus(folder / "calibration", 41, 40)
    real = scored(folder / "calibration-real", clips, [sound_of(clip) for clip in clips], protocol)
    dice = np.random.default_rng(41)
    unsynced = scored(folder / "calibration-unsynced", clips, foreign(clips, dice), protocol)
    margins = [[one.offset_margin for one in found if one.offset_margin is not None] for found in (real, unsynced)]
    origin = f"MiniLRS, seed 41, {len(clips)} clips of {FRAMES} frames, foreign sound of other speakers"
    return calibrate(margins[0], margins[1], table()[WEIGHTS].sha256 or "", protocol, origin)


def figures(folder: Path) -> None:
    clips = corpus(folder / "corpus", 31, 40)
    dice = np.random.default_rng(5)
    delays = [int(STEP * dice.integers(-LARGEST, LARGEST + 1)) for _ in clips]
    found = scored(folder / "delayed", clips, [moved(sound_of(clip), d) for clip, d in zip(clips, delays, strict=True)])
    wrong = [abs(one.offset_ms + d) for one, d in zip(found, delays, strict=True) if one.offset_ms is not None]
    graded = sum(one.offset_grade != "unknown" for one in found)
    print(f"{len(found)} clips of {FRAMES} frames, each delayed by a multiple of {STEP} ms within 14 frames: error of "
          f"offset_ms {np.median(wrong):.1f} ms (median), {np.quantile(wrong, 0.95):.1f} ms (95 %), {max(wrong):.1f} "
          f"ms (largest); {len(found) - len(wrong)} at an end of the curve; {graded} graded")  # fmt: skip
    some = clips[::2]
    real = scored(folder / "real", some, [sound_of(clip) for clip in some])
    unsynced = scored(folder / "unsynced", some, foreign(some, dice))
    for name, records in (("real", real), ("unsynced", unsynced)):
        sure = sum(one.offset_grade != "unknown" for one in records)
        print(f"{len(records)} {name} clips: {sure} graded, {len(records) - sure} unknown")


def fixes(folder: Path) -> None:
    """Delayed clips and clips in sync through `gate --fix`, and scored again."""
    clips = corpus(folder / "corpus", 32, 12)
    dice = np.random.default_rng(6)
    delays = [
        int(STEP * dice.integers(5, LARGEST + 1) * dice.choice([-1, 1])) if n % 2 else 0 for n in range(len(clips))
    ]
    (folder / "clips").mkdir()
    for number, (clip, delay) in enumerate(zip(clips, delays, strict=True)):
        target = folder / "clips" / f"{number}.mp4"
        if delay:
            replace_sound(clip.path, moved(sound_of(clip), delay), target)
        else:
            target.write_bytes(clip.path.read_bytes())
    options = ("--weights", WEIGHTS, "--protocol", "lrs-lossless@1")
    lse_bench("score", folder / "clips", *options, "--out", folder / "run")
    lse_bench("gate", folder / "run", "--fix", "--out", folder / "gated")
    lse_bench("score", folder / "gated" / "fixed", *options, "--out", folder / "again")
    late = {str(number) for number, delay in enumerate(delays) if delay}
    after = {record.id: record.offset_ms for record in read_records(folder / "again")}
    near = sum(name in late and ms is not None and abs(ms) <= 40 for name, ms in after.items())
    print(f"gate --fix: {near} of {len(late)} clips delayed by 40 to 560 ms are within one frame afterwards; "
          f"{len(after.keys() - late)} of {len(clips) - len(late)} others were touched")  # fmt: skip


def main() -> None:
    """Print figures or calibrations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--fix", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if chosen.fix:
            fixes(Path(name))
            return
        if not chosen.calibrate:
            figures(Path(name))
            return
        for protocol in PROTOCOLS:
            (Path(name) / protocol).mkdir()
            print("[[calibration]]")
            for field, value in calibrated(Path(name) / protocol, protocol).model_dump().items():
                print(f"{field} = {value!r}".replace("'", '"'))
            print()


if __name__ == "__main__":
    main()
