"""The house: quick imports, dependencies that point inwards, a wheel that holds the tree, a README that is true."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALLED = {"lse_bench": ROOT / "lse_bench"} | {
    f"lse_bench.{name}": ROOT / name for name in ("baselines", "data_manifests", "leaderboard")
}
HEAVY = ("torch", "numpy", "scipy", "cv2", "av", "pandas", "matplotlib", "torchvision")

# From the inside out; a module may import its own layer and those before it.
LAYERS = [
    {
        "errors",
        "choices",
        "collecting",
        "storage",
        "stored",
        "naming",
        "place",
        "plugins",
        "devices",
        "precision",
        "processor",
        "rates",
        "remote",
        "systems",
        "versions",
        "data_manifests",
        "__init__",
    },
    {"media"},
    {"workers"},
    {"execution"},
    {"features", "manifests", "weights", "faces", "reporting", "outside", "damage"},
    {"sync", "fidelity", "measures"},
    {"runs", "generators", "training", "minilrs"},
    {"tables"},
    {"study"},
    {"reliability"},
    {"tasks"},
    {"benchmark"},
    {"baselines", "leaderboard", "evaluation", "generation", "metrics", "callbacks", "demo", "doctor"},
    {"cli", "supervisor", "__main__"},
]


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.command
def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = run_python("import sys, lse_bench; dir(lse_bench); print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


@pytest.mark.command
@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["generate", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom lse_bench.cli import main\n"
        f"sys.argv = ['lse-bench', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('LOADED', *sys.modules)"
    )
    output = run_python(code)
    assert "score" in output
    assert not set(HEAVY) & set(output.split("LOADED")[1].split())


@pytest.mark.command
def test_scoring_imports_no_statistics_that_it_may_not_need() -> None:
    """These take a second together, which every short command would pay. The collector works again after the import."""
    code = (
        "import gc, sys\nfrom lse_bench.cli.console import ConsoleReport\n"
        "with ConsoleReport().importing():\n"
        "    assert not gc.isenabled()\n"
        "    import lse_bench.tasks.scoring\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000\nprint(*sys.modules)"
    )
    late = {"scipy.stats", "scipy.signal", "scipy.optimize", "scipy.ndimage", "matplotlib", "pandas"}
    assert not late & set(run_python(code).split())


def test_public_names_resolve() -> None:
    import lse_bench

    for name in lse_bench.__all__:
        assert getattr(lse_bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lse_bench.nothing  # noqa: B018


def layer_of(module: str) -> int:
    part = module.removeprefix("lse_bench").strip(".").split(".")[0] or "__init__"
    return next(number for number, names in enumerate(LAYERS) if part in names)


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lse_bench"):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("lse_bench")}
    return found


def test_dependencies_point_inwards() -> None:
    checked = 0
    for package, folder in INSTALLED.items():
        for path in folder.rglob("*.py"):
            name = ".".join([package, *path.relative_to(folder).with_suffix("").parts])
            if name == "lse_bench.__init__":  # its lazy names reach everywhere by design
                continue
            for target in imports_of(path):
                assert layer_of(target) <= layer_of(name), f"{name} imports {target}"
                checked += 1
    assert checked > 40


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it would be published, built from a clone."""
    tmp_path = tmp_path_factory.mktemp("wheel")
    source = tmp_path / "source"
    subprocess.run(
        ["git", "clone", "--quiet", "--no-local", str(ROOT), str(source)], check=True, env=os.environ | {"LC_ALL": "C"}
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    return built


@pytest.mark.command
def test_the_wheel_holds_the_tree(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=wheel.parent / "source", check=True, capture_output=True, text=True
    ).stdout
    tracked = listed.splitlines()
    expected = {name for name in tracked if name.startswith("lse_bench/")}
    expected |= {
        f"lse_bench/{name}" for name in tracked if name.startswith(("baselines/", "data_manifests/", "leaderboard/"))
    }
    expected -= {name for name in expected if name.startswith("lse_bench/leaderboard/results/")}  # the repository's own
    assert held == expected


def test_ci_runs_the_readmes_test_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()[-1]
    assert command == "python3 bootstrap.py tests"
    assert command in readme.splitlines()


def test_links_in_the_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


USER = """
import numpy as np
import lse_bench
from lse_bench.metrics import FrechetInceptionDistance, LipSync

scorer = lse_bench.SyncScorer.load("syncnet_v2", device="cuda", protocol="lrs-lossless@1")
score: lse_bench.LseScore = scorer.score("clip.mp4")
numbers: tuple[float, float, int, str] = (score.lse_d, score.lse_c, score.offset, score.signature)
frames, sound = np.zeros((30, 96, 96, 3), np.uint8), np.zeros(20_000, np.int16)
score = scorer.score_arrays(frames, sound, fps=25, sample_rate=16_000)
score = lse_bench.lse(np.zeros((9, 4)), np.zeros((9, 4)))
run: lse_bench.Run = lse_bench.evaluate("outputs/", originals="originals/", metrics=("lse", "fid"))
mean: float | None = run.lse_d.mean
interval: tuple[float, float] | None = run.lse_d.ci95
rows = run.to_frame()
other = lse_bench.read_run("runs/mine")
found: lse_bench.Comparison = lse_bench.compare(run, other)
made = lse_bench.generate("wav2lip", "pairs.json", out="videos", paste="feather")
LipSync(scorer).update([frames], [sound])
FrechetInceptionDistance().update(frames, real=True)
"""


@pytest.mark.slow
@pytest.mark.command
def test_a_users_program_is_checked_by_mypy(wheel: Path, tmp_path: Path) -> None:
    """Against the package as it is installed: every public name, typed."""
    pytest.importorskip("mypy")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "mine.py").write_text(USER)
    (tmp_path / "slip.py").write_text(USER.replace('protocol="lrs-lossless@1"', 'fps_policy="never"'))
    options = ["--strict", "--follow-imports", "silent", "--cache-dir", "cache"]
    command = [sys.executable, "-m", "mypy", *options, "mine.py", "slip.py"]
    checked = os.environ | {"MYPYPATH": str(tmp_path / "site")}
    ended = subprocess.run(command, cwd=tmp_path, env=checked, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "mine.py" not in ended.stdout, ended.stdout
    assert "slip.py" in ended.stdout and "fps_policy" in ended.stdout, "a slip is seen"
