"""Clips in a bucket of a real S3 server on this machine, one in five over 50 MB, by processes and by a Ray cluster.

    python -m measurements.scale.buckets [--clips 200] [--work FOLDER]

Prints the largest difference from the disk, the memory of a worker, and what happens when the server is busy for a
while, when an object vanishes, and when the credentials are wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import re
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from measurements.scale.executors import ENVIRONMENT, SCORE, command, corpus_of, finish, furthest, records, two_nodes
from measurements.scale.kills import actors, workers_of

LARGE = 52 << 20  # bytes


class Busy:
    """A server that answers 503 while `left` is above 0, and 403 while `denies` is set."""

    def __init__(self, application: Any, left: Any, denies: Any) -> None:
        self.application, self.left, self.denies = application, left, denies

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self.left.value > 0 and environ["REQUEST_METHOD"] == "GET":
            self.left.value -= 1
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"]
        if self.denies.value:
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key</Message></Error>"]
        return self.application(environ, start)


def serve(port: Any, left: Any, denies: Any) -> None:
    """Serve an empty store, in a process of its own, and tell its port."""
    busy = Busy(DomainDispatcherApplication(create_backend_app), left, denies)
    server = make_server("127.0.0.1", 0, busy, threaded=True)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    port.put(server.server_port)
    server.serve_forever()


def padded(path: Path) -> None:
    """Make a video larger than 50 MB, by a box that players pass over."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", LARGE, b"free"))
        file.truncate(file.tell() + LARGE - 8)


def memory_of(pids: list[int]) -> float:
    """The largest memory, in MB, that one of these processes has had."""
    found = [0.0]
    for pid in pids:
        try:
            found.append(int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024)
        except (OSError, TypeError):
            continue
    return max(found)


def main() -> None:
    import s3fs

    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "lse-bench-scale")
    chosen = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    os.environ.pop("LSE_BENCH_OFFLINE", None)
    spawn = multiprocessing.get_context("spawn")
    told_port, left, denies = spawn.Queue(), spawn.Value("i", 0), spawn.Value("b", 0)
    server = spawn.Process(target=serve, args=(told_port, left, denies), daemon=True)
    server.start()
    options = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{told_port.get()}"}}
    with tempfile.TemporaryDirectory(dir=chosen.work) as name, two_nodes() as address:
        out = Path(name)
        (out / "options.json").write_text(json.dumps({"s3": options}))
        os.environ["LSE_BENCH_CACHE"] = str(out / "cache")
        corpus = corpus_of(chosen.work / f"corpus-{chosen.clips}", chosen.clips)
        store = s3fs.S3FileSystem(**options)
        store.mkdir("clips-here")
        (out / "clips").mkdir()
        lines = ["clip\n"]
        for number, video in enumerate(sorted(corpus.rglob("*.mp4"))[: chosen.clips]):
            path = out / "clips" / f"{number:03d}.mp4"
            shutil.copy(video, path)
            if number % 5 == 0:
                padded(path)
            store.put_file(str(path), f"clips-here/clips/{path.name}")
            lines.append(f"clips/{path.name}\n")
        (out / "list.csv").write_text("".join(lines))
        store.put_file(str(out / "list.csv"), "clips-here/list.csv")
        there = (*SCORE, "s3://clips-here/list.csv", "--storage-options", out / "options.json")
        finish(command(*SCORE, out / "list.csv", "--out", out / "disk"))
        disk = records(out / "disk")
        for label, words, seen in (
            ("local", ("--devices", "cpu:2"), workers_of),
            ("ray", ("--ray", address, "--devices", "cpu:2"), lambda started: actors()),
        ):
            shutil.rmtree(out / "cache", ignore_errors=True)
            started, most, begun = command(*there, *words, "--out", out / label), 0.0, time.perf_counter()
            while started.poll() is None:
                most = max(most, memory_of(seen(started)))
                time.sleep(0.3)
            finish(started)
            worst = furthest(disk, records(out / label))
            print(
                f"{label:6} {len(disk)} clips in {time.perf_counter() - begun:.0f} s: largest difference {worst:.1e};"
                f" memory of a worker {most:.0f} MB",
                flush=True,
            )
        shutil.rmtree(out / "cache")
        left.value = 40
        finish(command(*there, "--devices", "cpu:2", "--out", out / "busy"))
        print(f"40 answers of 503: largest difference {furthest(disk, records(out / 'busy')):.1e}", flush=True)
        shutil.rmtree(out / "cache")
        started = command(*there, "--devices", "cpu:2", "--out", out / "gone", "--max-failed", "1")
        while not (out / "gone" / "run.json").exists():
            time.sleep(0.05)
        store.rm("clips-here/clips/003.mp4")
        finish(started)
        row = next(one for one in records(out / "gone").values() if one["clip"] == "clips/003.mp4")
        print(f"an object vanishes: {row['status']}: {row['reason']}", flush=True)
        denies.value = 1
        started = command(*there, "--out", out / "denied")
        _, told = started.communicate()
        print(f"wrong credentials: exit status {started.returncode}: {told.decode().strip().splitlines()[-1]}")
    server.terminate()


if __name__ == "__main__":
    main()
