"""Manifests: building, official lists, checks."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import clips
import numpy as np
import pytest

from lse_bench.errors import UsageError
from lse_bench.manifests import official_lists
from lse_bench.manifests.check import check_manifest
from lse_bench.manifests.manifest import Job, Manifest, job_of, read_manifest, write_manifest
from lse_bench.manifests.official_lists import OfficialList, corpora, fetch_list, import_list
from lse_bench.manifests.pairing import build_manifest
from lse_bench.weights.download import FetchSettings


def mock_corpus(root: Path, flavour: str, videos: int, each: int, source: Path) -> list[str]:
    """A corpus whose clips are links to one file; returns the ids."""
    names = []
    for video in range(videos):
        name = f"{'-' if video % 3 == 0 else 'v'}{video:010d}" if flavour == "lrs3" else f"{6 * 10**18 + video}"
        folder = root / ("test" if flavour == "lrs3" else "mvlrs_v1/main") / name
        folder.mkdir(parents=True)
        for number in range(1, each + 1):
            os.link(source, folder / f"{number:05d}.mp4")
            names.append(f"{name}/{number:05d}")
    if flavour == "lrs2":
        tagged = [f"{name} {'NF' if n % 2 else 'MV'}" for n, name in enumerate(names)]
        (root / "test.txt").write_text("\n".join(tagged))  # the published file has tags; here no final newline
    return names


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write(tmp_path_factory.mktemp("clip") / "clip.mp4", clips.even(8), clips.speech(0.32), size=(32, 32))


def official_with(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Make `content` the official list of a corpus."""
    entry = corpora()[name]
    assert entry.list is not None
    digest = hashlib.sha256(content).hexdigest()
    changed = OfficialList(**entry.list.model_dump() | {"sha256": digest, "bytes": len(content)})
    monkeypatch.setitem(corpora(), name, entry.model_copy(update={"list": changed}))


def test_pairs_follow_rule_and_seed(tmp_path: Path, clip: Path) -> None:
    mock_corpus(tmp_path, "lrs2", 5, 3, clip)
    other = build_manifest(tmp_path, 20, seed=4)
    assert len(other.jobs) == 20 and len({job.id for job in other.jobs}) == 20
    assert all(job.groups["video"].split("/")[0] != job.groups["sound"].split("/")[0] for job in other.jobs)
    assert build_manifest(tmp_path, 20, seed=4) == other
    assert build_manifest(tmp_path, 20, seed=5).sha256 != other.sha256
    same = build_manifest(tmp_path, 30, rule="same-speaker")  # all there are: 5 x 3 x 2
    assert all(job.groups["speaker"] == job.groups["sound"].split("/")[0] for job in same.jobs)
    assert all(job.video != job.sound for job in same.jobs)
    alone = build_manifest(tmp_path, None, rule="self")
    assert len(alone.jobs) == 15 and all(job.video == job.sound for job in alone.jobs)
    with pytest.raises(UsageError, match="31 pairs wanted, but 15 clips of 5 speakers allow 30"):
        build_manifest(tmp_path, 31, rule="same-speaker")
    with pytest.raises(UsageError, match="14239 pairs wanted"):  # the published list's size
        build_manifest(tmp_path, None)
    with pytest.raises(UsageError, match="no clips of the split val; there are: test"):
        build_manifest(tmp_path, 3, split="val")


def test_plain_folder_and_read_back(tmp_path: Path, clip: Path) -> None:
    for name in ("anna/1.mp4", "anna/2.mp4", "bert/1.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(clip, tmp_path / "videos" / name)
    manifest = build_manifest(tmp_path / "videos", 4)
    assert {job.video.split("/")[0] != job.sound.split("/")[0] for job in manifest.jobs} == {True}
    path = tmp_path / "pairs.json"
    write_manifest(manifest, path)
    assert read_manifest(path) == manifest
    content = json.loads(path.read_text())
    content["jobs"][0]["video"] = "bert/2.mp4"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="it was edited"):
        read_manifest(path)
    path.write_text("{}")
    with pytest.raises(UsageError, match="not a manifest"):
        read_manifest(path)


def test_jobs_stay_inside_their_folder() -> None:
    for bad in (
        {"id": "../x"},
        {"id": "-x"},
        {"video": "../../etc/passwd"},
        {"video": "/etc/passwd"},
        {"groups": {"Eye colour": "red"}},
    ):
        with pytest.raises(ValueError, match="not safe|leads out|may hold only"):
            Job(**{"id": "a", "video": "v.mp4", "sound": "s.mp4"} | bad)  # type: ignore[arg-type]


def test_official_lists_have_opposite_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lrs2 = b"100/00002 200/00001\n100/00001 300/00004"  # no final newline
    official_with(monkeypatch, "lrs2", lrs2)
    manifest = import_list("lrs2", lrs2)
    assert manifest.name == "lrs2-test"
    first = manifest.jobs[0]
    assert (first.video, first.sound) == ("mvlrs_v1/main/200/00001.mp4", "mvlrs_v1/main/100/00002.mp4")
    assert first.groups == {"video": "200/00001", "sound": "100/00002", "speaker": "200"}
    assert len(manifest.jobs) == 2
    pairs = b"dubbed.mp4 speech.wav\nother.mp4 voice.wav"
    official_with(monkeypatch, "resynced-tts", pairs)
    first = import_list("resynced-tts", pairs).jobs[0]
    assert (first.video, first.sound) == ("dubbed.mp4", "speech.wav")


def test_lrw_ids_find_their_word_and_youtube_ids_stay_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    lrw = b"ABOUT_00018 SOME_THING_00001\n"
    official_with(monkeypatch, "lrw", lrw)
    job = import_list("lrw", lrw).jobs[0]
    assert job.sound == "lipread_mp4/ABOUT/test/ABOUT_00018.mp4"
    assert job.video == "lipread_mp4/SOME_THING/test/SOME_THING_00001.mp4"
    lrs3 = b"-0akiEFwtkyA/00001 -9dummy12345/00002\n"
    official_with(monkeypatch, "lrs3", lrs3)
    job = import_list("lrs3", lrs3).jobs[0]
    assert job.video == "test/-9dummy12345/00002.mp4" and not job.id.startswith("-") and "/" not in job.id


def test_wrong_lists_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lrs2 = b"100/00002 200/00001\n100/00001 300/00004\n"
    with pytest.raises(UsageError, match=r"sha256 .* the official list has c57815f5"):
        import_list("lrs2", lrs2)
    loose = import_list("lrs2", lrs2, any_digest=True)
    assert loose.name == "lrs2-unofficial" and loose.list_sha256 == hashlib.sha256(lrs2).hexdigest()
    with pytest.raises(UsageError, match="line 2 has 3 names"):
        import_list("lrs2", b"a/1 b/2\na/1 b/2 c/3\n", any_digest=True)
    with pytest.raises(UsageError, match="lines 1 and 3 are the same pair"):
        import_list("lrs2", b"a/1 b/2\na/1 b/3\na/1 b/2\n", any_digest=True)
    with pytest.raises(UsageError, match="leads out of the corpus folder"):
        import_list("resynced-tts", b"../a.mp4 b.wav\n", any_digest=True)
    with pytest.raises(UsageError, match="Did you mean lrs2"):
        import_list("lrs22", lrs2)
    with pytest.raises(UsageError, match="no official list"):
        import_list("minilrs", lrs2)
    with pytest.raises(UsageError, match="forbids fetching"):
        fetch_list("lrs2", FetchSettings(offline=True))


def test_every_corpus_file_is_sound() -> None:
    assert {"lrs2", "lrs3", "lrw", "minilrs", "resynced-random", "resynced-tts"} == set(corpora())
    assert official_lists.corpus("lrs3").list.pairs == 14_000  # type: ignore[union-attr]


def test_check_finds_what_is_missing_or_silent(tmp_path: Path, clip: Path) -> None:
    os.link(clip, tmp_path / "good.mp4")
    clips.write(tmp_path / "silent.mp4", clips.even(8))
    clips.write(tmp_path / "dark.mp4", sound=clips.speech(0.4))
    (tmp_path / "broken.mp4").write_bytes(b"")
    jobs = [
        job_of("good", "silent", "good.mp4", "silent.mp4"),
        job_of("dark", "good", "dark.mp4", "good.mp4"),
        job_of("broken", "gone", "broken.mp4", "gone.mp4"),
        job_of("silent", "dark", "silent.mp4", "dark.mp4"),
    ]
    found = check_manifest(Manifest(name="x", corpus="folder", jobs=tuple(jobs)), tmp_path)
    problems = dict(found.problems)
    assert set(problems) == {"silent.mp4", "dark.mp4", "broken.mp4", "gone.mp4"}
    assert "no sound" in problems["silent.mp4"] and "no picture" in problems["dark.mp4"]
    assert "empty" in problems["broken.mp4"] and problems["gone.mp4"] == "no such file"


def test_fourteen_thousand_pairs_are_checked(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the 1,321 files once, however many pairs use it; counts compared with the published ones."""
    names = mock_corpus(tmp_path, "lrs3", 412, 4, clip)[:1321]
    chooser = np.random.default_rng(0)
    pairs: dict[tuple[str, str], None] = {(names[n], names[-1 - n]): None for n in range(1321) if n != 660}
    while len(pairs) < 14_000:
        sound, video = (names[n] for n in chooser.integers(len(names), size=2))
        pairs[(sound, video)] = None
    content = "\n".join(f"{sound} {video}" for sound, video in pairs).encode()
    official_with(monkeypatch, "lrs3", content)
    manifest = import_list("lrs3", content, tmp_path)
    probed: list[int] = []
    found = check_manifest(manifest, manifest.folder(), lambda: probed.append(1))
    assert (found.jobs, found.files, len(probed)) == (14_000, 1321, 1321)
    assert not found.problems and not found.notes
    assert found.seconds == pytest.approx(1321 * 0.32, rel=0.1)
