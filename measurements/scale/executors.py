"""The same 300 clips by one process, by two processes, by two shards that are started by hand, and by a Ray cluster.

    python -m measurements.scale.executors [--clips 300] [--work FOLDER]

Prints the largest difference of a curve, and the clips per second after the start: from the first record to the last.
Each of two workers has one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "RAY_USAGE_STATS_ENABLED": "0"}
SCORE = ("score", "--weights", "syncnet-mini", "--protocol", "lrs-lossless")


def corpus_of(folder: Path, clips: int) -> Path:
    """A MiniLRS corpus with so many clips, made if it is not there."""
    if not (folder / "minilrs" / "corpus.json").exists():
        make_corpus(Spec(speakers=max(1, clips // 10), clips=10, seed=3, split="test"), folder)
    return folder


def command(*words: object) -> subprocess.Popen[bytes]:
    """A command of LSE-Bench with one thread."""
    line = [sys.executable, "-m", "lse_bench", *map(str, words)]
    return subprocess.Popen(line, env=os.environ | ENVIRONMENT, stderr=subprocess.PIPE)


def finish(*started: subprocess.Popen[bytes]) -> None:
    """Wait for commands, and stop at the first failure."""
    for one in started:
        _, told = one.communicate()
        if one.returncode:
            raise SystemExit(f"{one.args}: {told.decode()[-2000:]}")


def records(*runs: Path) -> dict[str, dict]:
    """The records of runs by clip; each clip once."""
    found = [json.loads(line) for run in runs for line in (run / "records.jsonl").read_text().splitlines()]
    assert len(found) == len({one["id"] for one in found}), "a clip is recorded twice"
    return {one["id"]: one for one in found}


def furthest(one: dict[str, dict], other: dict[str, dict]) -> float:
    """The largest difference of a curve. Everything else of the records must be equal."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    most = 0.0
    for name, record in one.items():
        there = other[name]
        for field in ("clip", "status", "reason", "windows", "frames", "sha256", "groups", "warnings", "offset"):
            assert record[field] == there[field], (name, field, record[field], there[field])
        if record["curve"]:
            most = max(most, float(np.abs(np.subtract(record["curve"], there["curve"])).max()))
    return most


@contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a Ray cluster with two nodes of one core each."""
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def timed(runs: list[Path], *started: subprocess.Popen[bytes]) -> float:
    """The clips per second of commands that write `runs`, from the moment when every run has a record."""
    counts: list[tuple[float, int]] = []
    while any(one.poll() is None for one in started):
        lines = [(run / "records.jsonl").read_bytes().count(b"\n") if (run / "records.jsonl").exists() else 0
                 for run in runs]  # fmt: skip
        if all(lines):
            counts.append((time.perf_counter(), sum(lines)))
        time.sleep(0.05)
    finish(*started)
    last = max(count for _, count in counts)
    end = next(at for at, count in counts if count == last)
    (start, first) = counts[0]
    return (last - first) / (end - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "lse-bench-scale")
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    corpus = corpus_of(chosen.work / f"corpus-{chosen.clips}", chosen.clips)
    with tempfile.TemporaryDirectory(dir=chosen.work) as name, two_nodes() as address:
        out = Path(name)
        inline = timed([out / "inline"], command(*SCORE, corpus, "--out", out / "inline"))
        whole = records(out / "inline")
        print(f"{len(whole)} clips, one thread a worker; clips per second after the start")
        print(f"inline        {inline:6.2f}")
        for number in range(chosen.rounds):
            halves = [out / f"half{n}-{number}" for n in (1, 2)]
            shards = [command(*SCORE, corpus, "--shard", f"{n}/2", "--out", half) for n, half in enumerate(halves, 1)]
            by_hand = timed(halves, *shards)
            print(f"two shards    {by_hand:6.2f}          largest difference {furthest(whole, records(*halves)):.1e}")
            for label, options in (
                ("local cpu:2", ("--devices", "cpu:2")),
                ("ray, 2 nodes", ("--ray", address, "--devices", "cpu:2")),
            ):
                run = out / f"{label.split()[0].strip(',')}-{number}"
                speed = timed([run], command(*SCORE, corpus, *options, "--out", run))
                worst = furthest(whole, records(run))
                print(f"{label:12}  {speed:6.2f}  ratio {speed / by_hand:.3f}  largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
