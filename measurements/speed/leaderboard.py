"""How long the leaderboard takes at the size of two published lists: 28,000 pairs.

Run: python -m measurements.speed.leaderboard; half a minute. Printed: seconds to read and summarise a run directory
of 28,000 records, to build tables, plots and page of three such runs, and for the page to open in Chromium.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from lse_bench.leaderboard.build import build
from lse_bench.runs.directory import read_description, write_summary
from lse_bench.runs.read import read_run
from lse_bench.runs.records import open_records
from lse_bench.runs.schema import Record
from lse_bench.storage import json_bytes
from measurements.speed.figures import tell

PAIRS, CLIPS = 28_000, 1_243
KEY = {"protocol": "lrs@1", "weights_sha256": "0" * 64, "fps_policy": "require-25", "precision": "fp32"}


def write_run(run: Path, method: str, level: float, seed: int) -> Path:
    """A run directory of random records: pairs of LRS2's number of clips."""
    rng = np.random.default_rng(seed)
    run.mkdir(parents=True)
    records = []
    for number in range(PAIRS):
        video, sound = f"v{number % CLIPS}", f"v{(number * 7 + number // CLIPS + 1) % CLIPS}"
        curve = rng.uniform(8 + level, 9 + level, 31)
        curve[15] = 8 + rng.normal() / 4
        lse_d = float(curve.min())
        lse_c = float(np.median(curve)) - lse_d
        records.append(
            Record(
                clip=f"{number}.mp4", id=f"{number}", status="ok", offset=15 - int(curve.argmin()), seconds=3.0,
                curve=curve.tolist(), groups={"video": video, "sound": sound},
                lse_d=lse_d, lse_c=lse_c, lse_d_at_0=float(curve[15]),
                offset_valid=0, lse_d_valid=lse_d, lse_c_valid=lse_c,
            )
        )  # fmt: skip
    about = {
        "schema": 1, "kind": "score", "protocol": "lrs@1", "key": KEY, "weights": {"sha256": "0" * 64, "name": None},
        "list": {"clips": PAIRS, "sha256": "1" * 64}, "manifest_sha256": "2" * 64, "versions": {},
        "generation": {"generator": method, "key": {"package": "x"}, "manifest": {"name": "LRS2"}, "versions": {}},
    }  # fmt: skip
    (run / "run.json").write_bytes(json_bytes(about))
    with open_records(run) as append:
        for record in records:
            append(record)
    write_summary(run, records, PAIRS, read_description(run))
    return run


def main() -> None:
    """Print the three times."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [write_run(Path(folder) / name, name, 5.0 + n, n) for n, name in enumerate(("real", "one", "two"))]
        start = perf_counter()
        read_run(runs[1])
        tell("leaderboard", f"read and summarise {PAIRS:,} records", perf_counter() - start, "s", "less than 20")
        start = perf_counter()
        written = build([str(run) for run in runs], Path(folder) / "page", clips=0)
        tell("leaderboard", "tables, plots and page of three such runs", perf_counter() - start, "s")
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            print("no Chromium here: the page was not opened")
            return
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            start = perf_counter()
            page.goto(Path(written["page"]).as_uri())
            page.locator("#tables tbody tr").first.wait_for()
            tell("leaderboard", "page open, tables shown", perf_counter() - start, "s", "less than 2")


if __name__ == "__main__":
    main()
