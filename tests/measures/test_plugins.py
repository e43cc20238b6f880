"""The measures of docs/add-a-measure.md, installed as a package of its own, and broken ones beside them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from clips import good
from commands import with_path

from lse_bench.runs.read import read_run

ROOT = Path(__file__).parents[2]
BROKEN = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "lse-bench-broken"
version = "1.0"

[project.entry-points."lse_bench.measures"]
nothing = "a_module_that_nobody_has:Nothing"
number = "math:pi"
psnr = "math:pi"
hungry = "hungry:Hungry"
lost = "hungry:Lost"

[tool.setuptools]
py-modules = ["hungry"]
"""
HUNGRY = """
import numpy as np

from lse_bench.measures.interface import Features, Measure, SetMeasure, SetMeter

class Lost(SetMeasure):
    "Fails at the end of all work."
    name = "lost"

    def start(self, clip):
        return Nothing()

    def combine(self, clips):
        return 1 / 0

class Nothing(SetMeter):
    def finish(self):
        return Features(np.ones((1, 1)), np.ones((0, 1)))

class Hungry(Measure):
    "Needs what nobody provides."
    name = "hungry"
    needs = frozenset({"frames", "smell"})

    def start(self, clip):
        return None
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measure-plugins")
    document = (ROOT / "docs" / "add-a-measure.md").read_text(encoding="utf-8")
    written, broken = folder / "document", folder / "broken"
    written.mkdir()
    broken.mkdir()
    of_clips, project, of_sets = re.findall(r"```(?:python|toml)\n(.*?)```", document, flags=re.DOTALL)
    line, modules = 'brightness = "brightness:Brightness"', 'py-modules = ["brightness"]'
    assert line in project and modules in project
    project = project.replace(line, f'{line}\nvariety = "variety:Variety"')
    project = project.replace(modules, 'py-modules = ["brightness", "variety"]')
    for file, text in (("brightness.py", of_clips), ("variety.py", of_sets), ("pyproject.toml", project)):
        (written / file).write_text(text)
        assert len(text.splitlines()) <= 40
    (broken / "pyproject.toml").write_text(BROKEN)
    (broken / "hungry.py").write_text(HUNGRY)
    venv.create(folder / "venv", with_pip=False)
    there = next((folder / "venv" / "lib").glob("python*/site-packages"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    for package in (written, broken):
        subprocess.run([*install, "--target", there, package], check=True, capture_output=True)
    return there


def with_plugins(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lse_bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=with_path(site), check=False)


@pytest.mark.command
def test_the_measures_of_the_document_are_listed_run_ranked_and_plotted(
    site: Path, narrow: Path, tmp_path: Path
) -> None:
    listed = with_plugins(site, "measures", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["brightness"]["package"] == "lse-bench-brightness" and rows["brightness"]["broken"] is None
    assert "a_module_that_nobody_has" in rows["nothing"]["broken"] and "is no Measure" in rows["number"]["broken"]
    assert rows["psnr"]["package"] == "lse-bench" and "is no Measure" in rows["psnr@lse-bench-broken"]["broken"]
    for n in range(3):
        good(tmp_path / "ours" / f"c{n}.mp4", seed=n)
    words = ("score", tmp_path / "ours", "--originals", tmp_path / "ours", "--weights", narrow)
    run = tmp_path / "run"
    ended = with_plugins(site, *words, "--measures", "brightness,ssim,variety,lost", "--out", run)
    assert ended.returncode == 0, ended.stderr
    assert [record.measures["brightness"] for record in read_run(run).records] == [1.0] * 3
    assert read_run(run).description.measures["brightness"].id == "brightness@1:region=frame"
    assert read_run(run).summary.metrics["variety"].mean == 1 and read_run(run).summary.metrics["variety"].n == 3
    assert "lost has no value: ZeroDivisionError" in " ".join(ended.stderr.split())
    built = with_plugins(site, "leaderboard", "build", f"ours={run}", "--out", tmp_path / "page", "--clips", 0)
    assert built.returncode == 0, built.stderr
    assert "| brightness | ssim ↑ | rank ssim | variety |" in (tmp_path / "page" / "tables" / "tables.md").read_text()
    for name, told in (("nothing", "is broken"), ("hungry", "needs smell")):
        ended = with_plugins(site, *words, "--measures", name, "--out", tmp_path / name)
        assert ended.returncode == 2 and told in " ".join(ended.stderr.split()), ended.stderr
