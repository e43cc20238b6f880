"""Own lists of pairs, plain folders, and edits of manifests."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import clips
import pytest
from commands import lse_bench_here

from lse_bench.errors import UsageError
from lse_bench.manifests.edit import join, keep, sample, split
from lse_bench.manifests.manifest import Job, Manifest, read_manifest
from lse_bench.manifests.pair_lists import manifest_from
from lse_bench.manifests.pairing import build_manifest
from lse_bench.manifests.preview import Preview

ROWS = [
    {"id": "utt1", "video": "v/a.mp4", "sound": "s/x.wav", "speaker": "anna", "group_language": "en"},
    {"id": "utt2", "video": "v/b.mp4", "sound": "s/y.wav", "speaker": "bo", "group_language": "ko"},
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.good(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for row in ROWS:
        for name in ("video", "sound"):
            (tmp_path / row[name]).parent.mkdir(exist_ok=True)
            (tmp_path / row[name]).write_bytes(b"x")
    return tmp_path


def written(folder: Path, suffix: str) -> Path:
    """The rows as a list of this form."""
    path = folder / f"pairs{suffix}"
    if suffix in (".csv", ".tsv"):
        between = "," if suffix == ".csv" else "\t"
        path.write_text("\n".join(between.join(line) for line in [list(ROWS[0]), *(r.values() for r in ROWS)]))
    elif suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_lists_of_five_forms_give_the_same_pairs(suffix: str, data: Path) -> None:
    preview = Preview()
    made = manifest_from(written(data, suffix), preview=preview)
    assert [(job.id, job.video, job.sound) for job in made.jobs] == [
        ("utt1", "v/a.mp4", "s/x.wav"),
        ("utt2", "v/b.mp4", "s/y.wav"),
    ]
    groups = {"video": "v/a", "sound": "s/x", "speaker": "anna", "language": "en"}
    assert made.jobs[0].groups == groups and made.root == str(data) and made.name == "pairs"
    assert made.sha256 == manifest_from(written(data, ".json")).sha256
    assert preview.lines[0] == "video ← column video: 2 files, all found, such as v/a.mp4"
    assert "speaker ← column speaker: 2 speakers: anna (1), bo (1)" in preview.lines and not preview.doubts


def test_a_list_is_understood_or_the_doubt_is_told(data: Path) -> None:
    path = data / "pairs.csv"
    path.write_text("path,wav,take\nv/a.mp4,s/x.wav,1\nv/gone.mp4,s/y.wav,2\n")
    out = data / "m.json"
    columns = ("--column", "video=path", "--column", "sound=wav")
    ended = lse_bench_here("manifest", "from", path, "--out", out, *columns, "--speaker-from", "v/(?P<speaker>.)")
    assert ended.returncode == 0, ended.stderr
    assert "files of the column video that do not exist: 1: v/gone.mp4" in ended.stderr
    assert "speaker ← --speaker-from v/(?P<speaker>.): 2 speakers" in ended.stderr
    assert "passed over: columns take (a group is a column group_NAME)" in ended.stderr
    assert [job.id for job in read_manifest(out).jobs] == ["v__a+s__x", "v__gone+s__y"]
    bare = lse_bench_here("manifest", "from", path, "--out", out, *columns)
    assert "speaker ← none" in bare.stderr and "speaker" not in read_manifest(out).jobs[0].groups


def test_names_may_lead_out_of_the_lists_folder(data: Path) -> None:
    (data / "lists").mkdir()
    path = data / "lists" / "pairs.csv"
    path.write_text(f"video,sound\n../v/a.mp4,{data}/s/x.wav\n")
    made = manifest_from(path)
    assert (made.root, made.jobs[0].video, made.jobs[0].sound) == (str(data), "v/a.mp4", "s/x.wav")
    path.write_text("video,sound\nv/a.mp4,s/x.wav\n")
    assert manifest_from(path, root=data).jobs[0].video == "v/a.mp4"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.csv", "clip,sond\nv/a.mp4,s/x.wav\n", "a column is called 'sond'. Did you mean sound"),
        ("l.csv", "video,wav\nv/a.mp4,s/x.wav\n", "no column `sound`; there are: video, wav"),
        ("l.csv", "file_name,sound\nv/a.mp4,s/x.wav\n", "no column `video`|Did you mean filename"),
        ("l.csv", "video,sound\nv/a.mp4,\n", "row 1: sound: is empty"),
        ("l.csv", "video,sound\nv/a.mp4,s/x.wav\nv/a.mp4,s/x.wav\n", "rows 1 and 2 have the id v__a\\+s__x"),
        ("l.csv", "id,video,sound\na/b,v/a.mp4,s/x.wav\n", "row 1: .*'a/b' is not safe as a file name"),
        ("l.csv", "video,audio\nv/a.mp4,s/x.wav\n", "called 'audio'. Rename it to `sound`"),
        ("l.csv", "video,sound,speaker,group_speaker\nv/a.mp4,s/x.wav,a,b\n", "row 1: speaker and group_speaker mean"),
        ("l.csv", "video,sound\nV/a.mp4,S/x.wav\n", "no file of the list exists"),
        ("l.json", '[{"video": ["a"], "sound": "b"}]', "row 1: video: .* is no text"),
        ("l.jsonl", '{"video": "v/a.mp4", "sound": "s/x.wav"}\nnot json\n', "l.jsonl, line 2"),
        ("l.txt", "a b\n", "not a list; the name of a list ends in .csv"),
        ("l.csv", "video,sound,start\nv/a.mp4,s/x.wav,1\n", "row 1: start, end: a pair is of whole files"),
        ("l.parquet", "PAR1", "not a Parquet file"),
    ],
)
def test_wrong_lists_are_refused_with_row_and_column(data: Path, name: str, content: str, words: str) -> None:
    (data / name).write_text(content)
    with pytest.raises(UsageError, match=words):
        manifest_from(data / name)


def test_a_small_parquet_file_cannot_fill_the_memory(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "bomb.parquet"
    texts = pyarrow.array(["v" * 1_000_000]).dictionary_encode()
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 300_000, pyarrow.int32()), texts.dictionary)
    parquet.write_table(pyarrow.table({"video": column, "sound": column}), path)
    assert path.stat().st_size < 5_000_000, "300 GB if it were decoded"
    with pytest.raises(UsageError, match="a text of 1,000,000 characters; at most 10,000"):
        manifest_from(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speaker_from": "v/(.)"}, "the group \\(\\?P<speaker>…\\) is missing"),
        ({"speaker_from": "("}, "not a regular expression"),
        ({"speaker_from": "w/(?P<speaker>.)"}, "row 1: video: --speaker-from .* finds nothing in v/a.mp4"),
        ({"renamed": {"video": "vdeo"}}, "no column called vdeo. Did you mean video"),
        ({"renamed": {"picture": "video"}}, "no column called picture is known"),
        ({"root": Path("nowhere")}, "--root nowhere: no such folder"),
    ],
)
def test_wrong_options_are_refused(data: Path, options: dict[str, object], words: str) -> None:
    (data / "l.csv").write_text("video,sound\nv/a.mp4,s/x.wav\n")
    with pytest.raises(UsageError, match=words):
        manifest_from(data / "l.csv", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "speaker_from", "speakers", "words"),
    [
        # VoxCeleb, HDTF in folders, a flat folder, and HDTF's names
        (["mp4/id1/v1/1.mp4", "mp4/id1/v2/1.mp4", "mp4/id2/v3/1.mp4"], None, {"id1": 2, "id2": 1}, "folder 2"),
        (["HDTF/anna/1.mp4", "HDTF/bo/1.mp4"], r"HDTF/(?P<speaker>[^/]+)/", {"anna": 1, "bo": 1}, "--speaker-from"),
        (["RD_Radio1_000.mp4", "WDA_Chair_001.mp4"], None, {None: 2}, "none: each video counts"),
        (
            ["RD_Radio1_000.mp4", "RD_Radio1_001.mp4", "WDA_Chair_001.mp4"],
            r"^(?P<speaker>.+)_\d+\.",
            {"RD_Radio1": 2, "WDA_Chair": 1},
            "--speaker-from",
        ),
    ],
)
def test_plain_folders_tell_how_speakers_were_found(
    names: list[str], speaker_from: str | None, speakers: dict[str | None, int], words: str, clip: Path, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    preview = Preview()
    made = build_manifest(tmp_path, None, rule="self", speaker_from=speaker_from, preview=preview)
    assert Counter(job.groups.get("speaker") for job in made.jobs) == speakers
    assert words in preview.lines[0]
    with pytest.raises(UsageError, match="finds nothing in"):
        build_manifest(tmp_path, None, rule="self", speaker_from="(?P<speaker>nobody)")


def some() -> Manifest:
    jobs = [
        Job(id=f"j{n}", video=f"v{n % 5}.mp4", sound=f"s{n}.wav", groups={"speaker": "abcde"[n % 5]}) for n in range(20)
    ]
    return Manifest(name="all", corpus="mine", root="/data/one", jobs=tuple(jobs))


def test_edits_keep_the_digest_right() -> None:
    whole = some()
    kept = keep(whole, ["speaker=a,b", "id!=j0"])
    assert [job.id for job in kept.jobs] == ["j1", "j5", "j6", "j10", "j11", "j15", "j16"]
    assert kept.sha256 == Manifest.model_validate(kept.model_dump(by_alias=True)).sha256 != whole.sha256
    assert keep(whole, []).sha256 == whole.sha256
    drawn = sample(whole, 7, seed=3)
    assert len(drawn.jobs) == 7 and drawn == sample(whole, 7, seed=3) != sample(whole, 7, seed=4)
    parts = split(whole, ["train=0.6", "test=0.4"], by="speaker", seed=1)
    speakers = {name: {job.groups["speaker"] for job in part.jobs} for name, part in parts.items()}
    assert not speakers["train"] & speakers["test"] and sum(len(part.jobs) for part in parts.values()) == 20
    other = Manifest(name="more", corpus="mine", root="/data/two", jobs=(Job(id="x", video="v.mp4", sound="s.wav"),))
    both = join([whole, other])
    assert (both.root, both.jobs[0].video, both.jobs[-1].video) == ("/data", "one/v0.mp4", "two/v.mp4")
    assert both.jobs[0].groups == {"speaker": "one/a"}, "speaker a of two corpora is two people"
    assert [job.id for job in keep(whole, ["video=v[1].mp4,v1.mp4"]).jobs] == ["j1", "j6", "j11", "j16"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda: keep(some(), ["speakr=a"]), "no field called speakr. Did you mean speaker"),
        (lambda: keep(some(), ["speaker"]), "written NAME=PATTERN"),
        (lambda: keep(some(), ["speaker=z"]), "no pair is left with --where speaker=z"),
        (lambda: sample(some(), 21), "--sample 21, but there are 20 pairs"),
        (lambda: split(some(), ["a=0.5", "b=0.4"]), "shares that add up to 1"),
        (lambda: split(some(), ["a=half"]), "written NAME=SHARE"),
        (lambda: split(some(), ["a=0.5", "b=0.5"], by="language"), "has no group language"),
        (lambda: split(some(), ["a=0.99", "b=0.01"], by="speaker"), "the part b would be empty"),
        (lambda: join([some(), some()]), "two jobs have the id j0"),
    ],
)
def test_edits_that_leave_nothing_are_refused(edit: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        edit()  # type: ignore[operator]


def test_edits_through_the_command(tmp_path: Path) -> None:
    from lse_bench.manifests.manifest import write_manifest

    write_manifest(some(), tmp_path / "all.json")
    shares = ("--split", "train=0.8", "--split", "test=0.2", "--by", "speaker")
    ended = lse_bench_here("manifest", "edit", tmp_path / "all.json", *shares, "--out", tmp_path / "parts")
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["test.json", "train.json"]
    assert len(read_manifest(tmp_path / "parts" / "test.json").jobs) == 4
    wrong = lse_bench_here("manifest", "edit", tmp_path / "all.json", "--by", "speaker", "--out", tmp_path / "x.json")
    assert wrong.returncode == 2 and "--by belongs to --split" in wrong.stderr


def test_a_column_of_speakers_is_never_replaced_by_a_guess(clip: Path, tmp_path: Path) -> None:
    for name in ("anna/1.mp4", "anna/2.mp4", "ben/1.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    (tmp_path / "l.csv").write_text("clip,speaker\nanna/1.mp4,S1\nanna/2.mp4,S1\nben/1.mp4,\n")
    preview = Preview()
    made = build_manifest(tmp_path / "l.csv", None, rule="self", preview=preview)
    assert [job.groups.get("speaker") for job in made.jobs] == ["S1", "S1", None]
    assert [job.id for job in made.jobs] == ["anna__1+anna__1", "anna__2+anna__2", "ben__1+ben__1"]
    assert preview.doubts == ["videos without a speaker: 1 of 3; each counts as a speaker of its own"]
    with pytest.raises(UsageError, match="has a column speaker already"):
        build_manifest(tmp_path / "l.csv", None, rule="self", speaker_from="(?P<speaker>.)")
    with pytest.raises(UsageError, match="finds nothing in"):
        build_manifest(tmp_path, None, rule="self", speaker_from="^(?P<speaker>x*)")
