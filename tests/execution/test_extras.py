"""Without the extras, every option says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from commands import lse_bench_here

from lse_bench.remote import stores


@pytest.mark.parametrize(
    ("module", "words", "line"),
    [
        ("ray", ("LIST", "--ray", "auto"), "--ray needs the package ray: pip install 'lse-bench[ray]'"),
        ("fsspec", ("s3://bucket/clips",), "s3://bucket/clips: reading it needs: pip install 'lse-bench[remote]'"),
        ("s3fs", ("s3://bucket/clips",), "pip install 'lse-bench[remote]' s3fs"),
        ("gcsfs", ("gs://bucket/clips",), "pip install 'lse-bench[remote]' gcsfs"),
    ],
)
def test_a_missing_extra_is_named(
    module: str, words: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(stores.OFFLINE, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    if module == "ray":
        monkeypatch.setattr("lse_bench.versions.find_spec", lambda name: None)
    (tmp_path / "list.csv").write_text("clip\na.mp4\n")
    given = [tmp_path / "list.csv" if word == "LIST" else word for word in words]
    ended = lse_bench_here("score", *given, "--weights", "syncnet-mini", "--out", tmp_path / "run")
    assert ended.returncode == 2 and line in " ".join(ended.stderr.split()), ended.stderr
    assert not (tmp_path / "run").exists()
