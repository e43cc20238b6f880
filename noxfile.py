"""Sessions: demo, quick, tests, lint, types, docs, oldest, newest, lock, and measurements: bench, precision,
processors, decoding, campaign, libraries, faults, gpu, quality, measures, offsets, studies, miniature.

`python3 bootstrap.py SESSION` runs one on a machine that has only Python. `nox -s SESSION` does the same beside an
installed `nox[uv]`.

All but `oldest`, `newest` and `libraries` share one environment, `.venv`, made from `requirements/dev.lock`. Set
LSE_BENCH_PYTHON to an interpreter that has everything (`pip install -e .[dev]`) to use it instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))
from lse_bench.processor import usable_cores

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")
QUICK = "not slow and not command and not browser and not network"
MOST_WORKERS = 8  # each takes up to 2 GB

# Nothing is written outside this folder but caches, and the user's own plot settings change no plot.
os.environ["MPLCONFIGDIR"] = str(ROOT / ".nox" / "matplotlib")


def python(session: nox.Session) -> str:
    """The shared environment's interpreter; it is made on first use and brought up to date when a lock has changed."""
    if chosen := os.environ.get("LSE_BENCH_PYTHON"):
        return chosen
    interpreter = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = VENV / "installed"
    lock = REQUIREMENTS / "dev.lock"
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + lock.read_bytes()).hexdigest()
    made_with = f"{sys.version} {ROOT}"
    there = stamp.read_text(encoding="utf-8").rsplit(" ", 1) if stamp.exists() and interpreter.exists() else [""]
    if there[0] != made_with:  # of another Python, of a clone that was moved, or broken off
        shutil.rmtree(VENV, ignore_errors=True)
        # Not venv: it carries a pip of its own, which Debian's Python lacks.
        make = (sys.executable, "-m", "virtualenv", "--quiet", "--no-periodic-update", "--python", sys.executable)
        session.run(*make, str(VENV), external=True)
    if there != [made_with, digest]:
        session.log("installing torch and the rest into .venv; the first time this takes a few minutes")
        stamp.unlink(missing_ok=True)
        install = ("pip", "install", "--python", str(interpreter))
        uv(session, *install, "--require-hashes", "--requirement", str(lock))
        uv(session, *install, "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT))
        stamp.write_text(f"{made_with} {digest}", encoding="utf-8")
    return str(interpreter)


@nox.session
def demo(session: nox.Session) -> None:
    """Make talking faces, spoil them in known ways, score them, write a report."""
    session.run(python(session), "-m", "lse_bench", "demo", *session.posargs, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    run_tests(session, python(session))


@nox.session
def quick(session: nox.Session) -> None:
    """Run the fast ring: no test that is slow, starts a program, or needs a browser or a server."""
    run_tests(session, python(session), "-m", QUICK)


@nox.session
@nox.parametrize("version", PYTHONS)
def oldest(session: nox.Session, version: str) -> None:
    """Run the tests with the lowest versions that pyproject.toml allows, on each Python that is here."""
    interpreter = fresh(session, "oldest", version)
    pinned = ("--require-hashes", "--only-binary", ":all:", "-r", str(REQUIREMENTS / "oldest.lock"))
    uv(session, "pip", "install", "--python", interpreter, *pinned)
    uv(session, "pip", "install", "--python", interpreter, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    run_tests(session, interpreter)


@nox.session
@nox.parametrize("version", PYTHONS)
def newest(session: nox.Session, version: str) -> None:
    """Run the tests with what is newest today within the ranges of pyproject.toml, on each Python that is here."""
    interpreter = fresh(session, "newest", version)
    uv(session, "pip", "install", "--python", interpreter, "--upgrade", "-e", f"{ROOT}[tests]")
    run_tests(session, interpreter)


def run_tests(session: nox.Session, interpreter: str, *options: str) -> None:
    """One process of pytest for each usable core, which share torch's threads. On 2 cores the whole suite takes
    15 to 20 minutes. A process that is done takes work of the other (worksteal), since tests differ in length by a
    thousand.
    """
    workers = min(usable_cores(), MOST_WORKERS)
    share = {"OMP_NUM_THREADS": str(max(1, usable_cores() // workers)), "OMP_WAIT_POLICY": "passive"}
    spread = ("--numprocesses", str(workers), "--dist", "worksteal")
    given = {name: value for name, value in share.items() if name not in os.environ}
    kept = {"PYTHONDONTWRITEBYTECODE": ""}  # commands start some thousand times
    session.run(interpreter, "-m", "pytest", *spread, *options, *session.posargs, external=True, env=given | kept)


def fresh(session: nox.Session, name: str, version: str) -> str:
    """The interpreter of a new environment with this Python, at `.nox/NAME-VERSION`; skips where there is none."""
    folder = ROOT / ".nox" / f"{name}-{version}"
    found = interpreter_of(version)
    if found is None:
        session.skip(f"no Python {version} on this machine")
    uv(session, "venv", "--quiet", "--clear", "--no-project", "--python", found, str(folder))
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def interpreter_of(version: str) -> str | None:
    """A Python of this version that runs: on the PATH, or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))]
    for candidate in filter(None, candidates):
        # pyenv's stand-ins on the PATH fail for versions that are not switched on.
        if subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return candidate
    return None


def uv(session: nox.Session, *arguments: str) -> None:
    """Run uv, which bootstrap.py installs beside nox."""
    session.run(sys.executable, "-m", "uv", *arguments, external=True, env={"UV_PYTHON_DOWNLOADS": "never"})


@nox.session
def lock(session: nox.Session) -> None:
    """Renew the locks in requirements/: what is newest today for all, the lowest allowed versions for `oldest`."""
    names = {
        "bootstrap.lock": [str(REQUIREMENTS / "bootstrap.in")],
        "dev.lock": ["pyproject.toml", "--extra", "dev"],
        "oldest.lock": ["pyproject.toml", "--extra", "tests", "--resolution", "lowest-direct"],
    }
    for name, what in names.items():
        options = ("--universal", "--python-version", PYTHONS[0], "--generate-hashes", "--no-header", "--no-annotate")
        out = ("--upgrade", "--quiet", "--output-file", str(REQUIREMENTS / name))
        uv(session, "pip", "compile", *what, *options, *out, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely bugs."""
    interpreter = python(session)
    session.run(interpreter, "-m", "ruff", "check", ".", external=True)
    session.run(interpreter, "-m", "ruff", "format", "--check", ".", external=True)
    session.run(str(Path(interpreter).with_name("typos")), external=True)


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
    """Speed and memory, ours beside the original's; 25 to 45 minutes. `-- FILE` names the file of figures."""
    interpreter = python(session)
    kept = Path(session.posargs[0]) if session.posargs else ROOT / "build" / "bench.json"
    for name in ("lse", "tracked", "generate", "fid", "sound", "minilrs", "training", "leaderboard"):
        program = f"measurements.speed.{name}"
        session.run(interpreter, "-m", program, external=True, env={"LSE_BENCH_FIGURES": str(kept.absolute())})
    session.run(interpreter, "-m", "measurements.speed.figures", str(kept), external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation as a site in build/docs; a warning is an error."""
    site = str(ROOT / "build" / "docs")
    session.run(python(session), "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", site, external=True)


@nox.session
def miniature(session: nox.Session) -> None:
    """Train every method on MiniLRS and evaluate it: `-- --work FOLDER`; some two hours."""
    session.run(python(session), "-m", "measurements.quality.miniature", *session.posargs, external=True)


@nox.session
def precision(session: nox.Session) -> None:
    """Each step's error against the reference: the table of docs/precision.md."""
    session.run(python(session), "-m", "measurements.precision.scorer", external=True)
    session.run(python(session), "-m", "measurements.precision.baselines", external=True)


@nox.session
def processors(session: nox.Session) -> None:
    """Whether numbers and tolerances hold under every instruction set and number of threads; some forty minutes."""
    interpreter = python(session)
    session.run(interpreter, "measurements/processors.py", "tests", *session.posargs, external=True)
    session.run(interpreter, "measurements/processors.py", "results", external=True)


@nox.session
def decoding(session: nox.Session) -> None:
    """Our decoding beside the ffmpeg programs of this machine, for clips of every kind; two minutes."""
    session.run(python(session), "-m", "measurements.precision.decoding", *session.posargs, external=True)


@nox.session
def campaign(session: nox.Session) -> None:
    """Damaged clips, signals, hostile files, odd surroundings: what hangs, is lost or wrong; an hour."""
    session.run(python(session), "measurements/campaign", *session.posargs, external=True)


@nox.session
def faults(session: nox.Session) -> None:
    """Which tests find planted faults; an hour."""
    session.run(python(session), "measurements/planted_faults.py", *session.posargs, external=True)


@nox.session
def gpu(session: nox.Session) -> None:
    """The networks and a step of every trainer on this machine's device."""
    session.run(python(session), "measurements/gpu", *session.posargs, external=True)


@nox.session
def libraries(session: nox.Session) -> None:
    """Whether scores move with the versions of FFmpeg and OpenCV: one set of clips in four environments."""
    program, folder = "measurements/precision/libraries.py", ROOT / ".nox" / "libraries-files"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    interpreter = fresh(session, "libraries", "3.12")
    changes = {
        "a-newest": ("--upgrade", "-e", f"{ROOT}[tests]"),
        "b-ffmpeg-8": ("av<19",),
        "c-opencv-4.12": ("opencv-python==4.12.0.88", "numpy<2.3"),
        "d-opencv-4.9": ("opencv-python==4.9.0.80", "numpy<2", "scipy<1.14"),
    }
    for name, change in changes.items():
        uv(session, "pip", "install", "--python", interpreter, *change)
        if not (folder / "clips").exists():
            session.run(interpreter, program, "make", str(folder), external=True)
        session.run(interpreter, program, "measure", str(folder), name, external=True)
    session.run(interpreter, program, "compare", str(folder), external=True)


@nox.session
def offsets(session: nox.Session) -> None:
    """Delays, drifts, splices and sounds of other files that were planted, and what is found; some two hours."""
    for name, *options in (
        ("offsets",),
        ("offsets", "--fix"),
        ("timelines",),
        ("timelines", "--search"),
        ("timelines", "--memory"),
        ("other_sounds",),
    ):
        session.run(python(session), "-m", f"measurements.quality.{name}", *options, external=True)


@nox.session
def studies(session: nox.Session) -> None:
    """Studies with simulated raters: cover of intervals, checks of careless raters, 200 at once; some eight minutes."""
    for name in ("quality.votes", "quality.careless", "scale.raters"):
        session.run(python(session), "-m", f"measurements.{name}", external=True)


@nox.session
def measures(session: nox.Session) -> None:
    """What measures beside LSE see and cost: landmarks, planted faults, FID (mini), one pass; some thirty minutes.

    It needs `lse-bench weights fetch facemesh silero_vad`.
    """
    for name in ("quality.landmarks", "quality.fault_matrix", "quality.inception_mini", "speed.measures"):
        session.run(python(session), "-m", f"measurements.{name}", external=True)


@nox.session
def quality(session: nox.Session) -> None:
    """How good syncnet-mini, or the weights named after --, is on unseen clips; some fifteen minutes."""
    session.run(python(session), "-m", "measurements.quality.face_detection", external=True)
    session.run(python(session), "-m", "measurements.quality.talking_face", external=True)
    session.run(python(session), "-m", "measurements.quality.unsynced", external=True)
    session.run(python(session), "-m", "measurements.quality.coverage", external=True)
    session.run(python(session), "-m", "measurements.quality.syncnet_quality", *session.posargs, external=True)
