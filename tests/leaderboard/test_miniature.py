"""The committed miniature: what is shown follows from the committed records, and these from the committed weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib as mpl
import pytest
from conftest import once

from lse_bench.benchmark.config import read_config
from lse_bench.benchmark.plan import methods_of, steps_of
from lse_bench.leaderboard.build import build, find_entries
from lse_bench.leaderboard.submit import add, faults_of
from lse_bench.runs.agreement import disagreement
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import path_of
from lse_bench.weights.table import table

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "leaderboard" / "miniature.toml"
RESULTS = ROOT / "leaderboard" / "results" / "miniature"
PAGE = ROOT / "docs" / "miniature"


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `lse-bench leaderboard build leaderboard/results/miniature --card docs/reliability …` does."""

    def make(out: Path) -> None:
        build([str(RESULTS)], out, clips=1, title="The paper in miniature", card=ROOT / "docs" / "reliability")

    return once(tmp_path_factory, "miniature_page", make)


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)]


def words(text: str) -> str:
    return re.sub(r"-?\d+\.\d+(?:e-?\d+)?", "0", text)


def test_tables_follow_from_the_records(rebuilt: Path) -> None:
    names = {path.name for path in (PAGE / "tables").iterdir()}
    assert names == {"wide.csv", "long.csv", "tables.md", "tables.tex", "speakers.csv"}
    for name in names:
        ours, theirs = ((folder / "tables" / name).read_text() for folder in (rebuilt, PAGE))
        assert words(ours) == words(theirs), name
        assert disagreement(numbers(ours), numbers(theirs)) is None, name


def test_page_and_clips_follow_from_the_records(rebuilt: Path) -> None:
    contents = []
    for folder in (rebuilt, PAGE):
        text = (folder / "data.js").read_text()
        contents.append(json.loads(text.removeprefix("window.LSE_BENCH = ").removesuffix(";\n")))
    assert disagreement(contents[0], contents[1]) is None
    same = [path.relative_to(PAGE) for path in PAGE.rglob("*") if path.suffix in (".html", ".css", ".mp4")]
    assert len(same) > 12
    assert all((rebuilt / name).read_bytes() == (PAGE / name).read_bytes() for name in [*same, Path("page.js")])


def test_plots_follow_from_the_records(rebuilt: Path) -> None:
    plots = sorted((PAGE / "plots").glob("*.svg"))
    assert len(plots) >= 5
    assert [path.name for path in plots] == sorted(path.name for path in (rebuilt / "plots").glob("*.svg"))
    for path in plots:
        ours, theirs = (rebuilt / "plots" / path.name).read_text(), path.read_text()
        labels = [re.findall(r"<text[^>]*>([^<]*)</text>", text) for text in (ours, theirs)]
        assert labels[0] == labels[1]
        if f"v{mpl.__version__}," in theirs:  # another version may draw another line
            assert ours == theirs


def test_records_are_those_of_the_committed_config_and_weights() -> None:
    config = read_config(CONFIG)
    stored = json.loads((RESULTS / "bench.json").read_text())
    assert stored["config"] == config.model_dump(mode="json")
    digests = {step.label: step.digest for step in steps_of(config, CONFIG.parent, Path("/anywhere"))}
    assert {step["step"]: step["digest"] for step in stored["steps"]} == digests
    checkpoints = {method.name: str(method.options.get("weights", "")) for method in config.methods}
    entries = find_entries([str(RESULTS)])
    assert len(entries) == sum(len(methods_of(config, manifest, CONFIG.parent)) for manifest in config.manifests) == 31
    for entry in entries:
        assert entry.description.key["weights_sha256"] == table()["syncnet-mini"].sha256
        checkpoint = checkpoints[entry.method]
        expected = table()[checkpoint].sha256 if checkpoint else None
        assert entry.description.generation.key["weights_sha256"] == expected
        assert faults_of(entry) == []


def test_clips_with_their_own_sound_need_no_unsynced(tmp_path: Path) -> None:
    added = add([str(RESULTS)], tmp_path / "again")
    assert added["runs"] == 31
    config = read_config(CONFIG)
    left_out = {
        one.name for one in config.manifests if len(methods_of(config, one, CONFIG.parent)) < len(config.methods)
    }
    assert left_out == {"MiniLRS (lrs2), own sound"}


def test_the_networks_are_the_tables() -> None:
    minis = [item for item in table().values() if item.embedded]
    assert len(minis) == 9
    assert all(file_digest(path_of(item)) == item.sha256 for item in minis)
    assert sum(path_of(item).stat().st_size for item in minis) < 40e6


def test_the_readme_shows_this_table() -> None:
    first = (PAGE / "tables" / "tables.md").read_text().split("\n## ")[0]
    rows = [line for line in first.splitlines() if line.startswith("| ")]
    assert len(rows) == 9
    readme = (ROOT / "README.md").read_text()
    assert all(row in readme for row in rows)
