"""Signals at random moments over every command: nothing is left running, nothing is lost, and the end is the same."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tiny_bench
import torch
from conftest import inception_weights
from found import Findings, begin, judge, leftovers, run

ROOT = Path(__file__).parents[2]
SMALL = {
    "width": 0.0625,
    "validation_clips": 1,
    "lse_clips": 0,
    "precision": '"fp32"',
    "steps": 12,
    "save_every": 3,
    "validate_every": 6,
}
GRACE = 10.0  # seconds until nothing of a command is left
TURNS = 6  # signals on one output before it is finished and compared
SENT = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Tried:
    """A command: `arguments` for a folder of its output, and what of that must be as without signals."""

    arguments: Callable[[Path], list[object]]
    result: Callable[[Path], object]


def _scores(out: Path) -> object:
    rows = (json.loads(line) for path in out.rglob("records.jsonl") for line in path.read_text().splitlines())
    # Sums in another order differ in their sixteenth digit.
    return sorted((row["id"], row["status"], *(f"{row[name] or 0:.9f}" for name in ("lse_d", "lse_c"))) for row in rows)


def _files(*patterns: str) -> Callable[[Path], object]:
    def digests(out: Path) -> object:
        found = {path for pattern in patterns for path in out.rglob(pattern) if path.is_file()}
        return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}

    return digests


def _rows(out: Path) -> object:
    text = next(out.rglob("generation.jsonl")).read_text()
    return {row["id"]: row["sha256"] for row in map(json.loads, text.splitlines())}


def _clips(out: Path) -> object:
    return sorted(next(out.rglob("clips.jsonl")).read_text().splitlines())


def commands(base: Path) -> dict[str, Tried]:
    """Every command that works on something, on one small corpus."""
    corpus, prepared, pairs = base / "corpus", base / "prepared", base / "pairs.json"
    make = ["minilrs", "--speakers", 3, "--clips", 3, "--frames", 40, "--style", "plain", "--seed", 5]
    run(*make, "--out", corpus)
    run("prepare", corpus, "--out", prepared)
    run("manifest", "build", corpus, "--split", "train", "--rule", "self", "--out", pairs)
    run("generate", "unsynced", "--manifest", pairs, "--out", base / "videos")
    score: list[object] = ["score", corpus, "--weights", "syncnet-mini", "--protocol", "lrs-lossless"]
    run(*score, "--out", base / "run")
    torch.save(inception_weights(), base / "inception.pth")
    (base / "mine.py").write_text(tiny_bench.PROGRAM)
    (base / "bench.toml").write_text(
        tiny_bench.config("mine", base / "mine.py", "{video} {audio} {output}").replace("frames = 40", "frames = 30")
    )
    config = (ROOT / "baselines" / "wav2lip" / "configs" / "wav2lip-l1-mini.toml").read_text()
    for field, value in SMALL.items():
        config = re.sub(rf"(?m)^{field} = \S+", f"{field} = {value}", config)
    (base / "small.toml").write_text(config)
    train: list[object] = ["train", "wav2lip", "--config", base / "small.toml", "--data", prepared, "--device", "cpu"]
    tracked = ["score", base / "videos", *score[2:-1], "tracked", "--min-track", 20]
    return {
        "score": Tried(lambda out: [*score, "--out", out], _scores),
        "score, tracked": Tried(lambda out: [*tracked, "--out", out], _scores),
        "generate": Tried(lambda out: ["generate", "unsynced", "--manifest", pairs, "--out", out], _rows),
        "generate wav2lip": Tried(
            lambda out: ["generate", "wav2lip", "--weights", "wav2lip-mini", "--manifest", pairs, "--out", out],
            _rows,
        ),
        "minilrs": Tried(lambda out: [*make, "--workers", 2, "--out", out], _clips),
        "prepare": Tried(
            lambda out: ["prepare", corpus, "--out", out, "--workers", 2],
            _files("*.prepared", "prepared.json"),
        ),
        "manifest": Tried(
            lambda out: ["manifest", "build", corpus, "--split", "train", "--rule", "self", "--out", out / "m.json"],
            _files("m.json"),
        ),
        "run": Tried(lambda out: ["benchmark", base / "bench.toml", "--out", out], _scores),
        "fid": Tried(
            lambda out: ["fid", base / "videos", corpus, "--weights", base / "inception.pth", "--frame-step", 8],
            lambda out: None,
        ),
        "fd-sync": Tried(
            lambda out: ["fd-sync", base / "videos", corpus, "--weights", "syncnet-mini"], lambda out: None
        ),
        "verify": Tried(lambda out: ["verify", base / "run", "--rescore", 3], lambda out: None),
        "train": Tried(
            lambda out: [*train, "--out", out, *(["--resume"] if (out / "run.json").exists() else [])],
            _files("weights.safetensors"),
        ),
        "leaderboard": Tried(
            lambda out: ["leaderboard", "build", base / "run", "--out", out], _files("*.csv", "*.md", "*.tex")
        ),
    }


def members(session: int) -> list[int]:
    """The processes of a session that are still at work."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, owner = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue  # it has ended meanwhile
            if int(owner) == session and state != "Z":
                found.append(int(entry.name))
    return found


def stopped(found: Findings, name: str, arguments: list[object], after: float, number: signal.Signals) -> bool:
    """Start, wait, send; False where the command had ended before."""
    process = begin(arguments)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        pass
    else:
        process.communicate()
        return False
    # Ctrl-C goes to the whole group of a terminal, what others send to one process.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    found.tried += 1
    end = time.monotonic() + GRACE
    while time.monotonic() < end and (process.poll() is None or members(process.pid)):
        time.sleep(0.05)
    left = members(process.pid)
    if process.poll() is None:
        found.fault("hang", f"{name}: {number.name} after {after:.1f} s: not ended after {GRACE:.0f} s")
    elif left:
        told = [Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ")[-80:].decode() for one in left]
        found.fault("left", f"{name}: {number.name} after {after:.1f} s: {told}")
    for one in left:
        os.kill(one, signal.SIGKILL)
    said = process.communicate()[0].decode(errors="replace")
    found.ended[f"{number.name}, exit {process.returncode}"] += 1
    if "Traceback (most recent call last)" in said:
        found.fault("traceback", f"{name}: {number.name} after {after:.1f} s: {said.strip()[-300:]}")
    return True


def stops(folder: Path, count: int, seed: int) -> Findings:
    """`count` signals, the same number for every command and kind of signal; then each output is finished."""
    found, dice = Findings(), random.Random(seed)
    tried = commands(folder / "base")
    turns = -(-count // len(tried))
    for name, one in tried.items():
        place = folder / re.sub(r"\W+", "-", name)
        whole = place / "whole"
        whole.mkdir(parents=True)
        began = time.monotonic()
        judge(found, name, run(*one.arguments(whole)), allowed=(0,))
        length, wanted = time.monotonic() - began, one.result(whole)
        found.tried -= 1
        sent, number = 0, 0
        while sent < turns:
            out = place / f"out-{number}"
            out.mkdir()
            number += 1
            for _ in range(TURNS):
                if sent < turns:
                    what = SENT[sent % len(SENT)]
                    sent += stopped(found, name, one.arguments(out), dice.uniform(0.3, length), what)
            judge(found, f"{name}, finished", run(*one.arguments(out)), allowed=(0,))
            found.tried -= 1
            if left := leftovers(out):
                found.fault("left", f"{name}: {left}")
            if one.result(out) != wanted:
                found.fault("lost", f"{name}: {out} is not what the same command makes without signals")
        print(f"  {name}: {sent} signals", flush=True)
    return found
