from __future__ import annotations

import json
from pathlib import Path

import pytest

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.listed import list_digest
from lse_bench.naming import safe_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("6330311066473698535/00011", "6330311066473698535__00011"),
        ("-abc123/00001", "%2Dabc123__00001"),
        ("plain_name.v2", "plain_name.v2"),
        ("a__b", "a%5F%5Fb"),
        ("../up", "%2E.__up"),
        ("new\nline:?*", "new%0Aline%3A%3F%2A"),
        ("唇", "唇"),
    ],
)
def test_ids_are_safe_file_names(name: str, expected: str, tmp_path: Path) -> None:
    assert safe_id(name) == expected
    (tmp_path / f"{expected}.npz").touch()


def test_different_names_stay_different() -> None:
    names = ["a/b", "a__b", "a%5F%5Fb", "-a", "%2Da", "a b", "x" * 300, "x" * 301, ".a", "a\\b/c", "a/_b", "a_/b"]
    assert len({safe_id(name) for name in names}) == len(names)
    assert all(len(safe_id(name).encode()) <= 160 for name in names)


def test_folders_are_searched_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.mp4", "2.mp4", "sub/1.AVI", "notes.txt", ".hidden/3.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [clip.id for clip in find_clips([tmp_path])] == ["2", "10", "sub__1"]


def test_equal_names_get_their_suffix_or_folder_into_the_id(tmp_path: Path) -> None:
    for name in ("x/a.mp4", "x/a.avi", "y/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    ids = [clip.id for clip in find_clips([tmp_path / "x", tmp_path / "y"])]
    assert len(set(ids)) == 3
    with pytest.raises(UsageError, match="listed only once"):
        find_clips([tmp_path / "x" / "a.mp4", tmp_path / "x" / "a.mp4"])


def test_lists_of_clips(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    table = tmp_path / "list.csv"
    head = "clip,id,group_video,group_sound,speaker,group_language,note"
    table.write_text(f"{head}\na.mp4,first,v1,s1,p1,en,x\nb.mp4,,v2,s1,,,\n", encoding="utf-8-sig")
    first, second = find_clips([table])
    assert (first.id, first.groups) == ("first", {"video": "v1", "sound": "s1", "speaker": "p1", "language": "en"})
    assert first.absent is None and second.id == "b"
    assert second.absent is not None and second.absent.status == "unreadable"
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps(["a.mp4", {"file": "a.mp4", "id": 7}]))
    assert [clip.id for clip in find_clips([listed])] == ["a", "7"]
    assert find_clips([listed], root=tmp_path / "else")[0].absent is not None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.csv", "name\nx\n", "row 1: clip: names no file"),
        ("l.csv", "clip\n", "empty"),
        ("l.json", "{", "not JSON"),
        ("l.json", '{"clip": "a"}', "a JSON list"),
        ("l.json", '[{"clip": ["a"]}]', "row 1: clip: .* is no text"),
        ("l.csv", "clip,audio\na.mp4,s1\n", "called 'audio'. Rename it to `sound` if .* or to `group_sound`"),
        ("l.csv", "clip,sound\na.mp4,s1\n", "row 1: sound: no such file: .*rename it to `group_sound`"),
        ("l.csv", "clip,video\na.mp4,v1\n", "row 1: clip and video mean the same; .*rename `video` to `group_video`"),
        ("l.csv", "clip,start,end\na.mp4,2,1\n", "row 1: end = 1.0: a part ends after its start"),
        ("l.csv", "clip,start\na.mp4,soon\n", "row 1: start: 'soon' is no number of seconds"),
        ("l.tsv", "clip\tspeakr\na.mp4\ts\n", "Did you mean speaker"),
        ("l.jsonl", '{"clip": "a.mp4"}\n{"clip"\n', "l.jsonl, line 2"),
        ("l.parquet", "no parquet", "not a Parquet file"),
    ],
)
def test_bad_lists_are_explained(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=words):
        find_clips([tmp_path / name])


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no video files"):
        find_clips([tmp_path])
    with pytest.raises(UsageError, match="no such file"):
        find_clips([tmp_path / "absent"])


def test_digest_sees_ids_names_and_groups_but_not_the_place(tmp_path: Path) -> None:
    digests = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.mp4").touch()
        digests.append(list_digest(find_clips([tmp_path / place])))
    assert digests[0] == digests[1]
    (tmp_path / "one" / "b.mp4").touch()
    assert list_digest(find_clips([tmp_path / "one"])) != digests[0]
