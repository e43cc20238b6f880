"""The store against a real HTTP server that behaves badly in every way a download can go wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lse_bench.errors import UsageError, WeightsError
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.store import fetch, path_of, resolve, state_of
from lse_bench.weights.table import Entry, entry, name_of_digest, table

CONTENT = os.urandom(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any path; `script` says how to answer the next requests, then all is well."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[str] = []
        self.patience = threading.Event()  # set when nobody waits any more
        self.seen: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.seen.append((self.path, wanted))
        mood = self.server.script.pop(0) if self.server.script else "well"
        if mood.isdigit():
            self.send_error(int(mood))
            return
        if mood.startswith("redirect "):
            self.send_response(302)
            self.send_header("Location", mood.removeprefix("redirect "))
            self.end_headers()
            return
        if mood.startswith("raw "):  # an answer of its own, then silence until nobody waits any more
            self.wfile.write(mood.removeprefix("raw ").encode())
            self.wfile.flush()
            self.server.patience.wait()
            return
        if mood.startswith("length "):
            self.send_response(200)
            for length in mood.removeprefix("length ").split("|"):
                self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(CONTENT)
            return
        body = {"page": b"<!DOCTYPE html><html>Sign in</html>", "other": CONTENT[::-1]}.get(mood, CONTENT)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and mood != "no ranges" else 0
        if start > len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if mood != "no length":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if mood == "cut" else rest)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.patience.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    monkeypatch.setenv("LSE_BENCH_WEIGHTS", str(folder))
    for name in ("LSE_BENCH_OFFLINE", "LSE_BENCH_MIRROR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


def made_up(server: Server, **changes: object) -> Entry:
    fields = {
        "name": "made_up",
        "file": "made_up.pth",
        "what": "a made-up network",
        "urls": (f"{server.url}/made_up.pth",),
        "licence": "CC0-1.0",
        "format": "torch state dict",
        "sha256": DIGEST,
        "bytes": len(CONTENT),
    }
    return Entry.model_validate(fields | changes)


def assert_nothing_final(item: Entry) -> None:
    assert not path_of(item).exists()


@pytest.mark.network
def test_download_is_announced_verified_and_kept(server: Server, folder: Path) -> None:
    item, said, steps = made_up(server), [], []
    options = FetchSettings(say=said.append, progress=lambda done, total: steps.append((done, total)))
    path = fetch(item, options)
    assert path == folder / "made_up.pth" and path.read_bytes() == CONTENT
    assert server.url in said[0] and "CC0-1.0" in said[0]
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert state_of(item) == "ok"
    assert fetch(item, options) == path and len(server.seen) == 1, "the second time nothing is asked for"
    assert sorted(path.name for path in folder.iterdir()) == ["made_up.pth", "made_up.pth.lock"]


@pytest.mark.network
def test_a_cut_download_is_resumed(server: Server) -> None:
    server.script = ["cut"]
    assert fetch(made_up(server)).read_bytes() == CONTENT
    assert server.seen[1][1] is not None and server.seen[1][1].startswith("bytes="), "the rest only"


@pytest.mark.network
def test_what_an_earlier_call_left_is_resumed(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "made_up.pth.partial").write_bytes(CONTENT[:1_000_000])
    assert fetch(made_up(server)).read_bytes() == CONTENT
    assert server.seen == [("/made_up.pth", "bytes=1000000-")]


@pytest.mark.network
@pytest.mark.parametrize("mood", ["no ranges", "no length"])
def test_servers_without_ranges_or_lengths(server: Server, folder: Path, mood: str) -> None:
    folder.mkdir()
    if mood == "no ranges":
        (folder / "made_up.pth.partial").write_bytes(b"x" * 1000)
    server.script = [mood]
    assert fetch(made_up(server)).read_bytes() == CONTENT


@pytest.mark.network
def test_a_leftover_of_another_file_is_not_built_upon(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "made_up.pth.partial").write_bytes(b"x" * 1000)
    with pytest.raises(WeightsError, match="was deleted"):
        fetch(made_up(server))
    assert fetch(made_up(server)).read_bytes() == CONTENT
    (folder / "made_up.pth").unlink()
    (folder / "made_up.pth.partial").write_bytes(b"x" * (len(CONTENT) + 5))
    assert fetch(made_up(server)).read_bytes() == CONTENT


@pytest.mark.network
def test_a_wrong_digest_is_named_and_deleted(server: Server, folder: Path) -> None:
    server.script = ["other"]
    item = made_up(server)
    with pytest.raises(WeightsError, match=rf"{hashlib.sha256(CONTENT[::-1]).hexdigest()}.*{DIGEST}.*deleted"):
        fetch(item)
    assert_nothing_final(item)
    assert not (folder / "made_up.pth.partial").exists()
    assert fetch(item).read_bytes() == CONTENT


@pytest.mark.network
def test_a_web_page_instead_of_the_file(server: Server) -> None:
    server.script = ["page"]
    with pytest.raises(WeightsError, match=r"announces 35 bytes.*has 3,000,000"):
        fetch(made_up(server))
    server.script = ["page"]
    with pytest.raises(WeightsError, match="the server sent a web page"):
        fetch(made_up(server, bytes=None))
    assert_nothing_final(made_up(server))


@pytest.mark.network
def test_server_errors(server: Server) -> None:
    server.script = ["503", "500"]
    assert fetch(made_up(server)).read_bytes() == CONTENT, "a passing failure is tried again"
    path_of(made_up(server)).unlink()
    server.script = ["404"]
    with pytest.raises(WeightsError, match=r"HTTP 404 .*LSE_BENCH_MIRROR, or put the file at .*made_up.pth"):
        fetch(made_up(server))
    server.script = ["404"]
    second = made_up(server, urls=(f"{server.url}/gone", f"{server.url}/there"))
    assert fetch(second).read_bytes() == CONTENT, "the next address is asked"
    with pytest.raises(WeightsError, match="ConnectionError, try 3 of 3"):
        fetch(made_up(server, file="closed.pth", urls=("http://127.0.0.1:9/closed",)))


@pytest.mark.network
@pytest.mark.parametrize(
    "mood",
    [
        "length abc",
        "length ",
        "length 5|7",
        "length ²",
        "length -1",
        "redirect http://[",
        "redirect http://" + "a" * 300 + ".example/",
        "redirect http://\udcff/",
        "redirect file:///etc/passwd",
        "redirect ",
        "raw HTTP/1.1 abc\r\n\r\n",
        "raw \r\n\r\n",
    ],
)
def test_a_hostile_server_is_a_sentence(server: Server, mood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lse_bench.weights.download._WINDOW", 0.2)
    item = made_up(server)
    server.script = [mood] * 9
    told = sentence_of(item)
    if told is None:
        assert path_of(item).read_bytes() == CONTENT, "whole all the same"
    else:
        assert "made_up could not be fetched" in told
        assert_nothing_final(item)


def sentence_of(item: Entry) -> str | None:
    """What fetching a file is refused with, None when it comes."""
    try:
        fetch(item)
    except WeightsError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "sent", ["HTTP/1.1 200 OK\r\n", f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n\r\nab"]
)
def test_a_server_that_sends_next_to_nothing_is_given_up(
    server: Server, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lse_bench.weights.download._WINDOW", 0.2)
    server.script = [f"raw HTTP/1.1 200 OK\r\n{sent}"]
    with pytest.raises(WeightsError, match=r"stopped after .* at least 1 kB/s over 0.2 s"):
        fetch(made_up(server))


def test_always_cut_keeps_what_came(server: Server, folder: Path) -> None:
    server.script = ["cut"] * 3
    item = made_up(server)
    with pytest.raises(WeightsError, match="bytes are kept, and the next try continues from there"):
        fetch(item)
    assert_nothing_final(item)
    held = (folder / "made_up.pth.partial").stat().st_size
    assert 0 < held < len(CONTENT)
    assert fetch(item).read_bytes() == CONTENT and server.seen[-1][1] == f"bytes={held}-"


@pytest.mark.network
@pytest.mark.command
def test_a_disk_that_fills_up(server: Server, folder: Path) -> None:
    """A real write error, from a limit on file size that only the child has."""
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))\n"
        "from lse_bench.errors import UsageError, WeightsError\n"
        "from lse_bench.weights.store import fetch\nfrom lse_bench.weights.table import Entry\n"
        "try:\n    fetch(Entry.model_validate_json(sys.argv[1]))\n"
        "except WeightsError as error:\n    print(error)\n"
    )
    item = made_up(server)
    command = [sys.executable, "-c", program, item.model_dump_json()]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the disk is full after 1,500,000 bytes" in result.stdout and "LSE_BENCH_WEIGHTS" in result.stdout
    assert_nothing_final(item)
    assert fetch(item).read_bytes() == CONTENT


@pytest.mark.network
def test_too_little_room_is_seen_before_writing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("lse_bench.weights.download.shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(WeightsError, match=r"1,000 bytes are free, and 3,000,000 are needed"):
        fetch(made_up(server))
    assert_nothing_final(made_up(server))


@pytest.mark.network
@pytest.mark.command
def test_two_processes_at_once_fetch_once(server: Server) -> None:
    item = made_up(server)
    program = (
        "import sys, hashlib\nfrom lse_bench.weights.store import fetch\nfrom lse_bench.weights.table import Entry\n"
        "print(hashlib.sha256(fetch(Entry.model_validate_json(sys.argv[1])).read_bytes()).hexdigest())\n"
    )
    command = [sys.executable, "-c", program, item.model_dump_json()]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [child.communicate()[0].strip() for child in children] == [DIGEST] * 3
    assert len(server.seen) == 1


@pytest.mark.network
@pytest.mark.parametrize("how", ["option", "variable"])
def test_offline_asks_nobody(server: Server, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "variable":
        monkeypatch.setenv("LSE_BENCH_OFFLINE", "1")
    item = made_up(server)
    with pytest.raises(WeightsError, match=rf"forbids fetching.*{server.url}.*made_up.pth.*{DIGEST}"):
        fetch(item, FetchSettings(offline=how == "option"))
    assert server.seen == []
    path_of(item).parent.mkdir(exist_ok=True)
    path_of(item).write_bytes(CONTENT)
    assert fetch(item, FetchSettings(offline=True)) == path_of(item), "what is here may be used"


@pytest.mark.network
def test_a_mirror_is_asked_first_and_need_not_have_everything(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSE_BENCH_MIRROR", f"{server.url}/mirror/")
    assert fetch(made_up(server)).read_bytes() == CONTENT
    assert server.seen[0][0] == "/mirror/made_up.pth" and len(server.seen) == 1
    path_of(made_up(server)).unlink()
    server.script = ["404"]
    assert fetch(made_up(server)).read_bytes() == CONTENT
    assert server.seen[-1][0] == "/made_up.pth"


@pytest.mark.network
def test_files_behind_a_form_are_explained(server: Server, folder: Path) -> None:
    item = made_up(server, by_hand=True)
    with pytest.raises(WeightsError, match=rf"in a browser from {server.url}.*CC0.*{folder}/made_up.pth.*{DIGEST}"):
        fetch(item)
    assert server.seen == []


@pytest.mark.network
def test_an_unknown_digest_needs_trust_and_is_remembered(server: Server) -> None:
    item, said = made_up(server, sha256=None, bytes=None), []
    with pytest.raises(WeightsError, match="there is no published digest.*--trust"):
        fetch(item)
    assert server.seen == []
    assert fetch(item, FetchSettings(trust=True, say=said.append)).read_bytes() == CONTENT
    assert DIGEST in said[-1] and state_of(item) == "ok"
    path_of(item).write_bytes(b"changed")
    assert state_of(item) == "wrong"


def test_paths_and_names(tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"x")
    assert resolve(mine) == mine
    with pytest.raises(WeightsError, match=r"absent\.pth: no such file"):
        resolve(tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match="Did you mean syncnet_v2"):
        resolve("syncnet_v3")
    with pytest.raises(WeightsError, match="cannot be fetched by a program"):
        resolve("wav2lip")


def test_the_table_is_whole() -> None:
    assert len(table()) >= 20
    assert len({item.file for item in table().values()}) == len(table())
    assert all(item.licence and item.what and item.format for item in table().values())
    assert not entry("visual_quality_disc").confirmed and entry("syncnet_v2").confirmed
    assert entry("speech2vid_v201").sha256 is None
    assert name_of_digest("961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442") == "syncnet_v2"
    assert name_of_digest("0" * 64) is None


@pytest.mark.network
def test_a_wrong_file_in_the_store_is_refused(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "made_up.pth").write_bytes(b"wrong")
    for item in (made_up(server), made_up(server, by_hand=True)):
        with pytest.raises(WeightsError, match=rf"made_up\.pth: sha256 .*{DIGEST} is expected.*Delete"):
            fetch(item)
    assert server.seen == []


@pytest.mark.network
def test_an_address_that_sends_something_else_is_passed_over(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSE_BENCH_MIRROR", f"{server.url}/mirror")
    server.script = ["page"]
    assert fetch(made_up(server)).read_bytes() == CONTENT
    path_of(made_up(server)).unlink()
    server.script = ["other"]
    assert fetch(made_up(server)).read_bytes() == CONTENT


@pytest.mark.network
def test_nothing_is_resumed_that_cannot_be_verified(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "made_up.pth.partial").write_bytes(b"x" * 1000)
    item = made_up(server, sha256=None, bytes=None)
    assert fetch(item, FetchSettings(trust=True)).read_bytes() == CONTENT
    assert server.seen == [("/made_up.pth", None)]


def test_a_folder_does_not_hide_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "syncnet_v2").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="forbids fetching"):
        resolve("syncnet_v2", FetchSettings(offline=True))


@pytest.mark.network
def test_an_official_list_comes_by_the_same_downloader(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from lse_bench.manifests import official_lists

    known = official_lists.corpus("lrs2")
    assert known.list is not None
    digest = hashlib.sha256(CONTENT).hexdigest()
    listed = known.list.model_copy(update={"url": f"{server.url}/l.txt", "sha256": digest, "bytes": len(CONTENT)})
    monkeypatch.setattr(official_lists, "corpus", lambda name: known.model_copy(update={"list": listed}))
    server.script = ["503"]  # the first try fails, and the second one succeeds
    assert official_lists.fetch_list("lrs2", FetchSettings()) == CONTENT
    server.script = ["other"]
    with pytest.raises(UsageError, match="has sha256 .* is expected.*give your copy with --list"):
        official_lists.fetch_list("lrs2", FetchSettings())
