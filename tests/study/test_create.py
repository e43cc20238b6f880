"""Studies from folders of videos: the clips and the plans give nothing away, and a stopped command goes on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from clips import good
from commands import killed, lse_bench_here
from studies import METHODS, make_study, make_videos

from lse_bench.errors import UsageError
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.reporting import Report
from lse_bench.study.clips import shift_of
from lse_bench.study.folder import STUDY_FILE, Study, clip_path, read_study
from lse_bench.study.sheet import preset_sheet, presets, read_sheet, sheet_toml
from lse_bench.tasks.declared_studies import StudyOptions
from lse_bench.tasks.studies import create_study
from lse_bench.weights.readers import file_digest


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_videos(tmp_path_factory.mktemp("videos")).parent


@pytest.fixture(scope="module")
def folder(videos: Path) -> Path:
    return make_study(videos, preset="wav2lip-paper")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return read_study(folder)


def sound(path: Path) -> np.ndarray:
    return np.concatenate(list(read_sound(probe(path)))).astype(float)


def test_clips_of_a_source_differ_in_nothing_but_their_content(folder: Path, study: Study) -> None:
    by_item: dict[str | None, set[tuple[object, ...]]] = {}
    for clip in study.clips:
        path = clip_path(folder, clip.name)
        with av.open(str(path)) as media:
            picture, heard = media.streams.video[0], media.streams.audio[0]
            about = (
                *(path.stat().st_size, path.stat().st_mtime_ns, picture.frames, picture.duration, heard.duration),
                *(picture.width, picture.height, picture.codec.name, heard.codec.name, heard.rate),
                str(sorted(media.metadata.items())),
                str(sorted(picture.metadata.items())),
            )
        by_item.setdefault(clip.item if clip.purpose != "example" else clip.purpose, set()).add(about)
    assert {item: len(abouts) for item, abouts in by_item.items()} == dict.fromkeys(by_item, 1)


def test_names_say_nothing(folder: Path, study: Study) -> None:
    assert all(len(clip.name) == 16 and int(clip.name, 16) >= 0 for clip in study.clips)
    assert len({clip.name for clip in study.clips}) == len(study.clips)
    assert {path.stem for path in (folder / "clips").iterdir()} == {clip.name for clip in study.clips}
    other = make_study(folder.parent, "other", preset="wav2lip-paper")
    assert not {clip.name for clip in study.clips} & {clip.name for clip in read_study(other).clips}


def test_the_samples_of_the_desynchronised_clip_are_moved(folder: Path, study: Study) -> None:
    for item in study.items:
        real, moved = (
            next(
                clip
                for clip in study.clips
                if clip.item == item and clip.method == method and clip.purpose != "example"
            )
            for method in ("real", "desync")
        )
        assert moved.shift_seconds > 0.6 and real.shift_seconds == 0
        one, other = sound(clip_path(folder, real.name)), sound(clip_path(folder, moved.name))
        n = min(len(one), len(other), 16_000)
        lags = [np.corrcoef(np.roll(one[:n], lag), other[:n])[0, 1] for lag in range(0, 16_000, 16)]
        assert 16 * int(np.argmax(lags)) / 16_000 == pytest.approx(moved.shift_seconds, abs=0.08)


@pytest.mark.parametrize(
    ("seconds", "late", "early"), [(1.0, 0.65, 0.35), (1.4, 0.7, 0.7), (1.6, 0.8, 0.8), (4, 0.8, 3.2)]
)
def test_moved_sound_is_far_off_in_short_clips_too(seconds: float, late: float, early: float) -> None:
    frames = round(seconds * 25)
    assert shift_of(frames) == pytest.approx(late) and seconds - shift_of(frames) == pytest.approx(early)


@pytest.mark.parametrize("name", ["real", "unsynced", "desync", "", " ours", "a\nb", "x" * 61])
def test_a_method_needs_a_name_of_its_own(videos: Path, name: str) -> None:
    methods = {name: videos / "ours", "theirs": videos / "theirs"}
    options = StudyOptions(clips=4, trials=4, raters=2, anchors="none")
    with pytest.raises(UsageError, match="--method"):
        create_study(videos / "named", videos / "pairs.json", methods, options, Report())


@pytest.mark.command
def test_another_group_of_methods_makes_every_clip_anew(tmp_path: Path, videos: Path) -> None:
    """Sizes and lengths depend on the group; a stopped study with other methods leaves nothing in this one."""
    words = ["study", "create", "--manifest", videos / "pairs.json", "--method", f"ours={videos / 'ours'}"]
    words += ["--clips", 4, "--trials", 4, "--raters", 2, "--longest", 1, "--out", tmp_path / "study"]
    killed("lse_bench.study.materials:make_group", 3, *words)
    ended = lse_bench_here(*words, "--method", f"theirs={videos / 'theirs'}")
    assert ended.returncode == 0, ended.stderr
    study = read_study(tmp_path / "study")
    sizes: dict[str | None, set[int]] = {}
    for clip in study.clips:
        path = clip_path(tmp_path / "study", clip.name)
        assert clip.sha256 == file_digest(path)
        if clip.purpose in ("trial", "desync"):
            sizes.setdefault(clip.item, set()).add(path.stat().st_size)
    assert all(len(one) == 1 for one in sizes.values())


def test_plans_are_balanced_and_hold_checks(study: Study) -> None:
    clips = {clip.name: clip for clip in study.clips}
    shown: Counter[str] = Counter()
    for plan in study.plans:
        steps = [step for step in plan if step.kind != "between"]
        roles = Counter(step.role for step in steps)
        assert roles["trial"] == study.trials == 6 and roles["attention"] >= 2
        assert len({step.id for step in plan}) == len(plan)
        blocks: list[list[str]] = [[]]
        kind = plan[0].kind
        for step in plan:
            if step.kind == "between" or (blocks[-1] and step.kind != kind):
                blocks.append([])
            if step.kind != "between":
                kind = step.kind
                blocks[-1].append(clips[step.clips[0]].item or "")
        for block in blocks:
            assert len(set(block)) == len(block), "a source occurs once in a block"
        for step in steps:
            methods = [clips[name].method for name in step.clips]
            if step.role == "attention":
                assert "desync" in methods and (step.kind == "rating" or set(methods) == {"desync", "real"})
            if step.role == "trial":
                assert "desync" not in methods
                shown.update(methods)
            if step.repeats is not None:
                before = next(one for one in steps if one.id == step.repeats)
                assert before.clips == step.clips and steps.index(before) < steps.index(step)
    assert set(shown) == {"real", "unsynced", *METHODS}
    assert max(shown.values()) - min(shown.values()) <= 4
    assert any(step.repeats for plan in study.plans for step in plan)


def test_the_manifest_of_the_study_says_what_was_rated(folder: Path, study: Study) -> None:
    assert study.methods == ["real", "unsynced", "ours", "theirs"] and len(study.items) == 5
    assert study.licence is not None and "Apache" in study.licence
    assert {one.kind for one in study.estimates} == {"rating", "pairwise"}
    for clip in study.clips:
        assert clip.sha256 == file_digest(clip_path(folder, clip.name))
        assert (clip.source_sha256 is None) == (clip.purpose == "sound")


@pytest.mark.slow
@pytest.mark.command
def test_a_killed_command_goes_on(tmp_path: Path, videos: Path) -> None:
    words = ["study", "create", "--manifest", videos / "pairs.json", "--method", f"ours={videos / 'ours'}"]
    words += ["--clips", 4, "--trials", 4, "--raters", 2, "--longest", 1, "--out", tmp_path / "study"]
    killed("lse_bench.study.materials:make_group", 2, *words)
    assert not (tmp_path / "study" / STUDY_FILE).exists()
    before = {path.name: path.stat().st_ino for path in (tmp_path / "study" / "clips").glob("*.mp4")}
    ended = lse_bench_here(*words)
    assert ended.returncode == 0, ended.stderr
    after = {path.name: path.stat().st_ino for path in (tmp_path / "study" / "clips").glob("*.mp4")}
    same = [name for name, place in after.items() if before.get(name) == place]
    assert len(same) >= 4, "the clips of the first pair were not made again"
    assert len(after) == len(read_study(tmp_path / "study").clips)
    again = lse_bench_here(*words)
    assert again.returncode == 2 and "holds a study already" in again.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"clips": 6, "trials": 25}, "at most 24 different trials"),
        ({"anchors": "real,fake"}, "--anchors fake"),
        ({"anchors": "real,real"}, "an anchor stands there twice"),
        ({"completion_url": "javascript:alert(1)"}, "begins with https://"),
        ({"clips": 7}, "6 pairs can be shown, but --clips asks for 7"),
        ({"raters": None, "difference": 0.01}, "too few to show 0.01 points"),
        ({"preset": "ratings"}, "no preset called ratings. Did you mean rating?"),
        ({"language": "fr"}, "no language called fr"),
        ({"names": ("mine={id}.mp4",)}, "there is no --method mine"),
    ],
)
def test_what_is_not_possible_is_refused(videos: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_study(videos, "refused", **options)
    assert told in str(raised.value)
    assert not (videos / "refused" / STUDY_FILE).exists()


def test_a_pair_with_a_damaged_video_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_videos(tmp_path)
    (tmp_path / "ours" / "s2+s3.mp4").write_bytes(b"no video")
    study = read_study(make_study(tmp_path))
    assert "s2+s3" not in study.items and len(study.items) == 5
    assert any("s2+s3: left out" in record.message for record in caplog.records)


def test_gold_clips_have_known_answers(videos: Path, tmp_path: Path) -> None:
    good(tmp_path / "bad.mp4", 1.6, seed=9)
    head = "clip,question,value,tolerance\n"
    (tmp_path / "gold.csv").write_text(head + "bad.mp4,visual,1,1\nbad.mp4,sync,1,0.5\n")
    study = read_study(make_study(videos, "gold", gold=tmp_path / "gold.csv"))
    (clip,) = [clip for clip in study.clips if clip.purpose == "gold"]
    assert {(gold.clip, gold.question, gold.value) for gold in study.gold} == {
        (clip.name, "visual", 1),
        (clip.name, "sync", 1),
    }
    assert all(sum(step.role == "gold" for step in plan) == 1 for plan in study.plans), "nobody meets it twice"
    for row, told in (
        ("bad.mp4,beauty,1,1", "no question beauty"),
        ("bad.mp4,sync,9,1", "the value is 1 to 5"),
        ("none.mp4,sync,1,1", "none.mp4: no such file"),
        ("bad.mp4,sync,one,1", "are numbers"),
        ("bad.mp4,sync,1,1\nbad.mp4,sync,5,0", "a second answer to sync"),
    ):
        (tmp_path / "gold.csv").write_text(head + row + "\n")
        with pytest.raises(UsageError, match="row [23]") as raised:
            make_study(videos, "wrong", gold=tmp_path / "gold.csv")
        assert told in str(raised.value)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_preset_can_be_printed_edited_and_read(tmp_path: Path, language: str) -> None:
    for name in presets():
        sheet = preset_sheet(name, language)
        (tmp_path / "sheet.toml").write_text(sheet_toml(sheet), encoding="utf-8")
        assert read_sheet(tmp_path / "sheet.toml") == sheet
    assert len(preset_sheet("p910-avatar", language).questions) == 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "rating"', "ratings need at least one question"),
        ('kind = "stars"', "kind"),
        ('kind = "pairwise"\n[page]\nhello = "x"', "no text called hello"),
        ('kind = "pairwise"\n[page]\nconsent = "{name}"', "unknown words in braces"),
        ('kind = "pairwise"\npage = 3', "page: a table of texts"),
        ('kind = "pairwise"\n[page]\nconsent = "{minutes:s}"', "unknown words in braces"),
        ('kind = "pairwise"\n[page]\nconsent = "{trials[x]}"', "unknown words in braces"),
        ('kind = "pairwise"\n[page]\nconsent = "{trials"', "unknown words in braces"),
        ('kind = "pairwise"\n[[between]]\nid = "plays"\ntext = "x"', "no question can be called plays"),
        ('kind = "pairwise"\n[[between]]\nid = "a"\ntext = "x"\nchoices = [""]', "between.0.choices.0"),
        (
            'kind = "pairwise"\n' + "".join(f'[[between]]\nid = "q{n}"\ntext = "x"\n' for n in range(31)),
            "31 between blocks; 30 fit",
        ),
        ('kind = "pairwise"\n[[between]]\nid = "a b"\ntext = "x"', "between.0.id"),
        ('kind = "pairwise"\n[[between]]\nid = "a"\ntext = "x"\n[[between]]\nid = "a"\ntext = "y"', "two questions"),
    ],
)
def test_a_wrong_sheet_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "sheet.toml").write_text(text)
    with pytest.raises(UsageError, match="sheet.toml") as raised:
        read_sheet(tmp_path / "sheet.toml")
    assert told in str(raised.value)


def test_questions_are_shown_as_toml() -> None:
    ended = lse_bench_here("study", "create", "--preset", "wav2lip-paper", "--language", "ko", "--show-questions")
    assert ended.returncode == 0 and 'kind = "both"' in ended.stdout and "입술" in ended.stdout


def test_invitations_are_links(videos: Path) -> None:
    folder = make_study(videos, "invited", invited=True, raters=3)
    rows = (folder / "invitations.csv").read_text().splitlines()
    assert len(rows) == 4 and all("/r/" in row for row in rows[1:])
    assert json.loads((folder / STUDY_FILE).read_text())["invited"] is True
