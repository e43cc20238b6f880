"""The way in: bootstrap.py on machines that lack something, and the locks that it and the sessions install from."""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.util
import os
import re
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from lse_bench import systems

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WHEEL = b"a wheel, as far as anybody looks"


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, for a machine without configuration of pip, with a lock of its own."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lock = tmp_path / "bootstrap.lock"
    digest = hashlib.sha256(WHEEL).hexdigest()
    lock.write_text(f"nox==1.0 \\\n    --hash=sha256:{'0' * 64}\npip==26.3 \\\n    --hash=sha256:{digest}\n")
    monkeypatch.setattr(module, "LOCK", lock)
    monkeypatch.setattr(module, "HOME", tmp_path / "home")
    (tmp_path / "home").mkdir()
    for name in list(os.environ):
        if name.startswith("PIP_") or name.lower() in ("http_proxy", "all_proxy", "netrc"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "xdg"))
    monkeypatch.setattr(module, "INDEX", "http://127.0.0.1:9/not-asked")
    real_files = module.pip_files
    monkeypatch.setattr(module, "pip_files", lambda: [path for path in real_files() if tmp_path in path.parents])
    return module


class Index(BaseHTTPRequestHandler):
    """A package index that asks for a login, and sends on to `elsewhere` for files where that is set."""

    login = "me:se cret"
    content = WHEEL
    elsewhere = ""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.headers["Authorization"] != wanted:
            self.send_error(401)
            return
        if self.elsewhere and self.path.startswith("/files/"):
            self.send_response(302)
            self.send_header("Location", self.elsewhere + self.path)
            self.end_headers()
            return
        answers = {
            "/simple/pip/": b'<!DOCTYPE html><a href="../../files/pip-26.2-py3-none-any.whl#sha256=0">old</a>'
            b'<a data-x="1" href="../../files/pip-26.3-py3-none-any.whl#sha256=1">pip-26.3-py3-none-any.whl</a>',
            "/empty/pip/": b"<html></html>",
            "/files/pip-26.3-py3-none-any.whl": self.content,
        }
        if self.path not in answers:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answers[self.path])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def index() -> Iterator[str]:
    """Its address, without the login."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_any_python_3_can_read_it() -> None:
    ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.network
def test_pip_comes_from_the_index_of_the_environment(
    bootstrap: ModuleType, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:se%20cret@{index}/simple")
    wheel = bootstrap.fetch_pip()
    assert wheel.name == "pip-26.3-py3-none-any.whl" and wheel.read_bytes() == WHEEL


@pytest.mark.network
def test_pip_comes_from_the_index_of_a_configuration_file(bootstrap: ModuleType, index: str, tmp_path: Path) -> None:
    (tmp_path / "config" / "pip").mkdir(parents=True)
    (tmp_path / "config" / "pip" / "pip.conf").write_text(
        f"[global]\nindex-url = http://me:se%20cret@{index}/empty/\n"
        f"extra-index-url =\n    http://me:wrong@{index}/simple\n    http://{index}/simple\n"
    )
    (tmp_path / ".netrc").write_text('machine 127.0.0.1 login me password "se cret"\n')
    (tmp_path / ".netrc").chmod(0o600)
    assert bootstrap.fetch_pip().read_bytes() == WHEEL


@pytest.mark.network
def test_the_login_goes_to_no_other_host(bootstrap: ModuleType, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(WHEEL)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal."""

    store = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    monkeypatch.setattr(Index, "elsewhere", f"http://127.0.0.1:{store.server_address[1]}")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:se%20cret@{index}/simple")
    assert bootstrap.fetch_pip().read_bytes() == WHEEL
    assert seen == [None]
    store.shutdown()
    store.server_close()


@pytest.mark.network
def test_another_file_under_pips_name_is_refused(
    bootstrap: ModuleType, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:se%20cret@{index}/simple")
    monkeypatch.setattr(Index, "content", b"something else")
    with pytest.raises(SystemExit, match="another digest than the lock") as stop:
        bootstrap.fetch_pip()
    assert "cret" not in str(stop.value)
    assert list(bootstrap.HOME.iterdir()) == []


def test_pip_comes_from_a_folder_where_there_is_no_index(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "pip-26.3-py3-none-any.whl").write_bytes(WHEEL)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SystemExit, match="names no place"):
        bootstrap.fetch_pip()
    for place in (str(tmp_path / "wheels"), (tmp_path / "wheels").as_uri()):
        monkeypatch.setenv("PIP_FIND_LINKS", place)
        assert bootstrap.fetch_pip().read_bytes() == WHEEL


def test_an_index_may_be_a_folder(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "simple" / "pip").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "pip-26.3-py3-none-any.whl").write_bytes(WHEEL)
    page = '<base href="../../files/"><a href=" pip-26.3-py3-none-any.whl ">pip</a>'
    (tmp_path / "simple" / "pip" / "index.html").write_text(page)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    assert bootstrap.fetch_pip().read_bytes() == WHEEL


def test_only_where_packages_come_from_is_taken_over(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config" / "pip").mkdir(parents=True)
    (tmp_path / "config" / "pip" / "pip.conf").write_text(
        "[global]\nuser = true\ntarget = /elsewhere\nindex_url = http://a/\nproxy = http://p/\n"
        "[install]\n--index-url = http://b/\n"
    )
    for name in ("PIP_TARGET", "PIP_CONSTRAINT", "PYTHONPATH", "VIRTUALENV_NO_PIP", "NOXPYTHON", "PYTHONWARNINGS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "7")
    monkeypatch.setenv("PIP_PROXY", "")
    found = bootstrap.clean_environment()
    kept = {name: value for name, value in found.items() if name.startswith(("PIP_", "PYTHONP", "VIRTUALENV", "NOXP"))}
    assert kept == {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_INDEX_URL": "http://b/",
        "PIP_PROXY": "http://p/",
        "PIP_TIMEOUT": "7",
    }
    assert found["HOME"] == str(tmp_path)


def test_uv_gets_packages_from_where_pip_does(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    given = {
        "PIP_INDEX_URL": "http://a/simple",
        "PIP_EXTRA_INDEX_URL": f"http://b/simple file://{tmp_path}/nowhere file://{tmp_path}/wheels",
        "PIP_FIND_LINKS": f"{tmp_path}/wheels {tmp_path}/nowhere http://c/",
        "PIP_TRUSTED_HOST": "a b",
        "PIP_PROXY": "http://p/",
        "PIP_CERT": "/c.pem",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_NO_INDEX": "0",
        "UV_TARGET": "/elsewhere",
        "UV_INSECURE_HOST": "mine",
    }
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_", "SSL_", "ALL_"))]:
        monkeypatch.delenv(name)  # bootstrap.py itself has set some for the tests
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = bootstrap.clean_environment()
    kept = {name: value for name, value in found.items() if name.startswith(("UV_", "ALL_", "SSL_"))}
    assert kept == {
        "UV_DEFAULT_INDEX": "http://a/simple",
        "UV_INDEX": f"http://b/simple file://{tmp_path}/wheels",
        "UV_FIND_LINKS": f"{tmp_path}/wheels,http://c/",
        "UV_INSECURE_HOST": "mine",
        "UV_NO_CACHE": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "ALL_PROXY": "http://p/",
        "SSL_CERT_FILE": "/c.pem",
    }


def test_no_index_is_said_with_the_way_out(bootstrap: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"(?s)9/not-asked/pip/: .*python3-venv"):
        bootstrap.fetch_pip()


def test_a_python_that_does_not_fit_looks_for_another(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, script in (("python3.13", "exit 127"), ("python3.12", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")  # the first is a stand-in, as pyenv makes them
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.fitting_python() == sys.executable
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 2))
    assert bootstrap.fitting_python() == str(tmp_path / "python3.12")
    (tmp_path / "python3.12").unlink()
    with pytest.raises(SystemExit, match=r"this is Python 3\.9, and LSE-Bench needs"):
        bootstrap.fitting_python()


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ({"ID": "debian", "VERSION_ID": "13"}, "apt-get install libgl1 libglib2.0-0"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "apt-get install libgl1 libglib2.0-0"),
        ({"ID": "fedora"}, "dnf install mesa-libGL glib2"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install mesa-libGL glib2"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "zypper install Mesa-libGL1 libgthread-2_0-0"),
        ({"ID": "unheard-of"}, "apt-get install libgl1 libglib2.0-0"),
    ],
)
def test_each_system_has_its_line(release: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems.platform, "freedesktop_os_release", lambda: release)
    assert systems.install_line() == line


@pytest.mark.command
@pytest.mark.skipif(sys.platform != "linux", reason="other systems need no libraries; it would go on")
def test_missing_libraries_stop_it_with_that_line(tmp_path: Path) -> None:
    """The whole program, where ctypes finds nothing, as in a minimal Debian."""
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes\ndef gone(*a, **k): raise OSError('no such library')\nctypes.CDLL = gone\n"
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "bootstrap.py"), "demo"],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "needs libGL.so.1 and libgthread-2.0.so.0" in done.stderr
    assert done.stderr.rstrip().endswith(systems.install_line())
    assert "Traceback" not in done.stderr


def pins(name: str) -> dict[str, list[Requirement]]:
    """What a lock pins, by package; every line must carry digests."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[Requirement]] = {}
    for line in filter(None, text.splitlines()):
        words, *digests = line.split(" --hash=sha256:")
        assert digests and all(len(digest.strip()) == 64 for digest in digests), line
        pin = Requirement(words.strip())
        found.setdefault(pin.name, []).append(pin)
    return found


def direct() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    return [Requirement(line) for line in lines if not line.startswith("lse-bench")]


def applying(requirements: list[Requirement], python: str) -> list[Requirement]:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    return [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]


PYTHONS = ("3.11", "3.12", "3.13")


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_lies_within_the_ranges(python: str) -> None:
    locked = pins("dev.lock")
    for wanted in applying(direct(), python):
        (pin,) = applying(locked[wanted.name], python)
        (version,) = (one.version for one in pin.specifier)
        assert wanted.specifier.contains(version), f"{wanted}: the lock has {version}; bootstrap.py lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_stated_lower_ends_are_those_that_are_tried(python: str) -> None:
    locked = pins("oldest.lock")
    tools = {Requirement(line).name for line in PROJECT["optional-dependencies"]["dev"]}
    for wanted in applying(direct(), python):
        if wanted.name in tools:
            continue
        (low,) = (one.version for one in wanted.specifier if one.operator == ">=")
        (pin,) = applying(locked[wanted.name], python)
        (version,) = (one.version for one in pin.specifier)
        parts = low.split(".")
        assert version.split(".")[: len(parts)] == parts, f"{wanted}: bootstrap.py oldest tries {version}"


def test_the_pythons_are_the_same_everywhere(bootstrap: ModuleType) -> None:
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert f"PYTHONS = {PYTHONS!r}".replace("'", '"') in noxfile
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert (bootstrap.OLDEST, bootstrap.NEWEST) == ((3, 11), (3, 13))
    named = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+", line)]
    assert named == list(PYTHONS)
