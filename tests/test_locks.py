"""File systems without locks: the work goes on, and a sentence says what is not guarded."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import filelock
import pytest

from lse_bench.storage import open_lines
from lse_bench.weights.store import _alone


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_lines_are_written_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with open_lines(tmp_path / "records.jsonl") as append:
        append({"id": "a"})
    assert (tmp_path / "records.jsonl").read_text() == '{"id": "a"}\n'
    assert f"{tmp_path}: its file system has no locks ({os.strerror(number)})" in caplog.text


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("does not appear to support flock")]
)
def test_weights_are_fetched_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with _alone(tmp_path / "weights" / "syncnet.model"):
        pass
    assert "its file system has no locks. Fetch syncnet.model with one command at a time" in caplog.text
