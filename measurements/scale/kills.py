"""SIGKILL of workers, actors, nodes and commands at random moments: every clip exactly once, with equal results.

python -m measurements.scale.kills [--kills 30] [--clips 60] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from measurements.scale.executors import ENVIRONMENT, SCORE, command, corpus_of, finish, furthest, records


def wait_for(run: Path, count: int, started: subprocess.Popen[bytes]) -> bool:
    """Wait until a run has so many records; False if the command has ended before."""
    path = run / "records.jsonl"
    while started.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return True
        time.sleep(0.02)
    return False


def processes() -> dict[int, tuple[int, str]]:
    """The parent and the command line of every process on this machine."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(place.name)] = parent, (place / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue
    return found


def below(pid: int) -> dict[int, str]:
    """The command lines of the processes that a process has started, and of theirs."""
    there, found = processes(), {}
    front = [pid]
    while front:
        front = [one for one, (parent, _) in there.items() if parent in front]
        found |= {one: there[one][1] for one in front}
    return found


def workers_of(started: subprocess.Popen[bytes]) -> list[int]:
    """The worker processes of a command."""
    return [pid for pid, line in below(started.pid).items() if "spawn_main" in line]


def actors() -> list[int]:
    """The actors of Ray on this machine."""
    return [pid for pid, (_, line) in processes().items() if line.startswith("ray::_Remote")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "lse-bench-scale")
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    corpus = corpus_of(chosen.work / f"corpus-{chosen.clips}", chosen.clips)
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    with tempfile.TemporaryDirectory(dir=chosen.work) as name:
        out = Path(name)
        finish(command(*SCORE, corpus, "--out", out / "whole"))
        whole = records(out / "whole")
        happened: dict[str, int] = {}
        worst = 0.0
        for number in range(chosen.kills):
            kind = ("worker", "actor", "node", "command")[number % 4]
            run, at = out / f"run{number}", rng.randrange(1, len(whole) - 8)
            node: Any = cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
            ray = ("--ray", cluster.address)
            words = (*SCORE, corpus, *(ray if kind in ("actor", "node") else ()), "--devices", "cpu:2", "--out", run)
            started = command(*words)
            if wait_for(run, at, started):
                time.sleep(rng.random() * 0.5)
                if (kind == "worker" and (there := workers_of(started))) or (kind == "actor" and (there := actors())):
                    os.kill(rng.choice(there), signal.SIGKILL)
                elif kind == "node":
                    cluster.remove_node(node, allow_graceful=False)
                    node = None
                elif kind == "command":
                    for pid in (*below(started.pid), started.pid):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    started.communicate()
                    started = command(*words)
                happened[kind] = happened.get(kind, 0) + 1
            finish(started)
            worst = max(worst, furthest(whole, records(run)))
            if node is not None:
                cluster.remove_node(node)
            print(
                f"{number + 1:2} {kind:8} after {at:3} records: {len(records(run))} of {len(whole)} clips", flush=True
            )
        told = ", ".join(f"{count} of a {kind}" for kind, count in happened.items())
        print(f"{sum(happened.values())} SIGKILLs ({told}): every clip once, largest difference {worst:.1e}")
    cluster.shutdown()


if __name__ == "__main__":
    main()
