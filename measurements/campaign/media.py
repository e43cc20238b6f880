"""Clips of every kind, damaged in every way, through `score`: each is a row, and a row without a warning is right."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import against_ffmpeg
import imageio_ffmpeg
from found import Findings, judge, run

HEAD, MOST_FLIPS, BLOCK = 2048, 30, 512
RESAMPLED = 3  # of 32,768: resamplers of two FFmpegs differ by so much

UNRELATED = "best shift"  # a warning about what is heard and seen, not about how it was read

Damage = Callable[[bytes, bytes, random.Random], bytes]


def _flipped(content: bytes, other: bytes, dice: random.Random, end: int | None = None) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randint(1, MOST_FLIPS)):
        changed[dice.randrange(min(end or len(changed), len(changed)))] = dice.randrange(256)
    return bytes(changed)


def _piece(content: bytes, dice: random.Random) -> tuple[int, int]:
    start = dice.randrange(len(content))
    return start, min(len(content), start + dice.randint(1, BLOCK))


def _zeroed(content: bytes, other: bytes, dice: random.Random) -> bytes:
    start, end = _piece(content, dice)
    return content[:start] + bytes(end - start) + content[end:]


def _removed(content: bytes, other: bytes, dice: random.Random) -> bytes:
    start, end = _piece(content, dice)
    return content[:start] + content[end:]


def _doubled(content: bytes, other: bytes, dice: random.Random) -> bytes:
    start, end = _piece(content, dice)
    return content[:end] + content[start:]


def _spliced(content: bytes, other: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(1, len(content))] + other[dice.randrange(len(other)) :]


DAMAGES: dict[str, Damage] = {
    "bytes": _flipped,
    "bytes of the head": lambda content, other, dice: _flipped(content, other, dice, HEAD),
    "bytes of the tail": lambda content, other, dice: _flipped(content[::-1], other, dice, HEAD)[::-1],
    "zeroed": _zeroed,
    "removed": _removed,
    "doubled": _doubled,
    "cut": lambda content, other, dice: content[: dice.randrange(1, len(content))],
    "without its head": lambda content, other, dice: content[dice.randrange(1, HEAD) :],
    "garbage behind": lambda content, other, dice: content + dice.randbytes(dice.randint(1, 8 * BLOCK)),
    "spliced": _spliced,
}


def media(folder: Path, count: int, seed: int) -> Findings:
    """At least `count` damaged clips."""
    found, dice = Findings(), random.Random(seed)
    made = folder / "whole"
    made.mkdir(parents=True)
    clips = [make() for make in against_ffmpeg.makers(imageio_ffmpeg.get_ffmpeg_exe(), made).values()]
    damaged = folder / "damaged"
    damaged.mkdir()
    turns = -(-count // (len(clips) * len(DAMAGES)))
    for turn in range(turns):
        for clip in clips:
            content = clip.read_bytes()
            for name, damage in DAMAGES.items():
                other = dice.choice(clips).read_bytes()
                target = damaged / f"{clip.stem} {name} {turn}{clip.suffix}"
                target.write_bytes(damage(content, other, dice))
    usual = {Path(name).stem: row["warnings"] for name, row in scored(made, folder / "run-whole", found).items()}
    rows = scored(damaged, folder / "run", found)
    listed = sorted(path.name for path in damaged.iterdir())
    found.tried = len(listed)
    found.ended.clear()
    for name in listed:
        if name not in rows:
            found.fault("lost", f"{name}: no record")
            continue
        row = rows[name]
        if row["status"] == "error":
            found.fault("traceback", f"{name}: {row['reason']}")
        stem = next(clip.stem for clip in clips if name.startswith(f"{clip.stem} "))
        row["new"] = [told for told in row["warnings"] if told not in usual[stem] and not told.startswith(UNRELATED)]
        kind = row["status"] if row["status"] != "ok" else "ok, with a warning" if row["new"] else "ok"
        found.ended[kind] += 1
    quiet = [damaged / name for name in listed if rows.get(name, {}).get("status") == "ok" and not rows[name]["new"]]
    programs = [name for name in (imageio_ffmpeg.get_ffmpeg_exe(), shutil.which("ffmpeg")) if name]
    with ProcessPoolExecutor(2) as pool:
        for path, told in zip(quiet, pool.map(differing, quiet, [programs] * len(quiet)), strict=True):
            if told is not None:
                found.fault("wrong", f"{path.name}: {told}")
    return found


def scored(folder: Path, out: Path, found: Findings) -> dict[str, Any]:
    """The records of a folder of clips by the names of the clips."""
    ended = run("score", folder, "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--out", out)
    judge(found, f"score {folder.name}", ended)
    lines = (out / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["clip"]: row for row in map(json.loads, lines)}


def differing(path: Path, programs: list[str]) -> str | None:
    """How a clip as decoded here differs from each of the programs; None where it agrees with one of them, or where
    nobody can say what is right: the programs differ from each other, or one of them from itself."""
    said, heard = [], set()
    for program in programs:
        try:
            one = against_ffmpeg.compare(program, path)
        except subprocess.CalledProcessError as error:
            said.append(f"the program refuses it: {error.stderr.decode(errors='replace').strip()[-100:]}")
            continue
        except Exception as error:  # noqa: BLE001 - what cannot be compared is told, not passed over
            said.append(f"{type(error).__name__}: {error}")
            continue
        apart = abs(one.frames[0] - one.frames[1])
        if apart <= 1 and not one.pixel and one.sample <= RESAMPLED:
            return None
        again = against_ffmpeg.compare(program, path)
        if again != one:
            return None
        heard.add((one.frames[1], one.samples[1]))
        said.append(f"frames {one.frames}, pixel {one.pixel}, samples {one.samples}, sample {one.sample}")
    return None if len(heard) > 1 else "; ".join(said)
