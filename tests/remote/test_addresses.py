"""Addresses: how they travel, what they hide, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import lse_bench_here

from lse_bench.errors import UsageError
from lse_bench.naming import whole
from lse_bench.remote.addresses import address_of, is_network, joined, suffix_of, without_secrets
from lse_bench.remote.stores import OFFLINE, forbidden, store_of


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/a b/c.mp4",
        "gs://bucket",
        "hf://datasets/me/mine/a.mp4",
        "https://host:8080/clips/a.mp4?key=1",
        "memory://a.mp4",
        "zip://inside/a.mp4::s3://bucket/all.zip",
        "tar://a.mp4::/here/000.tar",
    ],
)
def test_an_address_survives_as_a_path(address: str) -> None:
    path = Path(address)
    assert address_of(path) == address_of(address) == address
    assert whole(path) == path
    assert address_of(path.parent / "b.mp4") is None or "b.mp4" in str(address_of(path.parent / "b.mp4"))


def test_local_names_are_no_addresses(tmp_path: Path) -> None:
    for name in ("a.mp4", "/s3/a.mp4", "s3", "dir/s3:/a.mp4", "C:/a.mp4", "file://a.mp4", "ftp://host/a.mp4"):
        assert address_of(name) is None
    assert joined(tmp_path, "a.mp4") == tmp_path / "a.mp4"
    assert address_of(joined(tmp_path, "s3://b/a.mp4")) == "s3://b/a.mp4"
    assert address_of(joined(Path("s3://b/x"), "y/a.mp4")) == "s3://b/x/y/a.mp4"
    assert address_of(joined(Path("zip://in::s3://b/x.zip"), "a.mp4")) == "zip://in/a.mp4::s3://b/x.zip"
    assert address_of(joined(Path("zip://::/x.zip"), "a.mp4")) == "zip://a.mp4::/x.zip"
    assert not is_network("zip://a::/here.zip") and is_network("zip://a::https://host/x.zip")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/a.mp4?X-Amz-Signature=abc&x=1", "https://host/a.mp4?…"),
        ("GET https://user:pass@host/a.mp4 failed", "GET https://host/a.mp4 failed"),
        ("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
        ("no address? none", "no address? none"),
        ("'https://h/a?k=1' and https://h/b?k=2", "'https://h/a?…' and https://h/b?…"),
    ],
)
def test_keys_are_cut(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    ("path", "suffix"),
    [("https://h/l.CSV?key=a.b", ".csv"), ("zip://in/a.mp4::/x.zip", ".mp4"), ("a.b/c.Tar", ".tar"),
     ("a?b.csv", ".csv"), ("s3://bucket/clips", ""), ("s3://bucket/v1.0/clips", "")],
)  # fmt: skip
def test_suffixes_are_those_of_the_names(path: str, suffix: str) -> None:
    assert suffix_of(Path(path)) == suffix


def test_the_network_can_be_forbidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(OFFLINE, "0")
    assert not forbidden()
    monkeypatch.setenv(OFFLINE, "1")
    with pytest.raises(UsageError, match=r"s3://bucket/a\.mp4: needs the network, but --offline"):
        store_of("s3://bucket/a.mp4")
    ended = lse_bench_here("score", "https://host/list.csv?key=secret", "--weights", "syncnet-mini", "--offline")
    assert ended.returncode == 2 and "needs the network" in ended.stderr and "secret" not in ended.stderr
    for scheme in ("ftp", "file", "sftp", "github"):
        ended = lse_bench_here("score", f"{scheme}://host/clips", "--weights", "syncnet-mini")
        assert ended.returncode == 2, scheme
