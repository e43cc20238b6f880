"""Files of our own that were damaged: one sentence each, with the file and a way out; never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_bench
from commands import lse_bench_here

from lse_bench.errors import UsageError
from lse_bench.training.prepare import _index_of
from lse_bench.training.prepared import INDEX, PreparedClips

WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a list": lambda content: b"[]\n",
    "a text": lambda content: b'"text"\n',
    "a number": lambda content: b"5\n",
    "not UTF-8": lambda content: content[:20] + b"\xff\xfe" + content[20:],
    "nested deep": lambda content: b"[" * 100_000 + b"\n",
    "nested deep in objects": lambda content: b'{"a":' * 100_000 + b"\n",
    "a long number": lambda content: b'{"schema": ' + b"1" * 5000 + b"}\n",
    "not a number": lambda content: content.replace(b"0.", b"NaN, 0.", 1),
    "zeros": lambda content: bytes(len(content)),
}
OTHERS = (None, "text")


def damages(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file damaged as a whole, and with the values of its fields replaced by values of other types."""
    content = path.read_bytes()
    for name, change in WHOLE.items():
        yield name, change(content)
    lines = content.split(b"\n") if path.suffix == ".jsonl" else [content]
    first = json.loads(lines[0])
    for field, value in first.items():
        for other in OTHERS:
            if type(other) is not type(value):
                changed = json.dumps(first | {field: other}, indent=None if path.suffix == ".jsonl" else 1).encode()
                yield f"{field} = {other!r}", b"\n".join([changed, *lines[1:]])
        left = {name: kept for name, kept in first.items() if name != field}
        yield f"no {field}", b"\n".join([json.dumps(left).encode(), *lines[1:]])


def refused_or_done(*command: object) -> None:
    """A command that ends by itself: 0, 1 or 2. What is raised instead fails the test."""
    ended = lse_bench_here(*command)
    assert ended.returncode in (0, 1, 2), ended
    assert ended.returncode == 0 or ended.stderr.strip() or ended.stdout.strip()
    assert "Traceback" not in ended.stderr


def sentence_of(read: Callable[[], object]) -> str | None:
    """What a reader refuses a file with, None when it takes it."""
    try:
        read()
    except UsageError as error:
        return str(error)
    return None


@pytest.mark.command
@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.json", "records.jsonl", "summary.json"])
def test_a_damaged_run(tiny_bench_copy: Path, tmp_path: Path, name: str) -> None:
    run, other = (tiny_bench.run_of(tiny_bench_copy, method) for method in ("mine", "unsynced"))
    whole = (run / name).read_bytes()
    for kind, content in damages(run / name):
        (run / name).write_bytes(content)
        refused_or_done("verify", run)
        if kind in WHOLE and name != "summary.json":  # which these do not read
            refused_or_done("compare", run, other)
            refused_or_done("merge", run, "--out", tmp_path / "merged")
        shutil.rmtree(tmp_path / "merged", ignore_errors=True)
    (run / name).write_bytes(b"[]")
    refused_or_done("leaderboard", "build", run, other, "--out", tmp_path / "page")
    (run / name).write_bytes(whole)


@pytest.mark.command
@pytest.mark.slow
@pytest.mark.parametrize("name", ["generation.json", "generation.jsonl", "manifest.json"])
def test_a_damaged_generation(tiny_bench_copy: Path, tmp_path: Path, name: str) -> None:
    videos = tiny_bench.videos_of(tiny_bench_copy, "unsynced")
    manifest = shutil.copyfile(videos / "manifest.json", tmp_path / "m.json")
    run = tiny_bench.run_of(tiny_bench_copy, "unsynced")
    whole = (videos / name).read_bytes()
    for _, content in damages(videos / name):
        (videos / name).write_bytes(content)
        refused_or_done("verify", run)
        refused_or_done("generate", "unsynced", "--manifest", manifest, "--out", videos)
    (videos / name).write_bytes(whole)


@pytest.mark.command
@pytest.mark.parametrize("name", ["summary.json", "bench.json", "steps.jsonl"])
def test_a_damaged_benchmark(tiny_bench_copy: Path, tmp_path: Path, name: str) -> None:
    path = tiny_bench_copy / name
    for change in WHOLE.values():
        whole = path.read_bytes()
        path.write_bytes(change(whole))
        refused_or_done("verify", tiny_bench_copy)
        refused_or_done("leaderboard", "build", tiny_bench_copy, "--out", tmp_path / "page", "--clips", 0)
        path.write_bytes(whole)


@pytest.mark.command
def test_damaged_windows_and_distances(tiny_bench_copy: Path, tmp_path: Path) -> None:
    run = tiny_bench.run_of(tiny_bench_copy)
    windows = sorted((run / "windows").glob("*.npz"))[0]
    (distance,) = run.parent.glob("fd-sync-*.json")
    for path in (windows, distance):
        whole = path.read_bytes()
        for change in WHOLE.values():
            path.write_bytes(change(whole))
            refused_or_done("verify", tiny_bench_copy)
            refused_or_done("leaderboard", "build", tiny_bench_copy, "--out", tmp_path / "page", "--clips", 4)
        path.write_bytes(whole)


def test_a_damaged_preparation(prepared_clips: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_clips / "box", tmp_path / "prepared")
    path = tmp_path / "prepared" / INDEX
    settings = json.loads(path.read_text())["settings"]
    for name, content in list(damages(path)):
        path.write_bytes(content)
        for read in (lambda: PreparedClips(path.parent), lambda: _index_of(path.parent, settings)):
            told = sentence_of(read)
            assert told is None or str(path.parent) in told, name


@pytest.mark.command
@pytest.mark.parametrize("name", ["corpus.json", "clips.jsonl"])
def test_a_damaged_corpus(tmp_path: Path, name: str) -> None:
    make = ["minilrs", "--speakers", 1, "--clips", 1, "--frames", 20, "--split", "test", "--style", "plain",
            "--seed", 5, "--out", tmp_path / "corpus"]  # fmt: skip
    assert lse_bench_here(*make).returncode == 0
    path = tmp_path / "corpus" / "minilrs" / name
    whole = path.read_bytes()
    for change in WHOLE.values():
        path.write_bytes(change(whole))
        refused_or_done(*make)
        path.write_bytes(whole)


@pytest.fixture
def tiny_bench_copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tiny_bench.copy(request.getfixturevalue("tiny_bench"), tmp_path / "copy")
