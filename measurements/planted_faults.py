"""Whether the tests see faults: one-line changes, one at a time, in a copy of the tree.

    python measurements/planted_faults.py [--out faults.json] [--only NUMBER ...]

Each fault is tried on the quick ring first, stopping at the first test that fails, and on the rest of the suite where
the quick ring finds nothing. The table says which test found it, and after how many seconds. An hour on two cores; a
stopped run goes on from its JSON file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
INSIDE = ("baselines", "data_manifests", "leaderboard")  # installed as parts of lse_bench

# File, the text of a line or a part of it that is there once, and what stands there instead.
FAULTS = (
    ("lse_bench/sync/distance.py", "offset=MAX_SHIFT - int(curve.argmin())", "offset=int(curve.argmin()) - MAX_SHIFT"),
    ("lse_bench/sync/distance.py", "float(np.median(curve) - curve.min())", "float(np.mean(curve) - curve.min())"),
    ("lse_bench/sync/distance.py", "difference = row + _EPS - sound", "difference = row - sound"),
    ("lse_bench/sync/distance.py", "(self._windows + position >= MAX_SHIFT)", "(self._windows + position > MAX_SHIFT)"),
    ("lse_bench/sync/clip_facts.py", "samples // SAMPLES_PER_FRAME) - SPARE)",
     "-(-samples // SAMPLES_PER_FRAME)) - SPARE)"),
    ("lse_bench/faces/crops.py", 'mode="constant", cval=0.0', 'mode="nearest"'),
    ("lse_bench/faces/crops.py", "int(y - half), int(x + low)", "int(y - low), int(x + low)"),
    ("lse_bench/faces/tracks.py", "number - chain[-1][0] > GAP", "number - chain[-1][0] >= GAP"),
    ("lse_bench/faces/tracks.py", "if len(chain) <= min_track:", "if len(chain) < min_track:"),
    ("lse_bench/features/mel.py", "2 * (len(sound) - 1) - at)", "2 * len(sound) - 1 - at)"),
    ("lse_bench/features/syncnet_mfcc.py", "before = 0.0 if self._last_sample is None else self._last_sample",
     "before = 0.0"),
    ("lse_bench/features/htk_mfcc.py", "* np.sqrt(2 / _FILTERS) / 2", "* np.sqrt(2 / _FILTERS)"),
    ("lse_bench/faces/face.py", "top - pads[0]", "top - pads[1]"),
    ("lse_bench/generators/boxes.py", "_NEW * box + (1 - _NEW) * mean", "mean + _NEW * box"),
    ("lse_bench/generators/paste.py", "under + mask[..., None] * (drawn", "under - mask[..., None] * (drawn"),
    ("lse_bench/generators/redraw.py", "passed += not located.seen", "passed += located.seen"),
    ("lse_bench/fidelity/frechet.py", "return self.scatter / (self.count - 1)", "return self.scatter / self.count"),
    ("lse_bench/fidelity/frechet.py", "difference * (self.count * other.count / count)",
     "difference * (self.count + other.count)"),
    ("lse_bench/fidelity/kid.py", "values = x @ y.T / dimensions + 1", "values = x @ y.T / dimensions"),
    ("lse_bench/runs/statistics.py", "min(1.0, (len(p_values) - rank) * p_values[place])",
     "min(1.0, len(p_values) * p_values[place])"),
    ("lse_bench/runs/statistics.py", "units / (units - 1))", "1.0)"),
    ("lse_bench/runs/summary.py", "pending=listed - columns.records", "pending=listed - len(columns.scored)"),
    ("lse_bench/training/split.py", 'validation = [clip for clip in clips if clip.split == "val"]',
     'validation = [clip for clip in clips if clip.split in ("val", "test")]'),
    ("lse_bench/training/steps.py", "loss / len(batches) if len(batches) > 1 else loss", "loss"),
    ("baselines/lipgan/keras_adam.py", "square.sqrt().add_(group[\"eps\"])",
     "square.sqrt().add_(group[\"eps\"] * (1 - second**count) ** 0.5)"),
)  # fmt: skip


def quick_ring() -> str:
    """The quick ring's marker expression, from noxfile.py."""
    found = re.search(r'^QUICK = "(.*)"$', (ROOT / "noxfile.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found is not None
    return found[1]


def copy_tree(folder: Path) -> Path:
    """What git tracks, and the package put together from it as it is installed."""
    tree, whole = folder / "main" / "tree", folder / "whole"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tree)], check=True)
    if (ROOT.parent / "shared").exists():
        (tree.parent / "shared").symlink_to(ROOT.parent / "shared")
    (whole / "lse_bench").mkdir(parents=True)
    for item in (tree / "lse_bench").iterdir():
        (whole / "lse_bench" / item.name).symlink_to(item)
    for name in INSIDE:
        (whole / "lse_bench" / name).symlink_to(tree / name)
    return tree


def run_pytest(tree: Path, whole: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests of the copy, on one thread a process."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(whole),
        "PYTHONSAFEPATH": "1",  # the copy's package, not the folder one stands in
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=tree, env=variables, capture_output=True, text=True, check=False)


def run_ring(tree: Path, whole: Path, ring: str, workers: int) -> tuple[str | None, float]:
    """The first test that fails in a ring, None when none does, and how many seconds it took."""
    began = time.monotonic()
    ended = run_pytest(tree, whole, "-n", str(workers), "--dist", "worksteal", "-m", ring)
    seconds = time.monotonic() - began
    if ended.returncode == 0:
        return None, seconds
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, flags=re.MULTILINE)
    return (found[1] if found else f"pytest ended with {ended.returncode}"), seconds


def fails_anyway(tree: Path, whole: Path, test: str) -> bool:
    """Whether a test fails without any fault: then it has found none."""
    return run_pytest(tree, whole, test).returncode != 0


def try_fault(number: int, tree: Path, whole: Path, workers: int) -> dict[str, Any]:
    """Plant a fault, run the rings, take it back. Raises RuntimeError for a test that fails without the fault too."""
    file, old, new = FAULTS[number]
    path = tree / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file}: {old!r} is there {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")
    row: dict[str, Any] = {"file": file, "old": old, "new": new, "ring": None, "test": None, "seconds": 0.0}
    try:
        for name, ring in (("quick", quick_ring()), ("whole", f"not ({quick_ring()})")):
            test, seconds = run_ring(tree, whole, ring, workers)
            row["seconds"] += seconds
            if test is not None:
                row |= {"ring": name, "test": test}
                break
    finally:
        path.write_text(text, encoding="utf-8")
    if row["test"] is not None and fails_anyway(tree, whole, row["test"]):
        raise RuntimeError(f"{row['test']} fails without the fault too, so it found nothing; mend it first")
    return row


def main() -> int:
    """Parse and run; 1 when a fault is not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("faults.json"))
    parser.add_argument("--only", type=int, nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    assert importlib.util.find_spec("xdist"), "pip install -e .[tests]"
    held: dict[str, dict[str, Any]] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        whole = Path(folder) / "whole"
        for number in arguments.only or range(len(FAULTS)):
            if str(number) not in held:
                held[str(number)] = try_fault(number, tree, whole, arguments.workers)
                arguments.out.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
            row = held[str(number)]
            print(f"{number:>2}  {row['ring'] or 'NOT FOUND':<9} {row['seconds']:>6.0f} s  {row['test'] or '-'}")
            print(f"    {row['file']}: {row['new']}", flush=True)
        shutil.rmtree(tree)
    rings = [row["ring"] for row in held.values()]
    print(
        f"{rings.count('quick')} by the quick ring, {rings.count('whole')} by the rest, {rings.count(None)} not found"
    )
    return int(None in rings)


if __name__ == "__main__":
    sys.exit(main())
