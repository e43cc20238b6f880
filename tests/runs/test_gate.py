"""Conditions on records, and the lists that follow from them."""

from __future__ import annotations

import json
from pathlib import Path

import clips
import numpy as np
import pandas as pd
import pytest
from commands import lse_bench_here
from described import calibration_of, described, write_summary_of

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.listed import list_digest
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import move_sound
from lse_bench.media.video import read_frames
from lse_bench.runs.gate import parse, reasons, suggest
from lse_bench.runs.outcomes import score_fields
from lse_bench.runs.read import read_run
from lse_bench.runs.records import read_records
from lse_bench.runs.schema import Record
from lse_bench.stored import to_json
from lse_bench.sync import distance

MINI = "b7a24166e5ab4f447f28cbb37db092dab2bbe92e78fce40fd681199e2f9d368c"
CALIBRATION = calibration_of(MINI, "lrs-lossless@1")


def record(name: str, seed: int, **changes: object) -> Record:
    """A record whose scores follow from a random curve."""
    dice = np.random.default_rng(seed)
    place, depth = int(dice.integers(1, 30)), float(dice.uniform(0, 6))
    curve = 9 + dice.normal(0, 0.2, 31) - depth * np.exp(-0.5 * (np.arange(31) - place) ** 2)
    score = distance.graded(distance.summarise(curve, np.full(31, np.nan), 40), CALIBRATION)
    fields = score_fields(score) | {"windows": 40}
    facts = {"clip": f"{name}.mp4", "id": name, "status": "ok", "seconds": float(dice.uniform(0.5, 4))}
    return Record(**(facts | fields | changes))  # type: ignore[arg-type]


def made_run(folder: Path, count: int = 200) -> Path:
    """A run of `count` clips, five of which failed."""
    run, key = (
        folder / "run",
        {"protocol": "lrs-lossless@1", "weights_sha256": MINI, "fps_policy": "25", "precision": "fp32"},
    )
    rows = [record(f"c{n:03d}", n) for n in range(count)]
    rows += [
        Record(clip=f"f{n}.mp4", id=f"f{n}", status="no_face", reason="no face in 75 frames; one is required")
        for n in range(5)
    ]
    (folder / "clips").mkdir(parents=True)
    for row in rows:
        (folder / "clips" / row.clip).write_bytes(b"x")
    run.mkdir()
    about = to_json(described(key))
    about["list"] = {"clips": len(rows), "sha256": list_digest(find_clips([folder / "clips"]))}
    about |= {"source": {"inputs": [str(folder / "clips")]}, "calibration": CALIBRATION.model_dump()}
    (run / "run.json").write_text(json.dumps(about))
    (run / "records.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    write_summary_of(run / "summary.json", rows, len(rows), key)
    return run


REQUIRED = ("lse_c >= 2", "abs(offset_ms) <= 300", "seconds >= 1")


def test_the_lists_are_those_that_pandas_gives_by_hand(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    ended = lse_bench_here(
        "gate", run, *(word for text in REQUIRED for word in ("--require", text)), "--out", tmp_path / "out", "--json"
    )
    assert ended.returncode == 1 and "--max-rejected allows 0.0%" in ended.stderr, ended.stderr
    frame = read_run(run).to_frame()
    passes = (
        (frame["status"] == "ok") & (frame["lse_c"] >= 2) & (frame["offset_ms"].abs() <= 300) & (frame["seconds"] >= 1)
    ).fillna(False)
    accepted, rejected = (pd.read_csv(tmp_path / "out" / name) for name in ("accepted.csv", "rejected.csv"))
    assert list(accepted["id"]) == list(frame["id"][passes]) and 20 < len(accepted) < 180
    assert list(rejected["id"]) == list(frame["id"][~passes])
    assert rejected["reason"].notna().all() and "no_face: no face in 75 frames; one is required" in set(
        rejected["reason"]
    )
    told = json.loads(ended.stdout)
    assert told["accepted"] == len(accepted) and sum(told["kinds"].values()) == told["rejected"] == len(rejected)
    assert set(told["kinds"]) == {*REQUIRED, "no_face"}
    drawn = (tmp_path / "out" / "histogram.svg").read_text()
    assert all(word in drawn for word in ("lse_c", "abs(offset_ms)", "seconds", "300"))
    assert [clip.id for clip in find_clips([tmp_path / "out" / "accepted.csv"])] == list(accepted["id"])
    share = told["rejected"] / (told["rejected"] + told["accepted"])
    again = ("gate", run, "--require", "lse_c >= 2", "--require", "abs(offset_ms) <= 300", "--require", "seconds >= 1")
    passed = lse_bench_here(*again, "--out", tmp_path / "out", "--max-rejected", round(share + 0.01, 3))
    assert passed.returncode == 0, passed.stderr
    other = lse_bench_here("gate", run, "--require", "lse_c >= 9", "--out", tmp_path / "out")
    assert other.returncode == 2 and "holds a gate with another require" in other.stderr
    (tmp_path / "clips" / "new.mp4").write_bytes(b"x")
    changed = lse_bench_here(*again, "--out", tmp_path / "other")
    assert changed.returncode == 2 and "the list of clips has changed since the run" in changed.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('id')", "is written FIELD OPERATOR VALUE"),
        ("__import__ >= 3", "no field called __import__"),
        ("lse_c >= __import__", "'__import__' is no number"),
        ("lse_c >= nan", "'nan' is no number"),
        ("lse_c >= inf", "'inf' is no number"),
        ("lse_c >= 1e999", "too large"),
        ("lse_c >= " + "1" * 10_000, "10,009 characters"),
        ("lse_c >= ٣", "is no number"),
        ("lsec >= 3", "no field called lsec. Did you mean lse_c"),
        ("abs(offset_m) <= 3", "Did you mean offset_ms"),
        ("lse_c => 3", "is written FIELD OPERATOR VALUE"),
        ("lse_c", "is written FIELD OPERATOR VALUE"),
        ("lse_c >= 3 or 1", "'3 or 1' is no number"),
        ("offset_grade >= unknown", "compare it with == or !="),
        ("abs(offset_grade) == x", "compare it with == or !="),
        (
            "offset_grade != not accept",
            "no value of offset_grade called not accept. Did you mean not acceptable",
        ),
        ("trend == const", "Did you mean constant"),
        ("clip == a", "no field called clip"),
        ("", "is written FIELD OPERATOR VALUE"),
    ],
)
def test_hostile_and_misspelt_conditions_are_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert words in str(refused.value) and len(str(refused.value)) < 900


def test_what_is_not_known_passes_no_condition() -> None:
    bare = record("a", 1, offset_ms=None, offset_grade="unknown")
    texts = ("offset_ms >= -1000", "offset_ms != 3", "abs(offset_ms) <= 999", "ms_per_minute <= 9", "trend != drift")
    for text in (*texts, "offset_grade != detectable", "offset_grade == unknown", "search_offset_ms != 0"):
        (reason,) = reasons([bare], [parse(text)]).values()
        assert reason is not None and ("not known" in reason or "unknown" in reason) and text in reason
    good = record("b", 1, offset_grade="not detectable", warnings=["x", "y"])
    assert reasons([good], [parse("offset_grade == 'not detectable'"), parse("warnings <= 2")]) == {"b": None}
    assert reasons([good], [parse("warnings < 2")])["b"] == "warnings is 2; warnings < 2 is required"


def test_measures_of_the_run_are_fields() -> None:
    quiet, talks = (record("a", 1, measures=found) for found in ({}, {"speech_seconds": 1.5}))
    condition = parse("speech_seconds >= 1", ["speech_seconds"])
    assert condition.reason(talks) is None
    assert condition.reason(quiet) == "speech_seconds is not known; speech_seconds >= 1 is required"
    with pytest.raises(UsageError, match="speech_second"):
        parse("speech_second >= 1", ["speech_seconds"])


def test_suggestions_keep_and_drop_what_they_say() -> None:
    real = [record(f"r{n}", n, lse_c=3 + n / 100, offset_margin=2 + n / 100, lse_d=5 - n / 100) for n in range(100)]
    unsynced = [record(f"u{n}", n, lse_c=n / 100, offset_margin=n / 200, lse_d=8 - n / 100) for n in range(100)]
    found = suggest(real, real, unsynced)
    assert [one.text.split()[0] for one in found] == ["lse_c"] * 2 + ["offset_margin"] * 2 + ["lse_d"] * 2
    for keeping, dropping in zip(found[::2], found[1::2], strict=True):
        assert 0.95 <= keeping.keeps <= 0.97 and keeping.drops == 1
        assert dropping.drops is not None and 0.94 <= dropping.drops <= 0.97 and dropping.keeps == 1
    assert [(one.keeps >= 0.95, one.drops) for one in suggest(real)] == [(True, None)] * 3
    for few in ([], real[:19]):
        with pytest.raises(UsageError, match="scored clips have lse_c; a suggestion needs 20"):
            suggest(few)


def test_suggest_and_calibrate_through_the_command(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    ended = lse_bench_here("gate", run, "--suggest")
    assert ended.returncode == 0 and "lse_c >= " in ended.stdout and "of the run" in ended.stdout, ended.stderr
    assert "for weights b7a24166e5ab… under lrs-lossless@1 only" in ended.stderr
    both = lse_bench_here("gate", run, "--suggest", "--anchors", run, run)
    assert "of unsynced" in both.stdout
    overlap = lse_bench_here("gate", "--calibrate", run, run, "--out", tmp_path / "c.json")
    assert overlap.returncode == 2 and "overlap" in overlap.stderr
    for wrong in (("--calibrate", run, run), (), ("--anchors", run, run), (run,), (run, "--out", tmp_path / "o")):
        assert lse_bench_here("gate", *wrong).returncode == 2


@pytest.mark.parametrize("milliseconds", [120.0, -200.0, 0.3])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_sound_is_moved_by_samples_and_the_picture_copied(milliseconds: float, rate: int, tmp_path: Path) -> None:
    plain = clips.good(tmp_path / "plain.mp4", 2)
    speech = clips.sound_file(tmp_path / "speech.wav", clips.speech(2), rate, 2 if rate == 48000 else 1)
    target = move_sound(plain, speech, milliseconds, tmp_path / "moved.mp4")
    info = probe(target)
    assert info.sound is not None and (info.sound.rate, info.sound.channels) == (rate, 2 if rate == 48000 else 1)
    before, after = (np.concatenate(list(read_sound(probe(path)))).astype(float) for path in (speech, target))
    shift = round(milliseconds * 16)
    one, other = (before, after[shift:]) if shift >= 0 else (before[-shift:], after)
    count = min(len(one), len(other)) - 2000
    assert np.corrcoef(one[500:count], other[500:count])[0, 1] > 0.99
    pictures = [list(read_frames(probe(path))) for path in (plain, target)]
    assert len(pictures[0]) == len(pictures[1])
    assert all((a == b).all() for a, b in zip(*pictures, strict=True)), "packets are copied"


@pytest.mark.slow
def test_fix_brings_delayed_clips_into_sync_and_touches_no_other(corpus: Path, tmp_path: Path) -> None:
    found = sorted((corpus / "mvlrs_v1" / "main").rglob("*.mp4"))[:6]
    delays = [0, 200, -160, 0, 320, -96]
    (tmp_path / "clips").mkdir()
    for number, (clip, delay) in enumerate(zip(found, delays, strict=True)):
        target = tmp_path / "clips" / f"{number}.mp4"
        if delay:
            move_sound(clip, clip, delay, target)
        else:
            target.write_bytes(clip.read_bytes())
    score = ("--weights", "syncnet-mini", "--protocol", "lrs-lossless")
    assert lse_bench_here("score", tmp_path / "clips", *score, "--out", tmp_path / "run").returncode == 0
    ended = lse_bench_here("gate", tmp_path / "run", "--fix", "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    fixed = sorted(path.stem for path in (tmp_path / "out" / "fixed").iterdir())
    assert fixed == ["1", "2", "4", "5"]
    (tmp_path / "clips" / "1.mp4").write_bytes(found[0].read_bytes())
    replaced = lse_bench_here("gate", tmp_path / "run", "--fix", "--out", tmp_path / "replaced", "--json")
    assert json.loads(replaced.stdout)["unfixed"] == {"1": "the file has changed since it was scored"}
    again = lse_bench_here("score", tmp_path / "out" / "fixed", *score, "--out", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert all(abs(record.offset_ms or 99) <= 40 for record in read_records(tmp_path / "again"))
