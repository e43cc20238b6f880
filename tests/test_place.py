"""A full disk stops a command and is named; it is never a clip's failure."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import clips
import pytest

from lse_bench.errors import ClipError
from lse_bench.generators.video_jobs import failure
from lse_bench.manifests.manifest import Job, Manifest, write_manifest
from lse_bench.place import PlaceError, refuse_place


def test_what_is_of_the_place_and_what_is_of_a_clip(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        with pytest.raises(PlaceError, match=f"{tmp_path}: cannot be written: .*bytes are free. The finished"):
            refuse_place(OSError(number, "no room"), tmp_path)
        with pytest.raises(PlaceError):
            failure("id", OSError(number, "no room"), tmp_path)
    with pytest.raises(PlaceError):
        refuse_place(PermissionError(errno.EACCES, "denied", str(tmp_path / "a.mp4")), tmp_path)
    wrapped = ClipError("a.mp4", "empty_output", "nothing")
    wrapped.__cause__ = OSError(errno.ENOSPC, "no room")
    with pytest.raises(PlaceError):
        failure("id", wrapped, tmp_path)
    theirs = failure("id", PermissionError(errno.EACCES, "denied", "/model.pth"), tmp_path)
    assert (theirs.status, theirs.reason) == ("generator_failed", "PermissionError: [Errno 13] denied: '/model.pth'")
    for number in (errno.ENOENT, errno.EACCES):
        own = OSError(number, "mine", str(tmp_path / ".scratch-x" / "frames.txt"))
        assert failure("id", own, tmp_path).status == "generator_failed", (
            "what a generator does in its scratch is its own"
        )
    assert failure("id", OSError(errno.EIO, "bad block"), tmp_path).status == "generator_failed"


def on_small_disk(place: Path, size: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command while a disk of that size lies at `place`, in a name space of its own."""
    place.mkdir()
    script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", size, str(place),
               sys.executable, "-m", "lse_bench", *map(str, arguments)]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def can_mount(tmp_path: Path) -> bool:
    """Whether this system lets a user have a name space with a disk of its own."""
    return shutil.which("unshare") is not None and on_small_disk(tmp_path / "try", "48k", "--help").returncode == 0


@pytest.mark.command
def test_a_small_disk_stops_a_generation_at_the_first_job(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("no name spaces here")
    clips.write(tmp_path / "a.mp4", clips.even(75), clips.speech(3), size=(320, 240))
    jobs = tuple(Job(id=f"{number}", video="a.mp4", sound="a.mp4") for number in range(9))
    write_manifest(Manifest(name="x", corpus="folder", root=str(tmp_path), jobs=jobs), tmp_path / "m.json")
    out = tmp_path / "disk"
    ended = on_small_disk(out, "64k", "generate", "unsynced", "--manifest", tmp_path / "m.json", "--out", out / "v")
    assert ended.returncode == 1, ended.stderr
    assert f"{out / 'v'}: cannot be written" in ended.stderr or f"{out / 'v'}: its disk is full" in ended.stderr
    assert "9 failed" not in ended.stderr and "generator_failed" not in ended.stderr
