"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.command]


def run(*command: object) -> str:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_arrays_are_scored(corpus: Path) -> None:
    clip = sorted(corpus.rglob("*.mp4"))[0]
    text = run(sys.executable, EXAMPLES / "score_arrays.py", clip)
    assert text.startswith("LSE-D ") and "offset +0 frames" in text and "lrs-lossless@1|syncnet-mini:" in text


def test_a_folder_becomes_a_data_frame_and_a_plot(corpus: Path, tmp_path: Path) -> None:
    text = run(sys.executable, EXAMPLES / "data_frame.py", corpus, tmp_path / "plot.png")
    assert "LSE-C" in text and text.count(" ok ") >= 4 and (tmp_path / "plot.png").stat().st_size > 1000


def test_two_processes_print_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it: other numbers of threads round otherwise
    alone = run(sys.executable, EXAMPLES / "torchmetrics_loop.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(EXAMPLES / "torchmetrics_loop.py")]
    # Not its exit status: gloo's threads sometimes abort a process of torch 2.14 that has done everything.
    both = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300).stdout.splitlines()
    assert both == [alone.strip()] * 2 and "scored 4.0000 failed 0.0000" in alone
