"""The figures of docs/reading-scores.md: what spoils a clip, and what it does to its scores.

    python -m measurements.quality.reading_scores            # print the tables
    python -m measurements.quality.reading_scores --write    # put them into the page, and draw its figure

MiniLRS clips in sync are spoiled in one way each, and scored by syncnet-mini under lrs-lossless@1.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lse_bench.baselines.wav2lip.adapter import Wav2Lip
from lse_bench.faces.detectors import load_detector
from lse_bench.generators.boxes import Locating
from lse_bench.generators.call import Call, Policies
from lse_bench.generators.interface import Options
from lse_bench.generators.run import generate_run
from lse_bench.manifests.layouts import read_corpus
from lse_bench.manifests.manifest import Job, Manifest
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.rates import SAMPLE_RATE, SAMPLES_PER_FRAME
from lse_bench.sync.distance import LseScore
from lse_bench.sync.scorer import SyncScorer
from lse_bench.weights.store import path_of
from lse_bench.weights.table import table

PAGE = Path(__file__).parents[2] / "docs" / "reading-scores.md"
FIGURE = PAGE.parent / "figures" / "reading-scores.svg"
WEIGHTS, SPEAKERS, CLIPS, FRAMES, SEEDS = "syncnet-mini", 4, 1, 75, 4
SHOWN = 33  # frame in the figure
NOISE = 30  # dB below the speech: what a seed adds to the sound that a generator hears
DRAWN = ("in sync", "sound 0.2 s late", "sound 1.2 s late", "foreign sound", "silent", "frozen picture")

Sound = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Media:
    """BGR frames and 16 kHz sound of a clip, and those of another speaker's."""

    frames: Sequence[Frame]
    sound: Sound
    other_frames: Sequence[Frame]
    other_sound: Sound


Spoil = Callable[[Media], Media]


def late(seconds: float) -> Spoil:
    """The sound comes later, with silence before it."""

    def spoil(media: Media) -> Media:
        gap = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
        return replace(media, sound=np.concatenate([gap, media.sound])[: len(media.sound)])

    return spoil


def cut(frames: int) -> Spoil:
    """Only the first frames."""
    return lambda media: replace(media, frames=media.frames[:frames], sound=media.sound[: frames * SAMPLES_PER_FRAME])


def framed(change: Callable[[Frame], Frame]) -> Spoil:
    """Each frame changed."""
    return lambda media: replace(media, frames=[change(frame) for frame in media.frames])


def bordered(frame: Frame) -> Frame:
    edge = frame.shape[0] // 8
    return np.pad(frame, ((edge, edge), (edge, edge), (0, 0)))


def tighter(frame: Frame) -> Frame:
    edge = frame.shape[0] // 8
    return frame[edge:-edge, edge:-edge]


def half_silent(media: Media) -> Media:
    sound = media.sound.copy()
    sound[len(sound) // 2 :] = 0
    return replace(media, sound=sound)


KINDS: dict[str, Spoil] = {
    "in sync": lambda media: media,
    "sound 0.2 s late": late(0.2),
    "sound 1.2 s late": late(1.2),
    "foreign sound": lambda media: replace(media, sound=media.other_sound),
    "wrong face": lambda media: replace(media, frames=media.other_frames),
    "silent": lambda media: replace(media, sound=np.zeros_like(media.sound)),
    "frozen picture": lambda media: replace(media, frames=[media.frames[0]] * len(media.frames)),
    "second half silent": half_silent,
}
PREPARED: dict[str, Spoil] = {
    "3 s, the crop of the corpus": lambda media: media,
    "the first 2 s": cut(50),
    "the first second": cut(25),
    "a border of one eighth": framed(bordered),
    "cropped by one eighth": framed(tighter),
    "half the size": framed(lambda frame: cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)),
}


def loaded(folder: Path) -> list[Media]:
    """The clips, each with the next speaker's."""
    make_corpus(
        Spec(speakers=SPEAKERS, clips=CLIPS, seed=81, frames=FRAMES, style="plain", split="test"), folder, workers=1
    )
    found = [clip.path for clip in read_corpus(folder)[1]]
    pairs = [(list(read_frames(probe(path))), np.concatenate(list(read_sound(probe(path))))) for path in found]
    others = [*pairs[CLIPS:], *pairs[:CLIPS]]
    return [Media(*own, *other) for own, other in zip(pairs, others, strict=True)]


def row(name: str, scores: Sequence[LseScore]) -> str:
    """A row of a table: means over the clips."""

    def mean(field: str) -> str:
        return f"{np.mean([getattr(score, field) for score in scores]):.2f}"

    sure = [score.offset_ms for score in scores if score.offset_grade not in ("unknown", "not calibrated")]
    offset = f"{round(np.mean([ms for ms in sure if ms is not None])):+d}" if sure else "unknown"
    cells = (
        mean("lse_d"),
        mean("lse_c"),
        mean("lse_d_valid"),
        mean("lse_c_valid"),
        offset,
        f"{len(sure)} of {len(scores)}",
    )
    return f"| {name} | {' | '.join(cells)} |"


HEAD = (
    "| clip | LSE-D ↓ | LSE-C ↑ | `lse_d_valid` | `lse_c_valid` | offset (ms) | sure |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)


def of_arrays(
    scorer: SyncScorer, media: Sequence[Media], kinds: dict[str, Spoil]
) -> Iterator[tuple[str, list[LseScore]]]:
    """The scores of each kind of spoiled clips, in memory."""
    for name, spoil in kinds.items():
        spoiled = [spoil(one) for one in media]
        yield (
            name,
            [scorer.score_arrays(np.stack(one.frames)[..., ::-1], one.sound) for one in spoiled],
        )


def encoded(media: Sequence[Media], folder: Path) -> Iterator[tuple[str, list[LseScore]]]:
    """The scores of clips that went through a codec, another frame rate, or the JPEG step of lrs@1."""
    lossless = SyncScorer.load(WEIGHTS, protocol="lrs-lossless", device="cpu")
    converted = SyncScorer.load(WEIGHTS, protocol="lrs-lossless", fps_policy="resample", device="cpu")
    counted = SyncScorer.load(WEIGHTS, protocol="lrs-lossless", fps_policy="as-is", device="cpu")
    jpeg = SyncScorer.load(WEIGHTS, protocol="lrs", device="cpu")
    written = {
        "x264, CRF 18": (lossless, 18, Fraction(25)),
        "x264, CRF 35": (lossless, 35, Fraction(25)),
        "CRF 18, then the JPEG step of `lrs@1`": (jpeg, 18, Fraction(25)),
        "30 fps, converted (`--fps-policy resample`)": (converted, 18, Fraction(30)),
        "30 fps, counted as 25 (`as-is`)": (counted, 18, Fraction(30)),
    }
    for name, (scorer, quality, rate) in written.items():
        scores = []
        for number, one in enumerate(media):
            path = folder / f"{number}.mp4"
            frames = [
                one.frames[min(len(one.frames) - 1, round(n * 25 / rate))]
                for n in range(int(len(one.frames) * rate / 25))
            ]
            write_clip(path, frames, one.sound, rate, quality=quality)
            scores.append(scorer.score(path))
        yield name, scores


def seeds(media: Sequence[Media], folder: Path, scorer: SyncScorer, count: int) -> list[list[LseScore]]:
    """The scores of Wav2Lip in miniature for `count` seeds.

    A seed adds faint noise to the sound that the network hears.
    """
    jobs = []
    for number, one in enumerate(media):
        write_clip(folder / f"v{number}.mp4", one.frames, one.sound)
        jobs.append(Job(id=f"{number}", video=f"v{number}.mp4", sound=f"s{number}.mp4"))
    found = []
    for seed in range(count):
        dice = np.random.default_rng(seed)
        for number, one in enumerate(media):
            spread = np.std(one.other_sound) * 10 ** (-NOISE / 20)
            noisy = one.other_sound + dice.normal(0, spread, len(one.other_sound))
            heard = np.clip(np.rint(noisy), -32768, 32767).astype(np.int16)
            write_clip(folder / f"s{number}.mp4", one.other_frames, heard)
        generator = Wav2Lip(Options(checkpoint=path_of(table()["wav2lip-mini"])))
        locating = Locating(
            load_detector("centerface"), generator.pads, generator.smoothing, generator.choice, "skip-clip"
        )
        manifest = Manifest(name="seeds", corpus="minilrs", jobs=tuple(jobs))
        out = folder / f"out{seed}"
        generate_run(Call(generator, manifest, folder, out, locating, Policies(short="loop"), seed=seed))
        found.append([scorer.score(out / f"{job.id}.mp4") for job in jobs])
    return found


def tables(folder: Path, count: int = SEEDS) -> tuple[dict[str, str], dict[str, tuple[LseScore, Frame]]]:
    """The tables of the page by name, and one clip's scores and pictures for the figure. `count`: number of seeds."""
    scorer = SyncScorer.load(WEIGHTS, protocol="lrs-lossless", device="cpu")
    media = loaded(folder / "corpus")
    kinds = dict(of_arrays(scorer, media, KINDS))
    prepared = dict(of_arrays(scorer, media, PREPARED)) | dict(encoded(media, folder))
    spread = seeds(media, folder, scorer, count)
    moves = {
        name: np.array([[getattr(score, name) for score in scores] for scores in spread]) for name in ("lse_d", "lse_c")
    }
    free = min(1, count - 1)
    lines = ["| | LSE-D | LSE-C |", "|---|---:|---:|"]
    lines += [
        f"| mean over clips, by seed | {' '.join(f'{v:.2f}' for v in moves['lse_d'].mean(axis=1))} | "
        f"{' '.join(f'{v:.2f}' for v in moves['lse_c'].mean(axis=1))} |",
        f"| standard deviation of one clip over seeds | {moves['lse_d'].std(axis=0, ddof=free).mean():.3f} | "
        f"{moves['lse_c'].std(axis=0, ddof=free).mean():.3f} |",
    ]
    found = {
        "kinds": "\n".join([HEAD, *(row(name, scores) for name, scores in kinds.items())]),
        "prepared": "\n".join([HEAD, *(row(name, scores) for name, scores in prepared.items())]),
        "seeds": "\n".join(lines),
    }
    return found, {name: (kinds[name][0], KINDS[name](media[0]).frames[SHOWN]) for name in DRAWN}


def draw(scores: dict[str, tuple[LseScore, Frame]]) -> None:
    """The curves of one clip, spoiled in six ways, each with a picture."""
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "lse-bench", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        for number, (name, (score, frame)) in enumerate(scores.items(), 1):
            axes = figure.add_subplot(2, 3, number)
            axes.plot(range(-15, 16), score.curve, color="#0072b2", label="curve")
            axes.plot(range(-15, 16), score.curve_valid, color="#d55e00", linestyle=":", label="pairs that exist")
            axes.set_title(f"{name}: LSE-D {score.lse_d:.1f}, LSE-C {score.lse_c:.1f}", fontsize=9)
            axes.set_ylim(2, 14)
            picture = axes.inset_axes((0.78, 0.62, 0.2, 0.36))
            picture.imshow(cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA)[..., ::-1])
            picture.set_axis_off()
            axes.spines[["top", "right"]].set_visible(False)
            if number == 1:
                axes.legend(frameon=False, fontsize=8, loc="upper left")
        figure.supxlabel("sound shifted by (frames of 40 ms)")
        figure.supylabel("mean distance")
        figure.savefig(FIGURE, metadata={"Date": None})


def put(page: str, found: dict[str, str]) -> str:
    """The page with these tables between its marks."""
    for name, text in found.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        assert marks.search(page), name
        page = marks.sub(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", page)  # type: ignore[misc]
    return page


def main() -> None:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found, shown = tables(Path(name))
    for title, text in found.items():
        print(f"{title}\n\n{text}\n")
    if chosen.write:
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
        draw(shown)


if __name__ == "__main__":
    main()
