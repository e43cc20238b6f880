"""What a search, a list or a corpus holds besides clips is counted and said, or refused; never dropped in silence."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import clips
import pytest
from commands import lse_bench_here

from lse_bench.errors import UsageError
from lse_bench.faces.detectors import load_detector
from lse_bench.fidelity.sources import items_of, matched
from lse_bench.generators.builtin import Real
from lse_bench.generators.call import Call, Policies, jobs_for
from lse_bench.generators.interface import Options
from lse_bench.generators.run import generate_run
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.generated import read_rows
from lse_bench.manifests.layouts import NoCorpusError, read_corpus
from lse_bench.manifests.listed import list_digest
from lse_bench.manifests.manifest import Job, Manifest, read_manifest
from lse_bench.manifests.pairing import build_manifest
from lse_bench.manifests.search import Passed


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.good(tmp_path_factory.mktemp("clip") / "clip.mp4")


def test_links_are_followed_and_those_that_lead_nowhere_are_rows(tmp_path: Path, clip: Path) -> None:
    data, store = tmp_path / "data", tmp_path / "store" / "spk1"
    store.mkdir(parents=True)
    data.mkdir()
    shutil.copy(clip, store / "a.mp4")
    shutil.copy(clip, data / "own.mp4")
    (data / "spk1").symlink_to("../store/spk1")
    (data / "twice").symlink_to("../store/spk1")
    (data / "loop").symlink_to(".")
    (data / "dangling.mp4").symlink_to("nowhere.mp4")
    passed = Passed()
    found = {one.clip: one.absent for one in find_clips([data], passed=passed)}
    assert sorted(found)[1:] == ["own.mp4", "spk1/a.mp4"] or sorted(found) == ["dangling.mp4", "own.mp4", "twice/a.mp4"]
    assert (
        found["dangling.mp4"] is not None
        and "a link to nowhere.mp4, which is not there" in found["dangling.mp4"].reason
    )
    assert passed.sentence() == "passed over: 2 folders that links lead to again"
    with pytest.raises(UsageError, match="dangling.mp4: a broken link"):
        items_of(data)


def test_what_is_passed_over_is_counted(tmp_path: Path, clip: Path) -> None:
    for name in ("a.mp4", "camcorder.M2TS", "n.f4v", ".hidden.mp4", ".ipynb_checkpoints/a-checkpoint.mp4", "._a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    for name in ("notes.txt", "more.txt", "x.json", "README"):
        (tmp_path / name).touch()
    passed = Passed()
    names = [one.clip for one in find_clips([tmp_path], passed=passed)]
    assert names == ["a.mp4", "camcorder.M2TS", "n.f4v"]
    told = passed.sentence()
    assert told == "passed over: 3 hidden; 4 of another kind (.txt 2, .json 1, no suffix 1)"
    assert [item.path.name for item in items_of(tmp_path)] == names, "fid sees what score sees"
    ended = lse_bench_here("manifest", "build", tmp_path, "--rule", "self", "--out", tmp_path / "m.json")
    assert ended.returncode == 0 and "passed over: 3 hidden" in ended.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, clip: Path) -> None:
    shutil.copy(clip, tmp_path / "a.mp4")
    (tmp_path / "closed").mkdir(mode=0)
    passed = Passed()
    find_clips([tmp_path], passed=passed)
    assert passed.sentence() == f"passed over: 1 folders that cannot be read ({tmp_path / 'closed'})"


def test_boxes_behind_links_count(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "boxes").mkdir()
    (tmp_path / "store" / "a.json").write_text('[[{"bbox": [1, 2, 30, 40]}]]')
    (tmp_path / "boxes" / "spk").symlink_to("../store")
    before = load_detector("boxes", boxes=tmp_path / "boxes").weights_sha256
    (tmp_path / "store" / "a.json").write_text('[[{"bbox": [1, 2, 30, 41]}]]')
    assert load_detector("boxes", boxes=tmp_path / "boxes").weights_sha256 != before


def test_the_folder_above_a_generation_loses_nothing(tmp_path: Path, clip: Path) -> None:
    shutil.copy(clip, tmp_path / "a.mp4")
    jobs = (Job(id="one", video="a.mp4", sound="a.mp4", groups={"speaker": "s"}),)
    wanted = Manifest(name="x", corpus="folder", jobs=(*jobs, Job(id="two", video="gone.mp4", sound="a.mp4")))
    call = Call(Real(Options()), wanted, tmp_path, tmp_path / "videos" / "mine", None, Policies())
    generate_run(call)
    inside, above = find_clips([tmp_path / "videos" / "mine"]), find_clips([tmp_path / "videos"])
    assert [(one.id, one.absent, one.groups) for one in inside] == [(one.id, one.absent, one.groups) for one in above]
    assert [one.clip for one in above] == ["mine/one.mp4", "mine/two.mp4"] and above[1].absent is not None


@pytest.mark.parametrize(
    ("head", "between"),
    [("clip,speaker", ","), ("clip, speaker", ", "), ("Clip,SPEAKER ", ","), ("\ufeffclip,speaker", ",")],
)
def test_names_of_columns_count_in_any_case_and_with_blanks(tmp_path: Path, head: str, between: str) -> None:
    (tmp_path / "list.csv").write_text(f"{head}\na.mp4{between}anna\n", encoding="utf-8")
    (found,) = find_clips([tmp_path / "list.csv"])
    assert (found.clip, found.groups) == ("a.mp4", {"speaker": "anna"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("clip,speakr\na.mp4,s\n", "a column is called 'speakr'. Did you mean speaker?"),
        ("clip,speakers\na.mp4,s\n", "Did you mean speaker?"),
        ("clip,Clip\na.mp4,b.mp4\n", "two columns are called clip"),
        ("clip,path\na.mp4,b.mp4\n", "row 1: clip and path mean the same"),
        ("clip\na,b.mp4\n", "a row has more values than there are columns"),
    ],
)
def test_slips_in_a_list_are_told(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(UsageError) as refused:
        find_clips([tmp_path / "list.csv"])
    assert words in str(refused.value)


def test_other_columns_are_passed_over_and_told(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('[{"clip": "a.mp4", "note": 1}, {"file": "b.mp4", "take": 2}]')
    passed = Passed()
    assert len(find_clips([tmp_path / "list.json"], passed=passed)) == 2
    assert passed.sentence() == "passed over: columns note, take"


def test_lists_are_cut_at_line_feeds_only(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_bytes("clip,speaker\nu\u2028v.mp4,s\n".encode())
    (tmp_path / "n.csv").write_text('clip\n"new\nline.mp4"\n')
    assert [one.clip for one in find_clips([tmp_path / "u.csv"])] == ["u\u2028v.mp4"]
    assert [one.clip for one in find_clips([tmp_path / "n.csv"])] == ["new\nline.mp4"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("deep.json", "[" * 100_000, "nested too deep"),
        ("long.json", '[{"clip": ' + "1" * 5000 + "}]", "Exceeds the limit"),
        ("latin.csv", b"clip\ncaf\xe9.mp4\n", "not a text file in UTF-8: byte 0xe9 in line 2"),
        ("null.csv", b"clip\na\x00b.mp4\n", "row 1: clip: 'a\\x00b.mp4' holds a character that no name can have"),
        ("open.csv", 'clip,speaker\na.mp4,"anna\nb.mp4,ben\n', "a quote that is not closed"),
        ("twice.csv", "clip,sound,sound\na.mp4,b.wav,c.wav\n", "two columns are called sound"),
        ("ids.csv", "clip,id\na.mp4,x\nb.mp4,x\n", "rows 1 and 2 have the id x"),
        ("far.csv", "clip,end\na.mp4,1e18\n", "row 1: start = None, end = 1e+18: at most 1,000,000 s"),
        ("double.json", '[{"clip": "a.mp4", "clip": "b.mp4"}]', "the name 'clip' stands twice in one object"),
        ("half.json", '[{"clip": "\\ud800.mp4"}]', "row 1: clip: "),
        ("wide.csv", "clip\n" + "a" * 200_000 + "\n", "not a CSV list: field larger than field limit"),
    ],
)
def test_hostile_lists_are_a_sentence(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as refused:
        find_clips([path])
    assert words in str(refused.value) and name in str(refused.value)


def test_gaps_and_long_names_of_lists_are_rows(tmp_path: Path) -> None:
    rows = [{"clip": "a" * 300 + ".mp4", "speaker": float("nan"), "id": 7.0, "start": None, "sound": " "}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (row,) = find_clips([tmp_path / "list.json"])
    assert row.absent is not None and row.absent.status == "unreadable"
    assert (row.id, row.groups, row.sound) == ("7", {}, None)


def test_ids_that_are_safe_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("clip,id\na.mp4,anna__x\nb.mp4,50%25\nc.mp4,a/b\n")
    assert [row.id for row in find_clips([tmp_path / "list.csv"])] == ["anna__x", "50%25", "a__b"]


def test_the_way_in_which_a_path_is_written_does_not_count(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x/a.mp4", "y/a.mp4", "z.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for names in (["z.mp4"], ["x/a.mp4", "y/a.mp4"], ["x", "y"]):
        typed = find_clips([Path(name) for name in names])
        assert list_digest(typed) == list_digest(find_clips([tmp_path / name for name in names]))


def test_pipes_and_devices_are_no_lists(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("pipe.csv", "zero.json"):
        with pytest.raises(UsageError, match="no regular file"):
            find_clips([tmp_path / name])
    with pytest.raises(UsageError, match="no regular file"):
        read_manifest(tmp_path / "zero.json")


def lrs2(root: Path, clip: Path) -> Path:
    for speaker in ("1", "2"):
        for number in ("00001", "00002"):
            path = root / "mvlrs_v1" / "main" / speaker / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, path)
            path.with_suffix(".txt").write_text("Text:  HELLO\n")
    (root / "train.txt").write_text("1/00001\n1/00002\n")
    (root / "test.txt").write_text("\ufeff2/00001 NF\n2/00002 MV\n", encoding="utf-8")
    return root


def test_a_damaged_corpus_is_no_plain_folder(tmp_path: Path, clip: Path) -> None:
    root = lrs2(tmp_path / "lrs2", clip)
    assert len(build_manifest(root, None, rule="self").jobs) == 2, "a byte order mark is no part of an id"
    (root / "mvlrs_v1" / "main" / "1" / "00001.mp4").unlink()
    ended = lse_bench_here("manifest", "build", root, "--rule", "self", "--out", tmp_path / "m.json")
    assert ended.returncode == 2 and "train.txt: lists 1/00001, but" in ended.stderr
    for name in ("train", "test"):
        (root / f"{name}.txt").unlink()
    with pytest.raises(UsageError, match="looks like LRS2, but none of train.txt"):
        build_manifest(root, None, rule="self")
    with pytest.raises(NoCorpusError):
        read_corpus(tmp_path)


def test_a_transcript_in_another_encoding_costs_nothing(tmp_path: Path, clip: Path) -> None:
    root = lrs2(tmp_path / "lrs2", clip)
    (root / "mvlrs_v1" / "main" / "2" / "00001.txt").write_bytes(b"Text:  CAF\xc9\n")
    assert [one.text for one in read_corpus(root)[1] if one.id == "2/00001"] == ["CAF\ufffd"]
    (root / "test.txt").write_bytes(b"2/0000\xe9\n")
    with pytest.raises(UsageError, match="test.txt: not a text file in UTF-8: byte 0xe9 in line 1"):
        read_corpus(root)


def test_apples_files_are_no_clips_of_lrs3(tmp_path: Path, clip: Path) -> None:
    for number in ("00001", "00002"):
        path = tmp_path / "test" / "abc" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, path)
        path.with_name(f"._{number}.mp4").write_bytes(b"\0\5\x16\7" + bytes(4000))
    assert [one.id for one in read_corpus(tmp_path)[1]] == ["abc/00001", "abc/00002"]


def test_a_plain_folder_gives_only_what_can_be_paired(tmp_path: Path, clip: Path) -> None:
    for speaker in ("a", "b"):
        (tmp_path / speaker).mkdir()
        shutil.copy(clip, tmp_path / speaker / "1.mp4")
    clips.write(tmp_path / "a" / "mute.mp4", clips.even(30))
    (tmp_path / "b" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "b" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(clip.read_bytes())
    passed = Passed()
    made = build_manifest(tmp_path, None, rule="self", passed=passed)
    assert sorted(job.video for job in made.jobs) == ["a/1.mp4", "b/1.mp4"]
    assert "3 without a picture, without a sound, or unreadable" in str(passed.sentence())


def test_one_speaker_is_told_with_a_way_out(tmp_path: Path, clip: Path) -> None:
    root = lrs2(tmp_path / "lrs2", clip)
    with pytest.raises(UsageError, match="2 clips of 1 speakers allow 0 .* A pair needs two speakers"):
        build_manifest(root, 2)
    with pytest.raises(UsageError, match="allow 2 with the rule same-speaker. --pairs 2 takes them all"):
        build_manifest(root, 5, rule="same-speaker")


def test_sources_that_differ_in_their_suffix_have_real_rows(tmp_path: Path, clip: Path) -> None:
    for name in ("x.mp4", "x.avi", "y.mp4"):
        shutil.copy(clip, tmp_path / name)
    jobs = [Job(id=name[0] + name[-1], video=name, sound="y.mp4") for name in ("x.mp4", "x.avi", "y.mp4")]
    wanted = Manifest(name="stems", corpus="folder", jobs=tuple(jobs))
    assert sorted(job.id for job in jobs_for(Real(Options()), wanted).jobs) == ["x.avi", "x.mp4", "y"]
    generate_run(Call(Real(Options()), jobs_for(Real(Options()), wanted), tmp_path, tmp_path / "out", None, Policies()))
    assert [row.status for row in read_rows(tmp_path / "out")] == ["ok"] * 3


def test_a_manifest_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(
        "\ufeff" + json.dumps({"schema": 1, "name": "m", "corpus": "c", "jobs": [{"id": "a", "video": "v"}]})
    )
    with pytest.raises(UsageError, match=r"not a manifest \(jobs.0.sound: Field required\)"):
        read_manifest(path)
    path.write_text("[" * 50_000)
    with pytest.raises(UsageError, match="nested too deep"):
        read_manifest(path)


def test_matched_sets_keep_suffixes_apart(tmp_path: Path, clip: Path) -> None:
    for folder, names in (("one", ["a.mp4", "a.avi", "b.mp4"]), ("two", ["a.mp4", "a.avi", "b.mkv"])):
        for name in names:
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.copy(clip, tmp_path / folder / name)
    first, second = matched(items_of(tmp_path / "one"), items_of(tmp_path / "two"))
    assert [item.path.name for item in first] == ["a.avi", "a.mp4", "b.mp4"]
    assert [item.path.name for item in second] == ["a.avi", "a.mp4", "b.mkv"]
