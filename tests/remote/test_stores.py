"""A real S3 server on this machine, archives and shards: read as from the disk, and what happens when they fail."""

from __future__ import annotations

import functools
import http.server
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import clips
import pytest
from commands import Ended, lse_bench_here

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.remote import cache, stores
from lse_bench.remote.cache import fetched, local_copy
from lse_bench.remote.stores import RemoteError, patiently
from lse_bench.runs import publish
from lse_bench.runs.publish import Publisher
from lse_bench.runs.records import read_records
from lse_bench.runs.schema import Record

pytestmark = [pytest.mark.network]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        clips.good(folder / "some" / f"{number}.mp4", 0.8 + 0.2 * number, seed=number)
    (folder / "some" / "bad.mp4").write_bytes(b"no video")
    (folder / "list.csv").write_text(
        "id,clip,speaker\n" + "".join(f"c{n},some/{n}.mp4,s{n % 2}\n" for n in range(4)) + "gone,some/gone.mp4,s1\n"
    )
    return folder


class Moody:
    """An S3 server that answers 503 or 403 to as many requests as it is told."""

    def __init__(self, application: Any) -> None:
        self.application, self.busy, self.denied, self.denies = application, 0, 0, False

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET" and (self.busy or self.denied):
            kind, code = ("503 Slow Down", "SlowDown") if self.busy else ("403 Forbidden", "AccessDenied")
            self.busy, self.denied = max(0, self.busy - 1), max(0, self.denied - (not self.busy))
            start(kind, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>told so</Message></Error>".encode()]
        if self.denies:  # everything, uploads too
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>told so</Message></Error>"]
        return self.application(environ, start)  # type: ignore[no-any-return]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def moody() -> Iterator[tuple[Moody, str]]:
    pytest.importorskip("moto")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moody = Moody(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, moody, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield moody, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def server(moody: tuple[Moody, str]) -> str:
    moody[0].busy = moody[0].denied = 0
    return moody[1]


@pytest.fixture
def s3(server: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket with the clips. The options of `--storage-options` lie in `tmp_path/options.json`."""
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.delenv(stores.OFFLINE, raising=False)
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    options = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": server}}
    (tmp_path / "options.json").write_text(json.dumps({"s3": options}))
    monkeypatch.setenv(stores.OPTIONS, str(tmp_path / "options.json"))
    monkeypatch.setattr(stores, "_WAIT", 0.0)
    stores._options.cache_clear()
    stores.forget()
    store = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    store.mkdir("bucket")
    for path in folder.rglob("*.*"):
        store.put_file(str(path), f"bucket/{path.relative_to(folder)}")
    yield store
    store.rm("bucket", recursive=True)
    stores._options.cache_clear()
    stores.forget()


def score(*words: object) -> Ended:
    return lse_bench_here("score", "--weights", "syncnet-mini", "--protocol", "lrs-lossless", *words)


def scores(run: Path) -> dict[str, tuple[Any, ...]]:
    return {r.id: (r.status, rounded(r), r.sha256, r.groups) for r in read_records(run)}


def rounded(record: Record) -> list[float]:
    """A curve to 9 digits: sums of a clip's windows are added up in other groups when its neighbours are others."""
    return [round(value, 9) for value in record.curve or []]


@pytest.mark.parametrize("source", ["list.csv", "some"])
def test_clips_in_a_bucket_are_scored_as_from_the_disk(s3: Any, folder: Path, tmp_path: Path, source: str) -> None:
    assert score(folder / source, "--out", tmp_path / "here", "--max-failed", "1").returncode == 0
    ended = score(f"s3://bucket/{source}", "--out", tmp_path / "there", "--max-failed", "1")
    assert ended.returncode == 0, ended.stderr
    assert scores(tmp_path / "here") == scores(tmp_path / "there")
    copies = [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".mp4"]
    assert len(copies) == (5 if source == "some" else 4), "each is fetched once"
    before = {path: path.stat().st_ino for path in copies}
    again = score(f"s3://bucket/{source}", "--out", tmp_path / "there", "--max-failed", "1")
    assert again.returncode == 0 and {path: path.stat().st_ino for path in copies} == before
    s3.put_file(str(folder / "some" / "1.mp4"), "bucket/some/0.mp4")
    changed = score(f"s3://bucket/{source}", "--out", tmp_path / "there", "--max-failed", "1")
    assert changed.returncode == 2 and "has changed since this run recorded it" in " ".join(changed.stderr.split())


@pytest.mark.command
@pytest.mark.slow
def test_workers_read_from_a_bucket_and_results_go_into_it(s3: Any, folder: Path, tmp_path: Path) -> None:
    assert score(folder / "list.csv", "--out", tmp_path / "here", "--max-failed", "1").returncode == 0
    more = ("--devices", "cpu:2", "--publish", "s3://bucket/runs/mine")
    ended = score("s3://bucket/list.csv", "--out", tmp_path / "there", "--max-failed", "1", *more)
    assert ended.returncode == 0, ended.stderr
    assert scores(tmp_path / "here") == scores(tmp_path / "there")
    for name in ("run.json", "records.jsonl", "summary.json", "usage.json"):
        assert s3.cat(f"bucket/runs/mine/{name}") == (tmp_path / "there" / name).read_bytes()


def test_a_signed_list_on_a_server_leaves_no_key_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.delenv(stores.OFFLINE, raising=False)
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        place = f"http://127.0.0.1:{server.server_port}"
        (folder / "signed.csv").write_text("clip\n" + "".join(f"{place}/some/{n}.mp4?key=hush\n" for n in (0, 1)))
        ended = score(f"{place}/signed.csv?key=hush", "--out", tmp_path / "there")
        assert ended.returncode == 0, ended.stderr
        one = score(f"{place}/some/0.mp4?key=hush", "--out", tmp_path / "one")
        assert one.returncode == 0, one.stderr
        missing = score(f"{place}/none.csv?key=hush", "--out", tmp_path / "none")
        assert missing.returncode == 2 and "no such object" in missing.stderr
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert [record.id for record in read_records(tmp_path / "one")] == ["0"]
    assert len(read_records(tmp_path / "there")) == 2
    for told in (ended.stderr, one.stderr, missing.stderr):
        assert "hush" not in told
    for run in ("there", "one"):
        for path in (tmp_path / run).iterdir():
            assert "hush" not in path.read_text(), path


def test_a_store_that_takes_nothing_is_named_before_the_first_clip(
    s3: Any, moody: tuple[Moody, str], tmp_path: Path
) -> None:
    clips.good(tmp_path / "a.mp4", 0.8)
    moody[0].denies = True
    ended = score(tmp_path / "a.mp4", "--out", tmp_path / "run", "--publish", "s3://bucket/runs/a")
    moody[0].denies = False
    told = " ".join(ended.stderr.split())
    assert ended.returncode == 2 and "s3://bucket/runs/a/run.json" in told and "denied" in told, told
    assert not read_records(tmp_path / "run")


def test_a_copy_that_fails_on_the_way_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_WAIT", 0.0)
    out = tmp_path / "run"
    out.mkdir()
    (out / "records.jsonl").write_text("one\n")
    publisher = Publisher(out, "memory://published/run")
    store = stores.store_of("memory://published")[0]
    assert publisher.now_and_then() is None and not store.exists("/published/run/records.jsonl"), "it is too early"
    monkeypatch.setattr(publish, "_EVERY", 0.0)
    real = type(store).put_file
    monkeypatch.setattr(type(store), "put_file", lambda *_: (_ for _ in ()).throw(OSError("busy")))
    told = str(publisher.now_and_then())
    assert told.endswith("and will be later: memory://published/run/records.jsonl: 5 attempts failed: OSError: busy")
    monkeypatch.setattr(type(store), "put_file", real)
    assert publisher.now_and_then() is None and store.cat("/published/run/records.jsonl") == b"one\n"
    assert publisher.publish() == 0, "nothing is new"
    with pytest.raises(UsageError, match="an address is needed"):
        Publisher(out, tmp_path / "there")


def test_workers_ask_for_their_object_and_not_for_the_folder(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stores.forget()
    monkeypatch.setattr(stores, "_listed", lambda folder: pytest.fail("the folder was listed"))
    assert fetched("s3://bucket/some/1.mp4").exists()
    with pytest.raises(RemoteError, match="no such object"):
        fetched("s3://bucket/some/none.mp4")


def test_an_object_that_vanishes_is_a_row(s3: Any, tmp_path: Path) -> None:
    listed = find_clips([Path("s3://bucket/some")])
    assert [clip.id for clip in listed] == ["0", "1", "2", "3", "bad"]
    s3.rm("bucket/some/2.mp4")
    with pytest.raises(ClipError, match="no such object"):
        local_copy(listed[2].path)
    missing = find_clips([Path("s3://bucket/list.csv")])[-1]
    assert missing.absent == ("unreadable", "no such file: s3://bucket/some/gone.mp4")


def test_a_busy_server_is_asked_again(s3: Any, moody: tuple[Moody, str], tmp_path: Path) -> None:
    moody[0].busy = 3
    ended = score("s3://bucket/some", "--out", tmp_path / "run", "--max-failed", "1")
    assert ended.returncode == 0, ended.stderr
    assert moody[0].busy == 0


def test_wrong_credentials_are_refused_before_the_first_clip(s3: Any, moody: tuple[Moody, str], tmp_path: Path) -> None:
    moody[0].denied = 100
    ended = score("s3://bucket/list.csv", "--out", tmp_path / "run")
    told = " ".join(ended.stderr.split())
    assert ended.returncode == 2 and "s3://bucket" in told and "access is denied" in told, told
    assert "Check the credentials" in told and not (tmp_path / "run").exists()
    moody[0].denied = 0

    def denied() -> None:
        raise PermissionError("AccessDenied")

    with pytest.raises(RemoteError, match="access is denied: PermissionError: AccessDenied. Check the credentials"):
        patiently("s3://bucket/x?key=1", denied)
    ended = score("s3://nothing-here/clips", "--out", tmp_path / "run")
    assert ended.returncode == 2 and "s3://nothing-here/clips" in ended.stderr and not (tmp_path / "run").exists()


def test_failures_that_pass_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(stores, "sleep", waits.append)
    left = [OSError("503 Slow Down")] * 4

    def attempt() -> str:
        if left:
            raise left.pop()
        return "here"

    assert patiently("s3://b/a", attempt) == "here" and waits == [0.5, 1, 2, 4]
    left = [OSError("503 Slow Down https://h/a?secret=1")] * 5
    with pytest.raises(RemoteError, match="5 attempts failed: OSError: 503 Slow Down") as told:
        patiently("s3://b/a", attempt)
    assert "secret" not in str(told.value)


def test_the_cache_is_bounded_and_keeps_what_was_used_last(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {n: s3.info(f"bucket/some/{n}.mp4")["size"] for n in range(4)}
    monkeypatch.setenv(cache.LIMIT, str((sizes[2] + sizes[3] + 100) / (1 << 30)))
    copies = [fetched(f"s3://bucket/some/{n}.mp4") for n in (0, 1, 2)]
    assert all(path.exists() for path in copies), "what was used in the last minute stays"
    for age, path in enumerate(copies):
        os.utime(path, (1000 + age, 1000 + age))
    assert fetched("s3://bucket/some/3.mp4").exists()
    assert [path.exists() for path in copies] == [False, False, True]
    assert not [path for path in (tmp_path / "cache").iterdir() if ".partial" in path.name]


def test_a_copy_that_breaks_off_is_no_copy(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = cache.shutil.copyfileobj, []

    def broken(there: Any, here: Any, block: int) -> None:
        calls.append(1)
        if len(calls) == 1:
            here.write(there.read(100))
        else:
            real(there, here, block)

    monkeypatch.setattr(cache.shutil, "copyfileobj", broken)
    assert fetched("s3://bucket/some/0.mp4").stat().st_size == s3.info("bucket/some/0.mp4")["size"]
    assert len(calls) == 2


def test_archives_and_shards_are_lists_of_clips(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    speech = clips.speech(1.2, seed=9)
    clips.sound_file(tmp_path / "1.wav", speech)
    with tarfile.open(tmp_path / "000.tar", "w") as shard:
        for n in range(3):
            shard.add(folder / "some" / f"{n}.mp4", f"{n}.mp4")
        shard.add(tmp_path / "1.wav", "1.wav")
        (tmp_path / "0.json").write_text(json.dumps({"speaker": "anna", "group_video": "v0", "text": "…"}))
        shard.add(tmp_path / "0.json", "0.json")
    found = find_clips([tmp_path / "000.tar"])
    assert [(clip.id, clip.clip, clip.sound_name) for clip in found] == [
        ("0", "0.mp4", None), ("1", "1.mp4", "1.wav"), ("2", "2.mp4", None)
    ]  # fmt: skip
    assert found[0].groups == {"speaker": "anna", "video": "v0"}
    ended = score(tmp_path / "000.tar", "--out", tmp_path / "shard")
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "list.csv").write_text(f"clip,sound\n{folder}/some/1.mp4,1.wav\n{folder}/some/2.mp4,\n")
    assert score(tmp_path / "list.csv", "--out", tmp_path / "plain").returncode == 0
    ours, plain = ({r.id: rounded(r) for r in read_records(tmp_path / run)} for run in ("shard", "plain"))
    assert [ours["1"], ours["2"]] == list(plain.values())

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(folder / "some" / "2.mp4", "inside/2.mp4")
    ended = score(f"zip://inside::{tmp_path}/all.zip", "--out", tmp_path / "zip")
    assert ended.returncode == 0, ended.stderr
    assert [rounded(r) for r in read_records(tmp_path / "zip")] == [ours["2"]]

    (tmp_path / "bad.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(UsageError, match="not a tar file"):
        find_clips([tmp_path / "bad.tar"])
    with tarfile.open(tmp_path / "empty.tar", "w") as shard:
        shard.add(tmp_path / "1.wav", "1.wav")
    with pytest.raises(UsageError, match="no member of this tar file is a video"):
        find_clips([tmp_path / "empty.tar"])
