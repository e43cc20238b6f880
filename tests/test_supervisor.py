"""A clip that kills the process is a row; a stop, and a kill from outside, cost no clip."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import clips
import pytest
from commands import with_path

pytestmark = pytest.mark.command

# What a decoder does with some files: PyAV is real, the deaths are ours.
DEADLY = """
import os, signal, sys
import av
real = av.open
def open(path, *arguments, **options):
    name = str(path)
    if "abort" in name:
        os.abort()
    if "segfault" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "sometimes" in name and "lse_bench.media.alone" not in sys.orig_argv:
        os.kill(os.getpid(), signal.SIGBUS)
    return real(path, *arguments, **options)
av.open = open
"""


def lse_bench(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(DEADLY)
    command = [sys.executable, "-m", "lse_bench", *map(str, arguments)]
    environment = with_path(folder / "site")
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


def test_clips_that_kill_the_process_are_rows(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a", "b_abort", "c", "d_segfault", "e_sometimes", "f"):
        clips.good(data / f"{name}.mp4")
    score = ["score", data, "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--out", tmp_path / "run"]
    ended = lse_bench(tmp_path, *score, "--max-failed", 3, "--json")
    assert ended.returncode == 0, ended.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    assert {row["id"]: row["status"] for row in rows} == {
        "a": "ok", "b_abort": "error", "c": "ok", "d_segfault": "error", "e_sometimes": "error", "f": "ok"
    }  # fmt: skip
    told = {row["id"]: str(row["reason"]) for row in rows}
    assert "reading it kills the process (SIGABRT)" in told["b_abort"]
    assert "reading it kills the process (SIGSEGV)" in told["d_segfault"]
    assert "the only open file at 3 crashes of the command (SIGBUS)" in told["e_sometimes"]
    assert json.loads(ended.stdout)["scored"] == 3


def test_a_worker_that_dies_costs_its_clip_only(corpus: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(corpus, tmp_path / "lrs2")
    first = (tmp_path / "lrs2" / "test.txt").read_text().split()[0]
    clip = tmp_path / "lrs2" / "mvlrs_v1" / "main" / f"{first}.mp4"
    clip.rename(clip.with_name("abort.mp4"))
    truth = tmp_path / "lrs2" / "minilrs" / "truth" / "mvlrs_v1" / "main" / f"{first}.npz"
    truth.rename(truth.with_name("abort.npz"))
    for split in ("train", "val", "test"):
        path = tmp_path / "lrs2" / f"{split}.txt"
        path.write_text(path.read_text().replace(first, f"{first.split('/')[0]}/abort"))
    boxes = ["--boxes", tmp_path / "lrs2" / "minilrs" / "truth" / "mvlrs_v1" / "main", "--detector", "boxes"]
    ended = lse_bench(tmp_path, "prepare", tmp_path / "lrs2", *boxes, "--devices", "cpu:2", "--out",
                      tmp_path / "out")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    problems = json.loads((tmp_path / "out" / "prepared.json").read_text())["problems"]
    assert list(problems) == [f"{first.split('/')[0]}/abort"]
    assert "ended 3 worker processes in which it was alone, the last one by SIGABRT" in next(iter(problems.values()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_to_the_supervisor_reach_the_command(tmp_path: Path, number: signal.Signals) -> None:
    """Whatever ends the supervisor ends the command: both hold its output, and that ends."""
    os.mkfifo(tmp_path / "wait")
    waiting = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL); open({str(tmp_path / 'wait')!r}).read()"
    clips.good(tmp_path / "a.mp4")
    manifest = {"schema": 1, "name": "x", "corpus": "folder", "root": str(tmp_path),
                "jobs": [{"id": "a", "video": "a.mp4", "sound": "a.mp4"}]}  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    (tmp_path / "wait.py").write_text(waiting)
    line = f'"{sys.executable}" "{tmp_path / "wait.py"}" {{output}}'
    command = [sys.executable, "-m", "lse_bench", "generate", "command", "--command", line, "--manifest",
               str(tmp_path / "m.json"), "--out", str(tmp_path / "out")]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as process:
        with (tmp_path / "wait").open("w"):  # opens when the program reads: the command is at work
            process.send_signal(number)
            if number != signal.SIGKILL:
                assert process.stderr is not None
                assert "again to continue" in " ".join(process.stderr.read().split())
        assert process.stderr is not None
        process.stderr.read()  # to the end: nobody holds it any more
        assert process.wait() == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number]
