"""What each codec step of the published real-video pipeline does to a score: the table of docs/protocols.md.

Prints LSE-D and LSE-C of one face track with ever fewer of the steps: source -> MPEG-4 and MP3 at 25 fps -> JPEG ->
crop -> XVID -> JPEG at 200 kb/s. All rows but the last keep the one-frame shift of the pictures that the files cause.

Run: python -m measurements.precision.codec_steps [CLIP --boxes FOLDER] [--weights syncnet-mini] [--ffmpeg PROGRAM]
Without a clip: a MiniLRS face in a larger frame, found by CenterFace.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lse_bench.faces.crops import crop_face, crop_path
from lse_bench.faces.detectors import load_detector
from lse_bench.faces.tracking import Tracking, scene_of
from lse_bench.faces.tracks import Track
from lse_bench.manifests.layouts import read_corpus
from lse_bench.media.audio import Sound, read_sound
from lse_bench.media.pictures import read_picture
from lse_bench.media.probe import probe
from lse_bench.media.program import Sources, convert, dump_crop, find_ffmpeg, read_wav, write_crop
from lse_bench.media.video import Frame, read_frames
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.stage import write_stage
from lse_bench.sync.distance import LseScore
from lse_bench.sync.embed import embed_chunk
from lse_bench.sync.quality import lse
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.tracked import crops_of, windows_of_pictures

_LAG = 3000  # samples: how far the MP3 delay is searched


def score(scorer: SyncScorer, pictures: Iterable[Frame], sound: Sound) -> LseScore:
    """The score of crops and their sound."""
    lips, sounds = [], []
    for chunk in windows_of_pictures(pictures, sound):
        lip, heard = embed_chunk(scorer.network, chunk)
        lips.append(lip)
        sounds.append(heard)
    return lse(np.concatenate(lips), np.concatenate(sounds))


def shifts_of(pictures: Sequence[Path], frames: Sequence[Frame]) -> list[int]:
    """Which frame each picture of the pipeline shows: the nearest of the neighbouring ones."""
    small = [cv2.resize(frame, (160, 90)).astype(np.int16) for frame in frames]
    found = []
    for number, picture in enumerate(pictures):
        seen = cv2.resize(read_picture(picture), (160, 90)).astype(np.int16)
        near = range(max(0, number - 2), min(len(frames), number + 2))
        found.append(min(near, key=lambda n: float(np.abs(small[n] - seen).mean())))
    return found


def delay_of(late: Sound, clean: Sound) -> int:
    """By how many samples `late` lags behind `clean`."""
    n = min(len(late), len(clean))
    spectrum = np.fft.rfft(late[:n].astype(float)) * np.conj(np.fft.rfft(clean[:n].astype(float)))
    return int(np.fft.irfft(spectrum)[:_LAG].argmax())


def cut(frames: Sequence[Frame], track: Track, order: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Crops of a track, frame `order[i]` standing for picture i."""
    path = crop_path(track)
    numbers = range(track.first, min(track.stop, len(order)))
    return [
        crop_face(frames[order[n]], *(float(v[n - track.first]) for v in (path.x, path.y, path.half))) for n in numbers
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--weights", default="syncnet-mini")
    parser.add_argument("--ffmpeg")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows(chosen, Path(name))


def rows(chosen: argparse.Namespace, folder: Path) -> None:
    """Score every row with files in `folder`."""
    ffmpeg = find_ffmpeg(chosen.ffmpeg)
    clip = chosen.clip
    if clip is None:
        make_corpus(Spec(speakers=1, clips=1, seed=3, split="test", style="plain", frames=125), folder / "corpus")
        clip = folder / "stage.mp4"
        write_stage([read_corpus(folder / "corpus")[1][0].path], clip, size=(640, 400), face=320)
    detector = load_detector("boxes" if chosen.boxes else "centerface", boxes=chosen.boxes)
    scorer = SyncScorer.load(chosen.weights, protocol="lrs-lossless")
    info = probe(clip)
    source = list(read_frames(info))
    clean = np.concatenate(list(read_sound(info)))
    files = convert(ffmpeg, Sources(clip), folder)
    found = [faces or [] for faces in detector.faces(clip, map(read_picture, files.pictures))]
    track = scene_of(found, [(0, len(found))], Tracking(detector)).tracks.kept[0]
    crop = folder / "crop.avi"
    write_crop(ffmpeg, clip, crops_of(files.pictures, track), files.sound, track.first, track.stop, crop)
    pictures, wav = dump_crop(ffmpeg, clip, crop, folder / "crop")
    sound = read_wav(wav)
    mpeg = list(read_frames(probe(files.video)))
    order, of_source = shifts_of(files.pictures, mpeg), shifts_of(files.pictures, source)
    delay = delay_of(read_wav(files.sound), clean)
    piece = slice(track.first * 640, track.stop * 640)
    late = np.concatenate([np.zeros(delay, np.int16), clean])[piece]
    unshifted = cut(source, track, range(len(source)))
    cases: dict[str, tuple[list[Frame], Sound]] = {
        "all, as published": ([read_picture(p) for p in pictures], sound),
        "no last JPEG": (list(read_frames(probe(crop))), sound),
        "and no XVID": (list(crops_of(files.pictures, track)), sound),
        "only MPEG-4": (cut(mpeg, track, order), sound),
        "no video codec": (cut(source, track, of_source), sound),
        f"and clean sound, {delay} samples late": (cut(source, track, of_source), late),
        "clean, no shifts": (unshifted, clean[piece]),
    }
    last = cases["no video codec"][0]
    table = Table(title=f"{clip.name}, {len(track)} frames, ffmpeg {ffmpeg.version}, {Path(chosen.weights).name}")
    for heading in ("left in", "PSNR of crops", "LSE-D", "LSE-C", "offset"):
        table.add_column(heading)
    for label, (crops, heard) in cases.items():
        result = score(scorer, crops, heard)
        same = min(len(crops), len(last))
        error = np.mean([np.mean((a.astype(float) - b) ** 2) for a, b in zip(crops[:same], last[:same], strict=True)])
        psnr = "-" if label.startswith(("no video", "and clean", "clean")) else f"{10 * np.log10(255**2 / error):.1f}"
        table.add_row(label, psnr, f"{result.lse_d:.4f}", f"{result.lse_c:.4f}", f"{result.offset:+d}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
