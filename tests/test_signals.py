"""A stop is a stop: queued work is dropped, workers end with their parent, and a sentence says how to go on."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import lse_bench_here, signalled

from lse_bench.workers import WORKERS

pytestmark = pytest.mark.command
MAKE = ("minilrs", "--speakers", 4, "--clips", 6, "--frames", 25, "--split", "test", "--style", "plain", "--seed", 9)
STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_ends_every_worker_and_drops_what_is_queued(tmp_path: Path, number: signal.Signals) -> None:
    """`signalled` returns when the last holder of the command's output has ended; 24 clips would take a minute."""
    out = tmp_path / "corpus"
    ended = signalled(number, "lse_bench.minilrs.corpus:asdict", 2, *MAKE, "--out", out, "--workers", 2)
    assert ended.returncode == STOPS[number], ended.stderr
    if number != signal.SIGKILL:
        assert f"stopped; run the same command with --out {out} again to continue" in " ".join(ended.stderr.split())
    made = len((out / "minilrs" / "clips.jsonl").read_text().splitlines())
    assert 1 <= made <= 6
    if number != signal.SIGINT:
        return
    again = signalled(number, "lse_bench.minilrs.corpus:asdict", made + 2, *MAKE, "--out", out, "--workers", 2)
    assert again.returncode == STOPS[number]
    assert len((out / "minilrs" / "clips.jsonl").read_text().splitlines()) > made, "what was finished is kept"


def test_scoring_and_generating_stop_with_what_they_have(corpus: Path, tmp_path: Path) -> None:
    number = signal.SIGTERM
    manifest = tmp_path / "m.json"
    assert lse_bench_here("manifest", "build", corpus, "--rule", "self", "--out", manifest).returncode == 0
    videos = ["generate", "unsynced", "--manifest", manifest, "--out", tmp_path / "videos"]
    ended = signalled(number, "lse_bench.generators.work:make_video", 2, *videos)
    assert ended.returncode == STOPS[number] and "again to continue" in " ".join(ended.stderr.split()), ended.stderr
    assert not list((tmp_path / "videos").glob(".scratch-*"))
    assert lse_bench_here(*videos).returncode == 0
    score = ["score", tmp_path / "videos", "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--out",
             tmp_path / "run"]  # fmt: skip
    ended = signalled(number, "lse_bench.runs.work:record_of", 2, *score)
    assert ended.returncode == STOPS[number], ended.stderr
    assert lse_bench_here(*score).returncode == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["scored"] == 4


@pytest.mark.parametrize(("context", "status"), [(WORKERS, 0), (multiprocessing.get_context("spawn"), 1)])
def test_a_worker_does_not_hear_ctrl_c(context: Any, status: int) -> None:
    """From its first instruction on: what it imports cannot be broken off."""
    process = context.Process(target=signal.raise_signal, args=(signal.SIGINT,))
    process.start()
    process.join()
    assert process.exitcode == status


ORPHAN = """
import multiprocessing, os, signal, traceback
from multiprocessing.connection import wait
from lse_bench.workers import WORKERS

def fail(begun):
    begun.send("begun")
    wait([multiprocessing.parent_process().sentinel])
    try:
        raise ConnectionResetError("what a queue meets")
    except ConnectionResetError:
        traceback.print_exc()
    signal.pause()

def main():
    here, there = WORKERS.Pipe(duplex=False)
    WORKERS.Process(target=fail, args=(there,)).start()
    here.recv()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_prints_nothing_of_its_parents_death(tmp_path: Path) -> None:
    """`run` returns when the last holder of the output has ended."""
    (tmp_path / "orphan.py").write_text(ORPHAN)
    command = [sys.executable, "-c", "import orphan; orphan.main()"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert ended.returncode == -signal.SIGKILL and not ended.stderr, ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_before_a_command_has_begun(number: signal.Signals) -> None:
    ended = signalled(number, "typer.main:get_command", 1, "doctor")
    assert ended.returncode == STOPS[number] and not ended.stderr, ended.stderr


HALF_IMPORTED = """
import os, sys
import lse_bench.cli as cli

def app():
    try:
        os.kill(os.getpid(), {number})
    except KeyboardInterrupt:
        raise RecursionError("as NumPy does when its import was broken off") from None

cli.app = app
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_breaks_off_an_import_is_a_stop(number: signal.Signals) -> None:
    command = [sys.executable, "-c", HALF_IMPORTED.format(number=int(number))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == STOPS[number] and not ended.stderr, ended.stderr


LOST = """
import os, signal, sys, weakref
import lse_bench.cli.bar as bar

class Held: ...

real = bar.check
left = {count}
def counted():
    global left
    left -= 1
    if left == 0:  # the signal comes while an object dies: Python prints its exception and goes on
        hook = sys.unraisablehook
        sys.unraisablehook = lambda told: (print("LOST", file=sys.stderr), hook(told))
        held = Held()
        weakref.finalize(held, os.kill, os.getpid(), {number})
        del held
    real()
bar.check = counted
sys.argv = ["lse-bench", *sys.argv[1:]]
from lse_bench.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_python_loses_is_one_nevertheless(corpus: Path, tmp_path: Path, number: signal.Signals) -> None:
    score = ["score", corpus, "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--out", tmp_path / "run"]
    program = LOST.format(count=2, number=int(number))
    command = [sys.executable, "-c", program, *map(str, score)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == STOPS[number], ended.stderr
    assert "LOST" in ended.stderr, "the stop was not lost, and the test tests nothing"
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr
    assert "again to continue" in " ".join(ended.stderr.split())
