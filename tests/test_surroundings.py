"""Terminals, homes and options that are not as usual: a sentence, or other letters, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import clips
import pytest
import torch
from commands import lse_bench_here

from lse_bench.errors import UsageError, WeightsError
from lse_bench.runs.shards import Shard
from lse_bench.sync.scorer import SyncScorer
from lse_bench.training.loop import refuse_to_overwrite
from lse_bench.weights.readers import read_torch


@pytest.mark.command
@pytest.mark.parametrize("changes", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"},
                                     {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])  # fmt: skip
def test_a_terminal_without_our_letters(tmp_path: Path, changes: dict[str, str]) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9 \xe2\x86\x92.mp4")
    clips.good(odd)
    score = [
        "score",
        str(odd),
        "--weights",
        "syncnet-mini",
        "--out",
        str(tmp_path / "run"),
        "--protocol",
        "lrs-lossless",
    ]
    for arguments in (["--help"], ["generate", "--list"] if "LC_ALL" in changes else score):
        command = [sys.executable, "-m", "lse_bench", *arguments]
        ended = subprocess.run(command, capture_output=True, check=False, env={**os.environ, **changes})
        assert ended.returncode == 0 and b"Traceback" not in ended.stderr, ended.stderr


@pytest.mark.parametrize("text", ["²/4", "1/²", "0/4", "5/4", "1/" + "9" * 5000, "a", "1/4/2", "-1/4"])
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="a shard is written i/n"):
        Shard.parse(text, {})


def test_batches_have_a_bound(narrow: Path) -> None:
    with pytest.raises(UsageError, match="batch size 1,000,000,000: at most 4,096 windows fit"):
        SyncScorer.load(narrow, protocol="lrs-lossless", batch_size=1_000_000_000)


@pytest.mark.parametrize("kind", [torch.bool, torch.complex64])
def test_weights_are_real_numbers(tmp_path: Path, kind: torch.dtype) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2, dtype=kind)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=f"fc.bias has the type {str(kind).removeprefix('torch.')}"):
        read_torch(tmp_path / "w.pth")


def test_weights_are_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pth")
    for path in (tmp_path / "w.pth", Path("/dev/zero")):
        with pytest.raises(WeightsError, match="not a regular file"):
            read_torch(path)


def test_there_must_be_something_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no training run to resume; leave out --resume"):
        refuse_to_overwrite(tmp_path, resume=True)


def test_a_benchmark_with_a_wrong_value_names_it(tmp_path: Path) -> None:
    cases = {
        'minilrs = { speakers = "many" }': "speakers",
        "x = " + "[" * 5000: "nested too deep",
        "a = " + "1" * 5000: "limit",
    }
    for number, (line, words) in enumerate(cases.items()):
        path = tmp_path / f"{number}.toml"
        head = f'name = "x"\n[[manifests]]\nname = "m"\n{line}\nbuild = {{ pairs = 2 }}\n'
        rest = '[[methods]]\nname = "w"\ngenerator = "wav2lip"\n[[protocols]]\nprotocol = "lrs@1"\n'
        path.write_text(head + rest)
        ended = lse_bench_here("benchmark", path, "--dry-run")
        assert ended.returncode == 2 and words in ended.stderr, ended.stderr
