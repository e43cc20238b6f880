"""Lists and runs of 100,000 and of a million clips: time and memory of each step, and how they grow.

    python -m measurements.scale.million [--clips 1000000] [--work FOLDER]

The records are made up from one real record; their curves differ, and their scores follow from the curves.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lse_bench.runs.directory import read_description
from lse_bench.runs.outcomes import score_fields
from lse_bench.runs.schema import Record
from lse_bench.sync import distance
from measurements.scale.executors import SCORE, corpus_of

FILES, VARIANTS, SHARDS = 1000, 500, 1000
SUMMARY = """
import resource, sys
from pathlib import Path
from lse_bench.runs.directory import read_description, write_summary
from lse_bench.runs.records import iter_records
run = Path(sys.argv[1])
summary = write_summary(run, iter_records(run), int(sys.argv[2]), read_description(run))
assert summary.scored == int(sys.argv[2])
"""


def measured(*words: object, until: Path | None = None) -> tuple[float, float]:
    """Seconds and largest memory in MB of a Python process; with `until`, only until that file has grown."""
    line = [sys.executable, *map(str, words)]
    if until is None:
        line = ["/usr/bin/env", "time", "-v", *line]  # its own process would outlive one that is stopped
    size = until.stat().st_size if until is not None and until.exists() else 0
    begun = time.perf_counter()
    started = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    while until is not None and not (until.exists() and until.stat().st_size > size):
        if started.poll() is not None:
            break
        time.sleep(0.05)
    spent = time.perf_counter() - begun
    if until is not None:
        memory = _peak(started.pid)
        started.terminate()
        started.communicate()
        return spent, memory
    _, told = started.communicate()
    if started.returncode:
        raise SystemExit(told[-2000:])
    found = re.search(r"Maximum resident set size \(kbytes\): (\d+)", told)
    return time.perf_counter() - begun, int(found[1]) / 1024 if found else float("nan")


def _peak(pid: int) -> float:
    """The largest memory in MB of a process or of one that it has started."""
    peaks = [0.0]
    for place in Path("/proc").glob("[0-9]*"):
        try:
            text = (place / "status").read_text()
        except OSError:
            continue
        found = re.search(r"VmHWM:\s+(\d+)", text)
        parent = re.search(r"PPid:\s+(\d+)", text)
        if found and parent and (int(place.name) == pid or int(parent[1]) == pid):
            peaks.append(int(found[1]) / 1024)
    return max(peaks)


def make_list(folder: Path, clips: int, video: Path) -> Path:
    """A list of so many clips over a thousand files."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        shutil.copy(video, folder / "clips" / f"{number}.mp4")
    path = folder / "list.csv"
    with path.open("w") as file:
        file.write("id,clip,speaker,group_video,group_sound\n")
        for n in range(clips):
            file.write(f"c{n:07d},clips/{n % FILES}.mp4,s{n % 5000},v{n},v{(7 * n + 1) % clips}\n")
    return path


def fill(run: Path, listed: Path, clips: int, left: int) -> None:
    """Make up the records of a run but for the last `left` clips, from its first record."""
    record = json.loads((run / "records.jsonl").read_text().splitlines()[0])
    about, rng = read_description(run), np.random.default_rng(1)
    states = [(listed.parent / "clips" / f"{n}.mp4").stat() for n in range(FILES)]
    variants = []
    for _ in range(VARIANTS):
        curve = np.array(record["curve"]) * (1 + 0.05 * rng.normal()) + rng.normal(0, 0.05, 31)
        score = distance.graded(distance.summarise(curve, curve, record["windows"]), about.calibration)
        fields = score_fields(score)
        variants.append(Record.model_validate(record | fields).model_dump(mode="json", include=set(fields)))
    with (run / "records.jsonl").open("w") as file:
        for n in range(clips - left):
            state = states[n % FILES]
            own = {
                "id": f"c{n:07d}", "clip": f"clips/{n % FILES}.mp4", "bytes": state.st_size,
                "changed": state.st_mtime_ns // 1000,
                "groups": {"speaker": f"s{n % 5000}", "video": f"v{n}", "sound": f"v{(7 * n + 1) % clips}"},
            }  # fmt: skip
            file.write(json.dumps(record | variants[n % VARIANTS] | own) + "\n")


def cut(run: Path, folder: Path) -> list[Path]:
    """The same records as a thousand run directories of shards."""
    about = json.loads((run / "run.json").read_text())
    lines = (run / "records.jsonl").read_bytes().split(b"\n")[:-1]
    parts = []
    for number in range(SHARDS):
        part = folder / f"{number + 1:04d}"
        part.mkdir(parents=True)
        (part / "run.json").write_text(json.dumps(about | {"shard": f"{number + 1}/{SHARDS}"}))
        (part / "records.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[number::SHARDS]))
        parts.append(part)
    return parts


def page_seconds(page: Path) -> float | None:
    """Seconds until the page has drawn its table in Chromium; None without a browser."""
    program = shutil.which("chromium")
    if program is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page()
        begun = time.perf_counter()
        shown.goto(page.absolute().as_uri())
        shown.wait_for_selector("table tbody tr")
        spent = time.perf_counter() - begun
        browser.close()
    return spent


def steps(folder: Path, clips: int, video: Path) -> dict[str, tuple[float, float]]:
    """Seconds and memory of each step for a list of so many clips."""
    listed, run = make_list(folder, clips, video), folder / "run"
    score = ("-m", "lse_bench", *SCORE, listed, "--out", run)
    found = {"start of scoring": measured(*score, until=run / "records.jsonl")}
    fill(run, listed, clips, 1)
    found["start of a resumed run"] = measured(*score, until=run / "records.jsonl")
    fill(run, listed, clips, 0)
    found["summary"] = measured("-c", SUMMARY, run, clips)
    build = ("-m", "lse_bench", "leaderboard", "build", run, "--out", folder / "page", "--clips", "0")
    found["leaderboard build"] = measured(*build)
    shards = cut(run, folder / "shards")
    found["merge of 1,000 shards"] = measured("-m", "lse_bench", "merge", *shards, "--out", folder / "merged")
    drawn = page_seconds(folder / "page" / "index.html")
    if drawn is not None:
        found["page in a browser"] = drawn, float("nan")
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "lse-bench-scale")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    video = sorted(corpus_of(chosen.work / "corpus-10", 10).rglob("*.mp4"))[0]
    few = chosen.clips // 10
    with tempfile.TemporaryDirectory(dir=chosen.work) as name:
        small = steps(Path(name) / "few", few, video)
        large = steps(Path(name) / "many", chosen.clips, video)
    print(f"| step | {few:,} clips | {chosen.clips:,} clips | growth | memory |")
    print("|---|---:|---:|---:|---:|")
    for step, (seconds, memory) in large.items():
        told = "" if np.isnan(memory) else f"{memory / 1024:.1f} GB"
        before = small[step][0]
        print(f"| {step} | {before:.1f} s | {seconds:.1f} s | {seconds / before:.1f} | {told} |")


if __name__ == "__main__":
    main()
