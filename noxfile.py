"""Sessions: demo, tests, lint, types, bench, precision, quality, miniature.

All share one environment, .venv: torch is installed once.

Set LSE_BENCH_PYTHON to an interpreter that has everything (`pip install -e .[dev]`) to use it instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
VENV = ROOT / ".venv"


def python(session: nox.Session) -> str:
    """The shared environment's interpreter; installs the project on first use and when pyproject.toml has changed."""
    if chosen := os.environ.get("LSE_BENCH_PYTHON"):
        return chosen
    interpreter = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = VENV / "installed"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not interpreter.exists():
        session.run(sys.executable, "-m", "virtualenv", "--quiet", str(VENV), external=True)
    if not stamp.exists() or stamp.read_text() != wanted:
        session.log("installing torch and the rest into .venv; the first time this takes a few minutes")
        session.run(str(interpreter), "-m", "pip", "install", "--editable", f"{ROOT}[dev]", external=True, silent=True)
        stamp.write_text(wanted)
    return str(interpreter)


@nox.session
def demo(session: nox.Session) -> None:
    """Make talking faces, spoil them in known ways, score them, write a report."""
    session.run(python(session), "-m", "lse_bench", "demo", *session.posargs, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    session.run(python(session), "-m", "pytest", *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely bugs."""
    interpreter = python(session)
    session.run(interpreter, "-m", "ruff", "check", ".", external=True)
    session.run(interpreter, "-m", "ruff", "format", "--check", ".", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Type hints, of the package as it is installed: with the folders that lie beside it."""
    interpreter = python(session)
    whole = ROOT / ".nox" / "types" / "lse_bench"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir(parents=True)
    for item in (ROOT / "lse_bench").iterdir():
        (whole / item.name).symlink_to(item)
    for beside in ("baselines", "data_manifests", "leaderboard"):
        (whole / beside).symlink_to(ROOT / beside)
    session.chdir(whole.parent)
    session.run(interpreter, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Speed and memory, ours beside the original's; some twenty-five minutes."""
    interpreter = python(session)
    session.run(interpreter, "benchmarks/bench_lse.py", *session.posargs, external=True)
    session.run(interpreter, "benchmarks/bench_tracked.py", external=True)
    session.run(interpreter, "benchmarks/bench_generate.py", external=True)
    session.run(interpreter, "benchmarks/bench_fid.py", external=True)
    session.run(interpreter, "benchmarks/bench_minilrs.py", external=True)
    session.run(interpreter, "benchmarks/bench_training.py", external=True)
    session.run(interpreter, "benchmarks/bench_leaderboard.py", external=True)


@nox.session
def miniature(session: nox.Session) -> None:
    """Train every method on MiniLRS and evaluate it: `-- --work FOLDER`; some two hours."""
    session.run(python(session), "benchmarks/miniature.py", *session.posargs, external=True)


@nox.session
def precision(session: nox.Session) -> None:
    """Each step's error against the reference: the table of docs/precision.md."""
    session.run(python(session), "benchmarks/precision.py", external=True)
    session.run(python(session), "benchmarks/precision_baselines.py", external=True)


@nox.session
def quality(session: nox.Session) -> None:
    """How good syncnet-mini, or the weights named after --, is on unseen clips; some fifteen minutes."""
    session.run(python(session), "benchmarks/face_detection.py", external=True)
    session.run(python(session), "benchmarks/talking_face.py", external=True)
    session.run(python(session), "benchmarks/unsynced.py", external=True)
    session.run(python(session), "benchmarks/coverage.py", external=True)
    session.run(python(session), "benchmarks/syncnet_quality.py", *session.posargs, external=True)
