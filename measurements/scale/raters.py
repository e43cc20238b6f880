"""Many raters at once at the server of a study, with lost connections, repeated forms and a kill of the server.

    python -m measurements.scale.raters [--raters 200]

A study of small synthetic clips is made, and `lse-bench study serve` serves it. Every rater waits as long as the clips
last. Some drop the connection before the reply and send the form again, some send it twice at once, some go back and
send another answer for the same clip. In the middle, the server is killed by SIGKILL and started again. Then every
acknowledged answer must be in the database, once and as it was sent. Load, counts and times of replies are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import html
import random
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np

from lse_bench.manifests.manifest import Job, Manifest, write_manifest
from lse_bench.media.writer import write_clip
from lse_bench.reporting import Report
from lse_bench.study.folder import ANSWERS_FILE, Study, read_study
from lse_bench.study.stages import all_stages
from lse_bench.tasks.declared_studies import StudyOptions
from lse_bench.tasks.studies import create_study

_LOST, _TWICE, _CHANGED = 0.1, 0.1, 0.05  # shares of forms
_WAIT = 60  # seconds for which a rater tries to reach the server again
Key = tuple[str, str, str]  # token, step, question


@dataclass
class Ledger:
    """What the server has acknowledged, and how it went."""

    acknowledged: dict[Key, str] = field(default_factory=dict)
    finished: int = 0
    requests: int = 0
    lost: int = 0
    twice: int = 0
    changed: int = 0
    again: int = 0
    times: list[float] = field(default_factory=list)


def make(folder: Path, raters: int, trials: int) -> Study:
    """A study of one-second clips."""
    for name in ("corpus", "ours", "theirs"):
        (folder / name).mkdir()
    rng, jobs = np.random.default_rng(0), []
    for n in range(6):
        jobs.append(Job(id=f"c{n}", video=f"s{n}.mp4", sound=f"s{(n + 1) % 6}.mp4"))
        for path in (f"corpus/s{n}.mp4", f"ours/c{n}.mp4", f"theirs/c{n}.mp4"):
            frames = [np.full((96, 96, 3), rng.integers(0, 255), np.uint8) for _ in range(26)]
            for number, frame in enumerate(frames):
                cv2.circle(frame, (48, 30 + number), 12, (255, 255, 255), -1)
            write_clip(folder / path, frames, rng.integers(-3000, 3000, 26 * 640).astype(np.int16))
    write_manifest(
        Manifest(name="load", corpus="made", root=str(folder / "corpus"), jobs=tuple(jobs)), folder / "p.json"
    )
    options = StudyOptions(clips=5, trials=trials, raters=raters, longest=1.0, preset="wav2lip-paper")
    methods = {name: folder / name for name in ("ours", "theirs")}
    create_study(folder / "study", folder / "p.json", methods, options, Report())
    return read_study(folder / "study")


def serve(study: Path, port: int) -> tuple[subprocess.Popen[str], int]:
    """Start the server, and return it with its port."""
    command = [sys.executable, "-m", "lse_bench", "study", "serve", str(study), "--port", str(port)]
    server = subprocess.Popen([*command, "--per-minute", "100000"], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        found = re.search(r"raters: http://[^:]+:(\d+)/", line)
        if found:
            return server, int(found[1])
    raise RuntimeError("the server did not start")


class Rater:
    """One rater, who answers by chance and does not give up."""

    def __init__(self, base: str, study: Study, ledger: Ledger, seed: int) -> None:
        self._study, self._ledger, self._chance = study, ledger, random.Random(seed)
        self._client = httpx.AsyncClient(base_url=base, timeout=20)
        self._path = ""

    async def go(self) -> None:
        """Take the whole study."""
        async with self._client:
            place = (await self._asked(lambda: self._client.post("/start", data={"go": "1"}))).headers["location"]
            self._path = f"/{place}"
            while True:
                page = (await self._asked(lambda: self._client.get(self._path))).text
                hidden = {name: html.unescape(v) for name, v in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
                if "step" not in hidden:
                    break
                await self._answer(page, hidden)
            if "completion code" in page:
                self._ledger.finished += 1

    async def _answer(self, page: str, hidden: dict[str, str]) -> None:
        clips = re.findall(r'<video src="clip/(\w+)\.mp4"', page)
        for name in clips:
            await self._asked(lambda name=name: self._client.get(f"{self._path}clip/{name}.mp4"))  # type: ignore[misc]
        lengths = [self._study.clip(name).seconds for name in clips]
        await asyncio.sleep(sum(lengths))
        form = {name: hidden[name] for name in ("step", "nonce")} | self._values(hidden["step"], page, clips)
        form |= {"plays": " ".join("1" for _ in clips), "played": " ".join(f"{s:.2f}" for s in lengths)}
        send: Callable[[], object] = lambda: self._client.post(f"{self._path}answer", data=form)  # noqa: E731
        mood = self._chance.random()
        if mood < _LOST:  # the reply is not waited for
            self._ledger.lost += 1
            with contextlib.suppress(httpx.HTTPError, asyncio.TimeoutError):
                await asyncio.wait_for(send(), self._chance.uniform(0.0, 0.02))  # type: ignore[arg-type]
        elif mood < _LOST + _TWICE:
            self._ledger.twice += 1
            with contextlib.suppress(httpx.HTTPError):
                await asyncio.gather(send(), send())  # type: ignore[call-overload]
        await self._asked(send)
        token = self._path.split("/")[2]
        for question, value in form.items():
            if question not in ("step", "nonce", "plays", "played"):
                self._ledger.acknowledged[token, form["step"], question] = value
        if self._chance.random() < _CHANGED:
            self._ledger.changed += 1
            other = {name: "1" if value != "1" else "2" for name, value in form.items() if name in ("sync", "visual")}
            await self._asked(lambda: self._client.post(f"{self._path}answer", data=form | other))

    def _values(self, step: str, page: str, clips: list[str]) -> dict[str, str]:
        if step.startswith("sound"):
            return {"beeps": self._study.clip(clips[0]).method}
        if 'name="preference"' in page:
            return {"preference": self._chance.choice(["left", "right", "none"])}
        if 'name="trouble"' in page:
            return {"trouble": self._chance.choice("012"), "remarks": f"remark {self._chance.random()}"}
        if 'name="sync"' in page:
            return {one.id: self._chance.choice("12345") for one in self._study.sheet.questions}
        return {}

    async def _asked(self, ask: Callable[[], object]) -> httpx.Response:
        """Ask until there is a reply."""
        until = time.monotonic() + _WAIT
        while True:
            begun = time.monotonic()
            try:
                self._ledger.requests += 1
                reply: httpx.Response = await ask()  # type: ignore[misc]
            except httpx.HTTPError:
                self._ledger.again += 1
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.2)
                continue
            self._ledger.times.append(time.monotonic() - begun)
            if reply.status_code >= 400:
                raise RuntimeError(f"{reply.status_code}: {reply.text[:300]}")
            return reply


async def _run(base: str, study: Study, ledger: Ledger, raters: int, kill: Callable[[], None]) -> None:
    tasks = [asyncio.create_task(Rater(base, study, ledger, seed).go()) for seed in range(raters)]
    middle = raters * len(all_stages(study, 0)) // 2

    async def watch() -> None:
        while len({key[:2] for key in ledger.acknowledged}) < middle:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(kill)

    await asyncio.gather(watch(), *tasks)


def run(folder: Path, raters: int, trials: int = 6) -> tuple[Ledger, dict[str, int]]:
    """Simulate raters at a study made in `folder`; returns the ledger, and counts of what is wrong."""
    study = make(folder, raters, trials)
    server, port = serve(folder / "study", 0)
    ledger = Ledger()

    def kill() -> None:
        nonlocal server
        server.send_signal(signal.SIGKILL)
        server.wait()
        server, _ = serve(folder / "study", port)

    try:
        asyncio.run(_run(f"http://127.0.0.1:{port}", study, ledger, raters, kill))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    return ledger, wrong(folder / "study", study, ledger)


def wrong(folder: Path, study: Study, ledger: Ledger) -> dict[str, int]:
    """Compare the database with what was acknowledged."""
    with contextlib.closing(sqlite3.connect(folder / ANSWERS_FILE)) as base:
        rows = base.execute("SELECT token, step, question, value FROM answers JOIN raters ON rater = number").fetchall()
        plans = [plan for (plan,) in base.execute("SELECT plan FROM raters WHERE finished IS NOT NULL")]
    choices = next(one.choices for one in study.sheet.between if one.id == "trouble")
    stored: dict[Key, list[str]] = {}
    for token, step, question, value in rows:
        stored.setdefault((token, step, question), []).append(value)
    told = {key: choices[int(v)] if key[2] == "trouble" else v for key, v in ledger.acknowledged.items()}
    return {
        "acknowledged but absent": sum(key not in stored for key in told),
        "stored twice": sum(len(values) > 1 for values in stored.values()),
        "stored with another value": sum(key in stored and stored[key] != [value] for key, value in told.items()),
        "plans given twice": len(plans) - len(set(plans)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raters", type=int, default=200)
    raters = parser.parse_args().raters
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        ledger, faults = run(Path(folder), raters)
        seconds = time.monotonic() - begun
    times = sorted(ledger.times)
    print(f"{raters} raters at once, {ledger.finished} finished, {seconds:.0f} s")
    print(f"{ledger.requests:,} requests, {ledger.requests / seconds:.0f} a second; without a reply: {ledger.again:,}")
    print(f"forms whose reply was not waited for: {ledger.lost}, sent twice at once: {ledger.twice}, ", end="")
    print(f"sent again with another answer: {ledger.changed}; kills: 1")
    print(
        f"time of a reply: median {statistics.median(times) * 1000:.0f} ms, 99 % {times[int(0.99 * len(times))]:.2f} s"
    )
    print(f"acknowledged answers: {len(ledger.acknowledged):,}; " + ", ".join(f"{k}: {v}" for k, v in faults.items()))
    if any(faults.values()) or ledger.finished < raters:
        sys.exit(1)


if __name__ == "__main__":
    main()
