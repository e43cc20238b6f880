"""The script of docs/scale.md, run as Slurm would run it: a process for each task, with its environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import lse_bench_here

from lse_bench.runs.records import read_records

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


@pytest.mark.command
@pytest.mark.slow
def test_the_array_of_the_page_scores_every_clip_once(corpus: Path, tmp_path: Path) -> None:
    found = re.search(r"```bash\n(#!/bin/bash\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (first, last) = re.search(r"--array=(\d+)-(\d+)", found[1]).groups()  # type: ignore[union-attr]
    weights = "--weights syncnet-mini --protocol lrs-lossless"
    (tmp_path / "job.sh").write_text(found[1].replace("lse-bench score", f"lse-bench score {weights}"))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "lse-bench"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lse_bench "$@"\n')
    program.chmod(0o755)
    videos = sorted(corpus.rglob("*.mp4"))[:4]
    (tmp_path / "clips.csv").write_text("clip\n" + "".join(f"{path}\n" for path in videos))
    count = 2
    assert int(last) - int(first) + 1 == 8, "the page asks for eight tasks, and the test runs two"
    for task in range(int(first), int(first) + count):
        slurm = {
            "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_COUNT": str(count),
            "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        ended = subprocess.run(
            ["bash", "job.sh"], cwd=tmp_path, env=os.environ | slurm, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert f"this is part {task - int(first) + 1} of {count}" in ended.stderr
    parts = sorted((tmp_path / "runs" / "parts").iterdir())
    assert lse_bench_here("merge", *parts, "--out", tmp_path / "whole").returncode == 0
    assert len(read_records(tmp_path / "whole")) == len(videos)
