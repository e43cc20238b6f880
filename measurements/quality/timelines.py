"""Are drifts, splices and large delays found? Figures of planted ones on MiniLRS.

python -m measurements.quality.timelines                # drifts and splices in clips of five minutes, some 40 minutes
python -m measurements.quality.timelines --search       # delays of 2.4 s in clips of 12 s
python -m measurements.quality.timelines --memory       # peak memory for a minute and for an hour
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from scipy.io import wavfile

from lse_bench.manifests.layouts import read_corpus
from lse_bench.rates import SAMPLE_RATE
from lse_bench.runs.records import read_records
from lse_bench.runs.schema import Record
from measurements.quality.offsets import WEIGHTS, Sound, lse_bench, moved, sound_of

MINUTES, PIECE = 5, 10
DRIFT, SPLICE = 40, 200  # ms a minute; ms
UNTOUCHED, EACH = 20, 10
FAR = 2400  # ms


def ffmpeg(*arguments: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def long_clips(folder: Path, speakers: int) -> list[Path]:
    """Clips of five minutes: five of one minute, of one speaker, one after the other."""
    sizes = ("--speakers", speakers, "--clips", MINUTES, "--frames", 1500)
    lse_bench("minilrs", "--seed", 51, "--split", "test", *sizes, "--out", folder / "corpus")
    speakers_clips: dict[str, list[Path]] = {}
    for clip in read_corpus(folder / "corpus")[1]:
        speakers_clips.setdefault(clip.video or "", []).append(clip.path)
    found = []
    for name, clips in sorted(speakers_clips.items()):
        listed, target = folder / f"{name}.txt", folder / f"{name}.mkv"
        listed.write_text("".join(f"file '{clip}'\n" for clip in clips))
        # Sound of 60 s exactly, so that picture and sound do not part at the seams.
        inputs = [word for clip in clips for word in ("-i", clip)]
        parts = "".join(f"[{n}:a]atrim=end=60,apad=whole_dur=60[a{n}];" for n in range(len(clips)))
        joined = "".join(f"[{n}:v][a{n}]" for n in range(len(clips)))
        graph = f"{parts}{joined}concat=n={len(clips)}:v=1:a=1[v][a]"
        codecs = ("-c:v", "libx264", "-crf", 18, "-preset", "fast", "-c:a", "pcm_s16le")
        ffmpeg(*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "[a]", *codecs, target)
        found.append(target)
    return found


def heard(clip: Path, target: Path) -> Sound:
    ffmpeg("-i", clip, "-vn", "-ac", 1, "-ar", SAMPLE_RATE, "-c:a", "pcm_s16le", target)
    return np.asarray(wavfile.read(target)[1], dtype=np.int16)


def drifting(sound: Sound, rate: float) -> Sound:
    """The sound, earlier by `rate` milliseconds more each minute."""
    places = np.arange(len(sound)) * (1 + rate / 60_000)
    return np.asarray(np.rint(np.interp(places, np.arange(len(sound)), sound, right=0)), dtype=np.int16)


def spliced(sound: Sound, at: float, jump: int) -> Sound:
    """The sound, from `at` seconds on earlier by `jump` milliseconds (later if negative)."""
    place, samples = round(at * SAMPLE_RATE), jump * SAMPLE_RATE // 1000
    rest = sound[place + samples :] if samples > 0 else np.concatenate([np.zeros(-samples, np.int16), sound[place:]])
    whole = np.concatenate([sound[:place], rest])[: len(sound)]
    return np.concatenate([whole, np.zeros(len(sound) - len(whole), np.int16)])


def scored(folder: Path, rows: Sequence[tuple[str, Path, Sound]], *options: object) -> dict[str, Record]:
    """The records of clips with these sounds, by id."""
    folder.mkdir()
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "clip", "sound"])
        for name, clip, sound in rows:
            wavfile.write(folder / f"{name}.wav", SAMPLE_RATE, sound)
            table.writerow([name, clip, f"{name}.wav"])
    common = ("--weights", WEIGHTS, "--protocol", "lrs-lossless@1", "--out", folder / "run")
    lse_bench("score", folder / "list.csv", *common, *options)
    return {record.id: record for record in read_records(folder / "run")}


def trends(folder: Path) -> None:
    dice = np.random.default_rng(7)
    clips = long_clips(folder, UNTOUCHED)
    sounds = [heard(clip, folder / f"{clip.stem}.wav") for clip in clips]
    planted: dict[str, float] = {}
    rows: list[tuple[str, Path, Sound]] = []
    for number, (clip, sound) in enumerate(zip(clips, sounds, strict=True)):
        rows.append((f"untouched{number}", clip, sound))
        if number < EACH:
            planted[f"drift{number}"] = rate = DRIFT * float(dice.choice([-1, 1]))
            rows.append((f"drift{number}", clip, drifting(sound, rate)))
        else:
            planted[f"splice{number}"] = at = float(dice.uniform(60, 240))
            rows.append((f"splice{number}", clip, spliced(sound, at, int(SPLICE * dice.choice([-1, 1])))))
    found = scored(folder / "scored", rows, "--timeline", PIECE)
    lines = {name: record.timeline for name, record in found.items() if record.timeline is not None}
    apart = {n: line.ms_per_minute - planted[n] for n, line in lines.items()
             if n.startswith("drift") and line.trend == "drift" and line.ms_per_minute is not None}  # fmt: skip
    near = sum(abs(value) <= 10 for value in apart.values())
    print(f"drift of {DRIFT} ms a minute: found within 10 ms a minute in {near} of {EACH} clips; errors "
          f"{', '.join(f'{value:+.2f}' for value in apart.values())}")  # fmt: skip
    placed = {n: min((abs(jump.at - planted[n]) for jump in line.jumps), default=99.0) for n, line in lines.items()
              if n.startswith("splice")}  # fmt: skip
    alone = sum(len(lines[n].jumps) == 1 for n in placed)
    right = sum(value <= 0.5 for value in placed.values())
    errors = " ".join(f"{one:.2f}" for one in placed.values())
    print(f"splice of {SPLICE} ms: placed within 0.5 s in {right} of {len(placed)} clips, the only jump in {alone}; "
          f"errors (s) {errors}")  # fmt: skip
    plain = [line.trend for n, line in lines.items() if n.startswith("untouched")]
    print(f"untouched: {plain.count('drift')} of {len(plain)} drift, {plain.count('constant')} constant, "
          f"{plain.count('jumps')} jump, {plain.count('unknown')} unknown")  # fmt: skip


def searches(folder: Path) -> None:
    sizes = ("--speakers", 10, "--clips", 5, "--frames", 300)
    lse_bench("minilrs", "--seed", 61, "--split", "test", *sizes, "--out", folder / "corpus")
    clips = read_corpus(folder / "corpus")[1]
    dice = np.random.default_rng(8)
    delays = [int(FAR * dice.choice([-1, 1])) for _ in clips]
    rows = [
        (f"{n}", clip.path, moved(sound_of(clip), delay))
        for n, (clip, delay) in enumerate(zip(clips, delays, strict=True))
    ]
    found, plain = scored(folder / "found", rows, "--search", 3), scored(folder / "plain", rows)
    right = sum(
        record.search is not None and record.search.offset_ms is not None
        and abs(record.search.offset_ms + delays[int(name)]) <= 40
        for name, record in found.items()
    )  # fmt: skip
    moves = sum((a.lse_d, a.lse_c, a.curve) != (b.lse_d, b.lse_c, b.curve)
                for a, b in ((found[name], plain[name]) for name in found))  # fmt: skip
    print(f"delays of {FAR} ms in {len(found)} clips of 12 s: --search 3 finds {right} within one frame; LSE-D, LSE-C "
          f"or curve differ from those without --search in {moves}")  # fmt: skip


def memory(folder: Path) -> None:
    sizes = ("--speakers", 1, "--clips", 1, "--frames", 1500)
    lse_bench("minilrs", "--seed", 71, "--split", "test", *sizes, "--out", folder / "corpus")
    (clip,) = read_corpus(folder / "corpus")[1]
    hour = folder / "hour.mkv"
    ffmpeg("-stream_loop", 59, "-i", clip.path, "-c", "copy", hour)
    peaks = []
    for name, path in (("minute", clip.path), ("hour", hour)):
        code = (
            "import resource, sys; from lse_bench.sync.scorer import SyncScorer; "
            f"s = SyncScorer.load({WEIGHTS!r}, protocol='lrs-lossless', device='cpu', timeline={PIECE}, search=3); "
            "r = s.score(sys.argv[1]); "
            "print(len(r.timeline.pieces), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        pieces, peak = map(int, done.stdout.split())
        peaks.append(peak / 1024)
        print(f"{name}: {pieces} pieces, peak memory {peak / 1024:.0f} MB")
    print(f"an hour needs {peaks[1] - peaks[0]:.0f} MB more than a minute")


def main() -> None:
    """Print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--memory", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        what = searches if chosen.search else memory if chosen.memory else trends
        what(Path(name))


if __name__ == "__main__":
    main()
