"""A step, a batch or batches on their way that do not fit: a sentence with the way out, not the system's kill."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lse_bench import processor
from lse_bench.errors import UsageError
from lse_bench.training.memory import refuse_small_shared_memory
from lse_bench.training.steps import is_full

MIB = 1 << 20


@pytest.mark.command
@pytest.mark.slow
def test_a_batch_that_does_not_fit(prepared_clips: Path, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "baselines" / "wav2lip" / "configs" / "wav2lip-l1-mini.toml"
    text = source.read_text().replace("batch = 4 ", "batch = 500 ")
    assert "batch = 500" in text
    (tmp_path / "large.toml").write_text(text)
    command = [sys.executable, "-m", "lse_bench", "train", "wav2lip", "--config", tmp_path / "large.toml"]
    command += ["--data", prepared_clips / "box", "--out", tmp_path / "run", "--device", "cpu", "--loaders", "0"]
    ended = subprocess.run(
        [*map(str, command), "--precision", "fp32"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # each thread has a stack
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2500 * MIB, 2500 * MIB)),
    )
    said = " ".join(ended.stderr.split())
    assert ended.returncode == 2, said
    assert "out of memory on cpu with a batch of 500. Close other programs on the device and continue" in said
    assert "start again with a smaller batch in the configuration" in said
    assert "Traceback" not in said


LIMITED = """
import resource
import torch
from lse_bench.training import memory
from lse_bench.training.steps import is_full

before = resource.getrlimit(resource.RLIMIT_DATA)
memory.available_memory = lambda: 64 << 20
try:
    with memory.limited_memory():
        torch.zeros(256 << 20)
except (RuntimeError, MemoryError) as error:
    print(is_full(error), resource.getrlimit(resource.RLIMIT_DATA) == before)
"""


def test_memory_is_limited_to_what_is_available() -> None:
    """In a process of its own: this one may hold a gigabyte that was freed and can be had again."""
    ended = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "True"], ended.stdout
    assert not is_full(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_what_is_available_is_the_least_of_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (groups / "job").mkdir(parents=True)
    monkeypatch.setattr(processor, "_PROC", proc)
    monkeypatch.setattr(processor, "_CGROUPS", groups)
    assert processor.available_memory() is None
    (proc / "meminfo").write_text("MemTotal: 4096 kB\nMemAvailable:    2048 kB\n")
    assert processor.available_memory() == 2 * MIB
    (proc / "self" / "cgroup").write_text("0::/job\n")
    (groups / "job" / "memory.max").write_text("max\n")
    assert processor.available_memory() == 2 * MIB
    (groups / "job" / "memory.max").write_text(f"{3 * MIB}\n")
    (groups / "job" / "memory.current").write_text(f"{2 * MIB}\n")
    (groups / "job" / "memory.stat").write_text(f"anon 5\nfile {MIB // 2}\n")
    assert processor.available_memory() == 3 * MIB // 2


@pytest.mark.parametrize(("free", "refused"), [(64 << 10, True), (64 * MIB, True), (200 * MIB, False)])
def test_little_shared_memory(monkeypatch: pytest.MonkeyPatch, free: int, refused: bool) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free >> 10, f_frsize=1 << 10))

    def make() -> dict[str, torch.Tensor]:
        return {"faces": torch.zeros(27 * MIB, dtype=torch.uint8)}

    if not refused:
        refuse_small_shared_memory(make, 2)
        return
    with pytest.raises(UsageError, match=r"2 loaders of batches of 28,311,552 bytes need 141,557,760.*--loaders 0"):
        refuse_small_shared_memory(make, 2)
