"""A new user's story: outputs with names of their own and a list of pairs, in one table beside Wav2Lip."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import clips
import numpy as np
import pytest
from commands import lse_bench_here

from lse_bench.manifests.clips import Source
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.runs.records import read_records

SPEAKERS, EACH = 4, 6
LOST, SILENT, FAST = (3, 17), 5, 8


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/` with the sources, `pairs.csv`, and `ours/` with 22 of 24 outputs: one silent, one of 30 fps."""
    folder = tmp_path_factory.mktemp("story")
    make_corpus(Spec(speakers=SPEAKERS, clips=EACH, seed=4, split="test", frames=36, style="plain"), folder / "c", 2)
    found = sorted((folder / "c").rglob("*.mp4"))
    rows, ours = [], folder / "ours"
    ours.mkdir()
    for number, source in enumerate(found):
        speaker, utterance = f"spk{number // EACH + 1}", f"utt{number % EACH + 1}"
        name = f"data/{speaker}/{utterance}.mp4"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
        rows.append((f"{speaker}_{utterance}", name, speaker))
    heard = [*rows[EACH:], *rows[:EACH]]  # another speaker's sound
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "video", "sound", "speaker"])
        table.writerows(
            [id_, video, sound, speaker] for (id_, video, speaker), (_, sound, _) in zip(rows, heard, strict=True)
        )
    for number, ((id_, video, _), (_, sound, _)) in enumerate(zip(rows, heard, strict=True)):
        target = ours / f"{id_}_ours_v2.mp4"
        speech = np.concatenate(list(read_sound(probe(folder / sound))))
        if number in LOST:
            continue
        if number in (SILENT, FAST):
            info = probe(folder / video)
            rate = 30 if number == FAST else 25
            write_clip(target, read_frames(info), None if number == SILENT else speech, rate)
        else:
            replace_sound(folder / video, speech, target)
    (ours / "notes.mp4").write_bytes((ours / "spk1_utt1_ours_v2.mp4").read_bytes())
    return folder


BENCH = """
name = "story"
[[manifests]]
name = "mine"
file = "pairs.json"
[[methods]]
name = "Wav2Lip"
generator = "wav2lip"
options = { weights = "wav2lip-mini" }
[[methods]]
name = "ours"
videos = "ours"
adopt = { names = "{id}_ours_v2.mp4", pair_sounds = true }
[[protocols]]
protocol = "lrs-lossless@1"
weights = "syncnet-mini"
fps_policy = "resample"
"""


@pytest.mark.slow
def test_outputs_of_ones_own_stand_beside_wav2lip(story: Path, tmp_path: Path) -> None:
    made = lse_bench_here("manifest", "from", story / "pairs.csv", "--out", story / "pairs.json")
    assert made.returncode == 0, made.stderr
    assert "24 files, all found" in made.stderr and "speaker ← column speaker: 4 speakers: spk1 (6)" in made.stderr
    (story / "bench.toml").write_text(BENCH)
    out = tmp_path / "bench"
    ended = lse_bench_here("benchmark", story / "bench.toml", "--out", out, "--json")
    assert ended.returncode == 1, ended.stderr  # two clips failed, and max_failed is 0
    assert "22 of 24 pairs of pairs have a video, named {id}_ours_v2.mp4" in ended.stderr
    assert "missing, and counted as failed clips: spk1_utt4_ours_v2.mp4, spk3_utt6_ours_v2.mp4" in ended.stderr
    assert "1 videos belong to no pair: notes.mp4" in ended.stderr
    (table,) = json.loads(ended.stdout)["tables"]
    rows = {row["method"]: row for row in table["rows"]}
    assert set(rows) == {"real", "unsynced", "Wav2Lip", "ours"}
    assert (rows["ours"]["scored"], rows["ours"]["listed"], rows["ours"]["failed"]) == (22, 24, {"generator_failed": 2})
    assert rows["ours"]["adopted"] and rows["ours"]["converted"] == 1 and rows["Wav2Lip"]["converted"] == 0
    assert rows["ours"]["rank"]["lse_c"] and rows["Wav2Lip"]["rank"]["lse_c"]
    assert "fps:25" in rows["Wav2Lip"]["signature"] and "fps:resample" in rows["ours"]["signature"]
    runs = {name: out / row["run"] for name, row in rows.items()}
    compared = lse_bench_here("compare", runs["ours"], runs["Wav2Lip"])
    assert compared.returncode == 0, compared.stderr
    page = lse_bench_here("leaderboard", "build", out, "--out", tmp_path / "page")
    assert page.returncode == 0, page.stderr
    assert "ours (adopted)" in (tmp_path / "page" / "tables" / "tables.tex").read_text()
    assert "how they were made is not known" in (tmp_path / "page" / "tables" / "tables.md").read_text()
    added = lse_bench_here("leaderboard", "add", out, "--out", tmp_path / "collection")
    assert added.returncode == 0, added.stderr
    assert "its videos were adopted, so how they were made is not known" in added.stderr
    checked = lse_bench_here("verify", runs["ours"])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    one = lse_bench_here("benchmark", story / "bench.toml", "--out", out, "--only", "ours@mine", "--from", "score")
    assert "put aside: " in one.stderr and "Wav2Lip" not in one.stderr.replace(str(out), "")
    nobody = lse_bench_here("benchmark", story / "bench.toml", "--out", out, "--only", "our@mine")
    assert nobody.returncode == 2 and "no cell called our@mine. Did you mean ours@mine" in nobody.stderr


def test_outputs_are_adopted_by_id_template_and_table(story: Path, tmp_path: Path) -> None:
    made = lse_bench_here("manifest", "from", story / "pairs.csv", "--out", tmp_path / "pairs.json")
    assert made.returncode == 0, made.stderr
    by_template = Source([story / "ours"], manifest=tmp_path / "pairs.json", names="{id}_ours_v2.mp4").clips()
    table = tmp_path / "map.csv"
    table.write_text("id,video\n" + "\n".join(f"{clip.id},{clip.clip}" for clip in by_template))
    by_table = Source([story / "ours"], manifest=tmp_path / "pairs.json", names=str(table)).clips()
    assert by_table == by_template
    for clip in by_template:
        if clip.absent is None:
            (tmp_path / "ids" / clip.groups["speaker"]).mkdir(parents=True, exist_ok=True)
            shutil.copy(clip.path, tmp_path / "ids" / clip.groups["speaker"] / f"{clip.id}.mp4")
    by_id = Source([tmp_path / "ids"], manifest=tmp_path / "pairs.json").clips()
    assert [(clip.id, clip.absent is None) for clip in by_id] == [
        (clip.id, clip.absent is None) for clip in by_template
    ]
    assert sum(clip.absent is None for clip in by_id) == 22


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (None, "no pair of pairs has a video (named by the pair's id). For the pair spk1_utt1 the file spk1_utt1.mp4"),
        ("{id}.mp4", "is needed; it holds notes.mp4, spk1_utt1_ours_v2.mp4"),
        ("{ids}_ours_v2.mp4", "has no field called ids. Did you mean id"),
        ("{speaker}_ours_v2.mp4", "would both have spk1_ours_v2.mp4. Add {id}"),
        ("ours.mp4", "all pairs would have this file"),
        ("../{id}.mp4", "leads out of the folder"),
        ("{id", "--names {id: expected '}'"),
        ("{id!r:>9999999}.mp4", "a field stands alone"),
        ("{id:{id.__class__}}.mp4", "a field stands alone"),
        ("{id.__class__}.mp4", "no field called id.__class__"),
        ("part.csv", "row 1: a list for --names has only the columns id and video"),
        ("shared.csv", "row 2: video: notes.mp4 is the video of two pairs, spk1_utt1 and spk1_utt2"),
        ("lost.csv", "lost.csv"),
        ("wrong.csv", "row 1: id: no pair called spk1_utt9"),
        ("twice.csv", "row 2: id: spk1_utt1 is listed twice"),
        ("empty.csv", "row 1: video is empty; both are needed"),
    ],
)
def test_wrong_names_are_refused(names: str | None, words: str, story: Path, tmp_path: Path) -> None:
    lse_bench_here("manifest", "from", story / "pairs.csv", "--out", tmp_path / "pairs.json")
    (tmp_path / "wrong.csv").write_text("id,video\nspk1_utt9,notes.mp4\n")
    (tmp_path / "twice.csv").write_text("id,video\nspk1_utt1,notes.mp4\nspk1_utt1,notes.mp4\n")
    (tmp_path / "part.csv").write_text("id,video,start\nspk1_utt1,notes.mp4,1\n")
    (tmp_path / "shared.csv").write_text("id,video\nspk1_utt1,notes.mp4\nspk1_utt2,notes.mp4\n")
    (tmp_path / "empty.csv").write_text("id,video\nspk1_utt1,\n")
    given = () if names is None else ("--names", tmp_path / names if names.endswith(".csv") else names)
    ended = lse_bench_here("score", story / "ours", "--manifest", tmp_path / "pairs.json", *given, "--out", tmp_path)
    assert ended.returncode == 2 and words in ended.stderr.replace("\n", " "), ended.stderr


def test_a_run_with_refused_clips_does_not_compare(story: Path, tmp_path: Path) -> None:
    lse_bench_here("manifest", "from", story / "pairs.csv", "--out", tmp_path / "pairs.json")
    score = ("score", story / "ours", "--manifest", tmp_path / "pairs.json", "--names", "{id}_ours_v2.mp4")
    options = ("--pair-sounds", "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--max-failed", 3)
    for policy in ("require-25", "resample"):
        ended = lse_bench_here(*score, *options, "--fps-policy", policy, "--out", tmp_path / policy)
        assert ended.returncode == 0, ended.stderr
    failed = [record.status for record in read_records(tmp_path / "require-25") if record.status != "ok"]
    assert sorted(failed) == ["generator_failed", "generator_failed", "wrong_fps"]
    ended = lse_bench_here("compare", tmp_path / "require-25", tmp_path / "resample")
    assert ended.returncode == 2 and "fps_policy differs (require-25 and resample)" in ended.stderr
    assert "1 clips were refused and 0 converted" in ended.stderr and "--fps-policy resample" in ended.stderr


def test_whole_scenes_under_lrs_are_told(tmp_path: Path) -> None:
    for number in range(3):
        clips.write(tmp_path / "clips" / f"{number}.mp4", clips.even(30), clips.speech(1.2), size=(320, 180))
    clips.good(tmp_path / "clips" / "crop.mp4")
    ended = lse_bench_here("score", tmp_path / "clips", "--weights", "syncnet-mini", "--out", tmp_path / "run")
    told = ended.stderr.replace("\n", " ")
    assert "3 of 4 clips are whole scenes (3 not a face crop), but lrs@1 treats the whole frame as a face" in told
    assert "Score them with --protocol tracked" in told and "3 not a face crop" in told


def test_equal_failures_are_grouped(tmp_path: Path) -> None:
    for number in range(9):
        clips.write(tmp_path / "clips" / f"{number}.mp4", clips.even(5), clips.speech(0.1 * number + 0.3))
    ended = lse_bench_here("score", tmp_path / "clips", "--weights", "syncnet-mini", "--out", tmp_path / "run")
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if "too_short" in line and "without a score" not in line]
    assert len(lines) == 4 and lines[-1].startswith("6 more: too_short: … frames"), ended.stderr
