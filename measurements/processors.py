"""What of a result differs from processor to processor, and whether the tests' tolerances cover it.

    python measurements/processors.py tests [--work FOLDER] [--only NAME ...] [-- PYTEST OPTIONS]
    python measurements/processors.py results [--work FOLDER]

`tests` runs the tests that compare numbers under every setting below that this processor has. It prints the spread of
every compared number beside its tolerance, closest first, and fails where a tolerance is less than three times the
spread. 25 minutes on two cores. `results` makes a corpus, videos, scores and a few steps of training under every
setting, and prints what differs: the table of docs/precision.md. 8 minutes. What is there in FOLDER is kept.

Another processor is imitated by limiting the instruction sets of torch, oneDNN, NumPy, OpenCV and the C library.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lse_bench.processor import machine, usable_cores

ROOT = Path(__file__).parents[1]
NUMERIC = ("sync", "features", "fidelity", "faces", "baselines", "runs", "training")
WANTED = 3.0  # a tolerance in spreads
SHOWN = 40
_FLAG_OF = {"AVX512_CORE": "avx512f", "AVX2": "avx2", "SSE41": "sse4_1"}
Found = dict[str, NDArray[np.float64]]


def held_back() -> dict[str, dict[str, str]]:
    """Variables that hold each library to what a processor of 2010 knows."""
    line = cv2.getCPUFeaturesLine() if hasattr(cv2, "getCPUFeaturesLine") else ""
    numpy_core = getattr(np, "_core", None) or np.core
    opencv = ",".join(word.strip("*?") for word in line.split() if word.startswith("*AVX"))
    return {
        "torch": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
        "NumPy": {"NPY_DISABLE_CPU_FEATURES": " ".join(numpy_core._multiarray_umath.__cpu_dispatch__)},
        "OpenCV": {"OPENCV_CPU_DISABLE": opencv, "OPENCV_IPP": "sse42"},
        "glibc": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ"},
    }


def settings() -> dict[str, dict[str, str]]:
    """Environment variables by the setting's name; those that this processor has."""
    known = machine()["instruction_sets"]
    found = {f"{threads} threads": {"OMP_NUM_THREADS": str(threads)} for threads in (1, 2, 3)}
    for name, flag in _FLAG_OF.items():
        if flag in known:
            found[f"oneDNN {name}"] = {"ONEDNN_MAX_CPU_ISA": name, "OMP_NUM_THREADS": "1"}
    for name in ("avx2", "default"):
        if name == "default" or name in known:
            found[f"torch {name}"] = {"ATEN_CPU_CAPABILITY": name, "OMP_NUM_THREADS": "1"}
    everything = {name: value for held in held_back().values() for name, value in held.items()}
    return found | {"all of 2010": everything | {"OMP_NUM_THREADS": "1"}}


def single_libraries() -> dict[str, dict[str, str]]:
    """Settings in which one library is held back, to tell which of them moves something."""
    return {
        f"{name} of 2010": variables | {"OMP_NUM_THREADS": "1"}
        for name, variables in held_back().items()
        if name != "torch"
    }


def environment(setting: dict[str, str]) -> dict[str, str]:
    """This process's environment, with a setting and the plug-in's folder."""
    path = os.pathsep.join([str(ROOT / "measurements"), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, "OMP_WAIT_POLICY": "passive", **setting}


def run_tests(console: Console, work: Path, only: list[str], options: list[str]) -> int:
    """The numeric tests under every setting, then the table of spreads."""
    failed = []
    for name, setting in settings().items():
        if only and name not in only:
            continue
        folder = work / name.replace(" ", "-")
        if (folder / "ended").exists():
            continue
        workers = max(1, usable_cores() // int(setting["OMP_NUM_THREADS"]))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "spread_plugin", "-n", str(workers)]
        where = [] if any(option.startswith("tests") for option in options) else [f"tests/{part}" for part in NUMERIC]
        variables = environment(setting) | {"LSE_BENCH_SPREAD": str(folder)}
        ended = subprocess.run([*command, *options, *where], env=variables, cwd=ROOT, capture_output=True, text=True)
        lines = ended.stdout.splitlines()
        console.print(f"{name}: {lines[-1] if lines else ended.stderr[-300:]}", highlight=False)
        if ended.returncode:
            failed.append(name)
            told = [line for line in lines if line.startswith("FAILED")]
            console.print("\n".join(told), highlight=False, markup=False, soft_wrap=True)
        else:
            (folder / "ended").touch()
    return print_spreads(console, work) or bool(failed)


def print_spreads(console: Console, work: Path) -> int:
    """The closest comparisons; 1 where a tolerance is too narrow."""
    runs = {folder.name: read_run(folder) for folder in sorted(work.iterdir()) if folder.is_dir()}
    rows = []
    for key in sorted(set.union(*(set(run) for run in runs.values()))):
        stacked = [run[key] for run in runs.values() if key in run]
        if len(stacked) < 2 or len({one.shape for one in stacked}) > 1:
            continue
        values = np.stack([one[0] for one in stacked])  # found - wanted, since both may be computed
        tolerance = np.max([one[1] for one in stacked], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.nan_to_num(np.ptp(values, axis=0))  # NaN where both are
            ratios = np.where(spread > 0, tolerance / spread, np.inf)
        if ratios.size:
            worst = int(np.argmin(ratios))
            rows.append((float(ratios[worst]), key, float(spread[worst]), float(tolerance[worst]), ratios.size))
    moving = sorted(row for row in rows if np.isfinite(row[0]))
    table = Table("test", "numbers", "spread", "tolerance", "tolerance / spread", box=None)
    for ratio, key, spread, tolerance, count in moving[:SHOWN]:
        table.add_row(escape(key.replace("|", "/")), str(count), f"{spread:.1e}", f"{tolerance:.1e}", f"{ratio:.1f}")
    console.print(table)
    narrow = [row for row in moving if row[0] < WANTED]
    console.print(
        f"{len(rows)} comparisons of {sum(row[4] for row in rows):,} numbers under {len(runs)} settings: "
        f"{len(rows) - len(moving)} never move, {len(narrow)} have a tolerance of less than {WANTED:g} spreads"
    )
    return int(bool(narrow))


def read_run(folder: Path) -> Found:
    """What the plug-in kept in one run of the tests."""
    found: Found = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as kept:
            found |= {name: kept[name] for name in kept.files}
    return found


def run_results(console: Console, work: Path) -> int:
    """Results under every setting, then what differs."""
    import processor_results

    shared = work / "shared"
    names = []
    for name, setting in (settings() | single_libraries()).items():
        out = work / f"{name.replace(' ', '-')}.npz"
        names.append(name)
        if not out.exists():
            program = str(Path(processor_results.__file__))
            subprocess.run([sys.executable, program, str(shared), str(out)], check=True, env=environment(setting))
            console.print(f"{name}: done", highlight=False)
    held = {}
    for name in names:
        with np.load(work / f"{name.replace(' ', '-')}.npz") as kept:
            held[name] = {key: kept[key] for key in kept.files}
    table = Table("what", *names, box=None)
    rows: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for what, told in processor_results.differences(held[names[0]], held[name]).items():
            rows[what].append(told)
    for what, cells in rows.items():
        table.add_row(what, *cells)
    console.print(table)
    with (work / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["what", *names], *([what, *cells] for what, cells in rows.items())])
    return 0


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("tests", "results"))
    parser.add_argument("--work", type=Path, help="Folder for what is found; a temporary one by default.")
    parser.add_argument("--only", nargs="*", default=[], help="Names of settings.")
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    arguments: Any = parser.parse_args(given[:end])
    options = given[end + 1 :]  # of pytest
    console = Console(width=200)
    about = machine()
    console.print(f"{about['processor']}: {', '.join(about['instruction_sets'])}; {about['cores']} cores")
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        if arguments.part == "tests":
            return int(run_tests(console, work, arguments.only, options))
        return run_results(console, work)


if __name__ == "__main__":
    sys.exit(main())
