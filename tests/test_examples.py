"""The examples run as they stand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.command]


def run(*command: object, cwd: Path | None = None) -> str:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300, cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_arrays_are_scored(corpus: Path) -> None:
    clip = sorted(corpus.rglob("*.mp4"))[0]
    text = run(sys.executable, EXAMPLES / "score_arrays.py", clip)
    assert text.startswith("LSE-D ") and "offset +0 frames" in text and "lrs-lossless@1|syncnet-mini:" in text


def test_a_folder_becomes_a_data_frame_and_a_plot(corpus: Path, tmp_path: Path) -> None:
    text = run(sys.executable, EXAMPLES / "data_frame.py", corpus, tmp_path / "plot.png")
    assert "LSE-C" in text and text.count(" ok ") >= 4 and (tmp_path / "plot.png").stat().st_size > 1000


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    cells = json.loads((EXAMPLES / "first_scores.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells), "stored outputs would grow old"
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    # `make_corpus` starts processes, which import the program's file: so it needs a main guard.
    body = "".join(f"    {line}\n" for line in source.splitlines())
    (tmp_path / "notebook.py").write_text(f"if __name__ == '__main__':\n{body}")
    text = run(sys.executable, tmp_path / "notebook.py", cwd=tmp_path)
    assert "real lse_d" in text and "unsynced lse_c" in text and "lrs-lossless@1|syncnet-mini:" in text
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_two_processes_print_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it: other numbers of threads round otherwise
    alone = run(sys.executable, EXAMPLES / "torchmetrics_loop.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(EXAMPLES / "torchmetrics_loop.py")]
    # Not its exit status: gloo's threads sometimes abort a process of torch 2.14 that has done everything.
    both = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300).stdout.splitlines()
    assert both == [alone.strip()] * 2 and "scored 4.0000 failed 0.0000" in alone
