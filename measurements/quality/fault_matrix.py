"""Which measure sees which fault: MiniLRS clips with one fault each, measured beside untouched ones.

Run: python -m measurements.quality.fault_matrix [--clips N] [--out FOLDER]. Some fifteen minutes on two cores. It needs
`lse-bench weights fetch facemesh silero_vad` and the extras `landmarks`, `faces`, `measures` and `minilrs`.

Each clip is silent for a second and then speaks. The originals are encoded at one quality and `untouched` at another,
as every generator encodes its pictures anew. A cell is how far a fault moves the mean of a measure, in standard
deviations of the untouched clips. Faults are rendered, not painted: the same head, light and noise with other lips.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import lse_bench
from lse_bench.damage.pictures import soft_mouth
from lse_bench.media.audio import Sound
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.plan import Spec, speaker_of
from lse_bench.minilrs.render import Head
from lse_bench.minilrs.scene import draw_scene
from lse_bench.minilrs.speech import Utterance, speak
from lse_bench.minilrs.text import speech_of
from lse_bench.minilrs.visemes import JAW, PRESS, LipTrack, lip_track
from lse_bench.rates import SAMPLE_RATE, SAMPLES_PER_FRAME
from lse_bench.runs.read import Run

FRAMES, SILENT = 100, 1.0  # frames of a clip; seconds before somebody speaks
SEED, SIZE = 3100, 160
DELAY = 5  # frames
OPEN = 0.3  # least opening of the jaw of lips that never close
LATER = 0.9  # seconds into the speech from which babbling is taken
ORIGINAL, AGAIN = 18, 23  # x264's quality of originals and of all other sets
MEASURES = ("psnr", "ssim", "sharpness", "sharpness_mouth", "lmd", "lmd_face", "lmd_velocity", "silence", "closure")
OWN = {
    "babbles": "silence",
    "never closes": "closure",
    "frozen mouth": "lmd",
    "another person": "lmd_face",
    "blurred mouth": "sharpness_mouth",
    "delayed": "abs(offset_ms)",
}
WANTED = 5.0  # standard deviations


@dataclass(frozen=True)
class Spoken:
    """A clip to be rendered: its speech, sound and lips."""

    number: int
    utterance: Utterance
    sound: Sound
    lips: LipTrack


def spoken(spec: Spec, number: int) -> Spoken:
    """Return the speech of a clip: a second of room noise, then words."""
    rng = np.random.default_rng((SEED, number))
    voice = speaker_of(spec, number).voice
    utterance = speak(speech_of(rng, 12), voice, int(rng.integers(2**31)))
    count, quiet = FRAMES * SAMPLES_PER_FRAME, round(SILENT * SAMPLE_RATE)
    sound = rng.standard_normal(count) * 12
    piece = utterance.sound[: count - quiet].astype(np.float64)
    sound[quiet : quiet + len(piece)] += piece * 2500 / (np.sqrt(np.mean(piece**2)) or 1)
    lips = lip_track(utterance.phonemes, FRAMES, -SILENT)
    return Spoken(number, utterance, np.clip(np.rint(sound), -32768, 32767).astype(np.int16), lips)


def rendered(spec: Spec, number: int, lips: LipTrack) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
    """Yield the frames of a person with these lips, and their boxes. Everything else is the same in every call."""
    rng = np.random.default_rng((SEED, number, 1))
    scene = draw_scene(rng, spec.style, FRAMES)
    for frame, truth in Head(speaker_of(spec, number).face, SIZE).clip(scene, lips, rng):
        yield frame, truth.box


def lips_of(fault: str, one: Spoken) -> LipTrack:
    """Return the lips of a fault."""
    lips = one.lips.copy()
    if fault == "babbles":
        quiet = round(SILENT * 25)
        lips[:quiet] = lip_track(one.utterance.phonemes, FRAMES, LATER)[:quiet]
    elif fault == "never closes":
        lips[:, PRESS] = 0
        lips[:, JAW] = np.maximum(lips[:, JAW], OPEN)
    elif fault == "frozen mouth":
        lips[:] = lips[0]
    return lips


def write(fault: str, spec: Spec, one: Spoken, path: Path, people: int) -> None:
    """Write the clip of a fault; `original` and `untouched` are none."""
    who = (one.number + 1) % people if fault == "another person" else one.number
    sound = one.sound
    if fault == "delayed":
        late = DELAY * SAMPLES_PER_FRAME
        sound = np.concatenate([sound[:late], sound[: len(sound) - late]])

    def frames() -> Iterator[NDArray[Any]]:
        for frame, box in rendered(spec, who, lips_of(fault, one)):
            x1, y1, x2, y2 = map(float, box)
            rng = np.random.default_rng(0)
            yield soft_mouth(frame, (x1, y1, x2, y2), 1.0, rng) if fault == "blurred mouth" else frame

    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, frames(), sound, 25, quality=ORIGINAL if fault == "original" else AGAIN)


def values(run: Run, name: str) -> NDArray[np.float64]:
    """Return the values of a measure, without those that a clip lacks."""
    found = []
    for record in run.records:
        value = abs(record.offset_ms) if name == "abs(offset_ms)" and record.offset_ms is not None else None
        value = record.value(name) if name != "abs(offset_ms)" else value
        found.append(np.nan if value is None else value)
    held = np.array(found, float)
    return held[np.isfinite(held)]


def main() -> None:
    """Render, measure, print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    spec = Spec(speakers=chosen.clips, clips=1, seed=SEED, split="test", style="plain", frames=FRAMES)
    with tempfile.TemporaryDirectory() as folder:
        out: Path = chosen.out or Path(folder)
        clips = [spoken(spec, number) for number in range(chosen.clips)]
        sidecars = out / "sidecars"
        sidecars.mkdir(parents=True, exist_ok=True)
        for one in clips:
            rows = [
                {"name": item.name, "start": item.start + SILENT, "end": item.end + SILENT}
                for item in one.utterance.phonemes
                if item.end + SILENT < FRAMES / 25
            ]
            (sidecars / f"c{one.number}.json").write_text(json.dumps(rows), encoding="utf-8")
        runs = {}
        for fault in ("original", "untouched", *OWN):
            for one in clips:
                path = out / fault / f"c{one.number}.mp4"
                if not path.exists():
                    write(fault, spec, one, path, len(clips))
            if fault != "original":
                runs[fault] = lse_bench.evaluate(
                    out / fault,
                    weights="syncnet-mini",
                    device="cpu",
                    originals=out / "original",
                    measures=MEASURES,
                    sidecars=sidecars,
                )
                print(f"{fault}: {len(runs[fault].records)} clips", flush=True)
        raise SystemExit(0 if tell(runs) else 1)


def tell(runs: dict[str, Run]) -> bool:
    """Print the matrix, and return whether each fault moves its own measure far enough."""
    names = ("lse_c", "lse_d", "abs(offset_ms)", *MEASURES)
    plain = {name: values(runs["untouched"], name) for name in names}
    print(f"\n| fault | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for label, look in (("untouched, mean", np.mean), ("untouched, sd", np.std)):
        print(f"| {label} | {' | '.join(f'{look(plain[name]):.4g}' for name in names)} |")
    seen, blind = True, []
    for fault, own in OWN.items():
        cells = []
        for name in names:
            there = values(runs[fault], name)
            moved = (np.mean(there) - np.mean(plain[name])) / np.std(plain[name], ddof=1) if len(there) else np.nan
            cells.append(f"**{moved:.1f}**" if name == own else f"{moved:.1f}")
            if name == own:
                seen &= abs(moved) >= WANTED
            if name == "lse_c" and abs(moved) < 1:
                blind.append(fault)
        print(f"| {fault} | {' | '.join(cells)} |")
    print(f"\neach fault moves its own measure (bold) by {WANTED:g} standard deviations: {'yes' if seen else 'NO'}")
    print(f"LSE-C moves by less than one: {', '.join(blind)} (wanted: two or more)")
    return seen and len(blind) >= 2


if __name__ == "__main__":
    main()
