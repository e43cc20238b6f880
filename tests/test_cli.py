"""The real command on good, bad and odd files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import clips
import numpy as np
import pytest
from commands import lse_bench, lse_bench_here
from conftest import SHARED, shared_file


def records_of(run: Path) -> dict[str, dict]:
    return {row["clip"]: row for row in map(json.loads, (run / "records.jsonl").read_text().splitlines())}


@pytest.mark.slow
def test_good_bad_and_odd_files_in_one_folder(narrow: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    failing = clips.bad_folder(folder)
    warning = clips.odd_folder(folder)
    clips.good(folder / "good_1.mp4")
    clips.good(folder / "good_2.mp4", seed=2)
    options = ("--weights", narrow, "--protocol", "lrs-lossless", "--device", "cpu", "--json")
    out = tmp_path / "run"
    result = lse_bench_here("score", folder, *options, "--out", out, "--max-failed", len(failing))
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    summary = json.loads(result.stdout)
    assert summary["listed"] == len(failing) + len(warning) + 2
    assert summary["scored"] == summary["listed"] - len(failing)
    assert sum(summary["failed"].values()) == len(failing)
    records = records_of(out)
    for name, status in failing.items():
        record = records[name]
        assert record["status"] == status, f"{name}: {record}"
        assert record["lse_d"] is None and record["curve"] is None
        assert any(character.isdigit() for character in record["reason"]) or status in ("no_audio", "no_video"), record
        assert status in result.stderr
    for name, word in warning.items():
        assert records[name]["status"] == "ok", records[name]
        assert any(word in text for text in records[name]["warnings"]), records[name]["warnings"]
    for name in ("good_1.mp4", "good_2.mp4"):
        ends = [text for text in records[name]["warnings"] if text.startswith("best shift at the end of the range")]
        assert records[name]["status"] == "ok" and records[name]["warnings"] == ends
        assert bool(ends) == (abs(records[name]["offset"]) == 15)
    assert "5 frames, but 6 are needed" in records["five_frames.mp4"]["reason"]
    assert "60.00 fps, but LSE is defined at 25" in records["sixty_fps.mp4"]["reason"]
    again = lse_bench_here("score", folder, *options, "--out", out)
    assert again.returncode == 1 and f"{len(failing)} clips without a score" in again.stderr


def test_numbered_outputs_with_their_list(narrow: Path, tmp_path: Path) -> None:
    clips.good(tmp_path / "made" / "0.mp4")
    clips.good(tmp_path / "made" / "2.mp4", seed=3)
    pairs = tmp_path / "lrs2.txt"
    pairs.write_text("a/1 b/2\nc/3 b/2\nc/3 d/4\n")
    wanted = tmp_path / "lrs2.json"
    imported = lse_bench_here("manifest", "import", "lrs2", "--list", pairs, "--any-digest", "--out", wanted)
    assert imported.returncode == 0, imported.stderr
    arguments = ("score", tmp_path / "made", "--manifest", wanted, "--weights", narrow, "--out", tmp_path / "run")
    result = lse_bench_here(*arguments, "--names", "{number}.mp4", "--json", "--max-failed", 1)
    assert result.returncode == 0, result.stderr
    assert "2 of 3 pairs of lrs2-unofficial have a video, named {number}.mp4" in result.stderr
    assert "missing, and counted as failed clips: 1.mp4" in result.stderr
    assert json.loads(result.stdout)["failed"] == {"generator_failed": 1}
    records = records_of(tmp_path / "run")
    assert records["0.mp4"]["groups"] == {"video": "b/2", "sound": "a/1", "speaker": "b"}
    assert records["1.mp4"]["status"] == "generator_failed"
    assert records["2.mp4"]["id"] == "d__4+c__3"


def test_shards_and_merge(narrow: Path, tmp_path: Path) -> None:
    for number in range(3):
        clips.good(tmp_path / "clips" / f"{number}.mp4", seed=number)
    for index in (1, 2):
        arguments = ("--weights", narrow, "--shard", f"{index}/2", "--out", tmp_path / f"part{index}")
        assert lse_bench_here("score", tmp_path / "clips", *arguments).returncode == 0
    result = lse_bench_here("merge", tmp_path / "part1", tmp_path / "part2", "--out", tmp_path / "whole", "--json")
    assert result.returncode == 0 and json.loads(result.stdout)["scored"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "absent", "--weights", "W"], "absent: no such file or folder"),
        (["score", "CLIP", "--weights", "absent.pth"], "absent.pth: no such file"),
        (["score", "CLIP", "--weights", "CLIP"], "not a torch checkpoint"),
        (["score", "CLIP", "--weights", "W", "--protocol", "lsr"], "no protocol called lsr"),
        (["score", "CLIP", "--weights", "W", "--fps-policy", "any"], "Invalid value for '--fps-policy'"),
        (["score", "CLIP", "--weights", "W", "--shard", "3/2"], "--shard 3/2"),
        (["score", "CLIP", "--weights", "W", "--device", "cuda:99"], "--device cuda:99"),
        (["score", "CLIP", "--weights", "W", "--out", "CLIP"], "is a file; --out names a folder"),
        (["merge", "absent", "--out", "merged"], "not a run directory"),
        (["score", "CLIP"], "LSE_BENCH_OFFLINE forbids fetching it"),
        (["score"], "Missing argument"),
        (["scor"], "No such command"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(
    arguments: list[str], words: str, narrow: Path, tmp_path: Path
) -> None:
    clip = clips.good(tmp_path / "clip.mp4", 0.4)
    real = {"W": str(narrow), "CLIP": str(clip)}
    result = lse_bench_here(*[real.get(argument, argument) for argument in arguments])
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split()) and "Traceback" not in result.stderr


@pytest.mark.command
def test_mini_scores_are_labelled(corpus: Path, tmp_path: Path) -> None:
    clip = next(corpus.glob("mvlrs_v1/main/*/*.mp4"))
    result = lse_bench("score", clip, "--weights", "syncnet-mini", "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert "LSE-D (mini)" in result.stderr
    assert "On real faces its scores mean nothing" in " ".join(result.stderr.split())
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["weights"]["name"] == "syncnet-mini"


def test_minilrs_through_the_command_explains_itself(tmp_path: Path) -> None:
    result = lse_bench_here("minilrs", "--speakers", "2", "--out", tmp_path / "c")
    assert result.returncode == 2
    assert "need different speakers" in " ".join(result.stderr.split())
    assert not (tmp_path / "c").exists()


def test_doctor_reports_what_is_there() -> None:
    result = lse_bench_here("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert result.returncode == 0
    assert findings["weights syncnet_v2"]["fix"].endswith("lse-bench weights fetch syncnet_v2")
    assert findings["torch"]["state"] == findings["encoders"]["state"] == "ok"


def test_doctor_knows_the_missing_libgl() -> None:
    from lse_bench.doctor import explain_import_error
    from lse_bench.systems import install_line

    text = explain_import_error(ImportError("libGL.so.1: cannot open shared object file: No such file or directory"))
    assert text is not None and text.endswith(install_line())
    assert explain_import_error(ImportError("No module named 'x'")) is None


def test_doctor_names_a_version_outside_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    from lse_bench import doctor, versions

    assert list(versions.out_of_range()) == []
    real = versions.installed
    fakes = {"scipy": "1.10.1", "av": "20.0.0"}
    monkeypatch.setattr(versions, "installed", lambda package: fakes.get(package) or real(package))
    monkeypatch.setattr(versions.platform, "python_version", lambda: "3.14.0")
    lines = {finding.what: finding for finding in doctor.examine() if finding.what.startswith("version of")}
    assert list(lines) == ["version of python", "version of av", "version of scipy"]
    assert all(finding.state == "missing" for finding in lines.values())
    assert lines["version of scipy"].value.startswith(
        "1.10.1 was not tested; this version of LSE-Bench was tested with >=1.1"
    )
    assert re.fullmatch(r"pip install 'av[<>=\d,]+'", lines["version of av"].fix or "")
    assert "<3.14" in (lines["version of python"].fix or "")


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the clips show real people and are not in the repository")
def test_real_clips_behave(narrow: Path, tmp_path: Path) -> None:
    folder = shared_file("clips", "latentsync_demo1.mp4").parent
    copied = tmp_path / "clips"
    shutil.copytree(folder, copied)
    options = ("--weights", narrow, "--protocol", "lrs-lossless", "--out", tmp_path / "run", "--max-failed", 3)
    assert lse_bench_here("score", copied, *options).returncode == 0
    records = records_of(tmp_path / "run")
    assert {name: record["status"] for name, record in records.items()} == {
        "latentsync_demo1.mp4": "ok",
        "latentsync_demo3.mp4": "wrong_fps",
        "face_recognition_short_hamilton.mp4": "wrong_fps",
        "musetalk_sun.mp4": "no_audio",
    }
    assert any("not a face crop" in text for text in records["latentsync_demo1.mp4"]["warnings"])
    resampled = (*options[:4], "--fps-policy", "resample", "--out", tmp_path / "resampled", "--max-failed", 1)
    assert lse_bench_here("score", copied, *resampled).returncode == 0
    late = records_of(tmp_path / "resampled")["face_recognition_short_hamilton.mp4"]
    assert any("late picture" in text for text in late["warnings"]) and late["frames"] == 252


def test_weights_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSE_BENCH_WEIGHTS", str(tmp_path / "weights"))
    listed = json.loads(lse_bench_here("weights", "list", "--json").stdout)
    assert {"syncnet_v2", "inception", "wav2lip_gan"} <= {row["name"] for row in listed}
    assert "syncnet_v2" in lse_bench_here("weights", "list").stdout
    where = lse_bench_here("weights", "path", "syncnet_v2")
    assert where.returncode == 1 and where.stdout.strip() == str(tmp_path / "weights" / "syncnet_v2.model")
    by_hand = lse_bench_here("weights", "fetch", "wav2lip")
    assert by_hand.returncode == 2 and "in a browser" in by_hand.stderr
    offline = lse_bench_here("weights", "fetch", "syncnet_v2", "--offline")
    assert offline.returncode == 2 and "--offline forbids" in " ".join(offline.stderr.split())
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "syncnet_v2.model").write_bytes(b"something else")
    wrong = lse_bench_here("weights", "verify")
    assert wrong.returncode == 1 and wrong.stdout.startswith("wrong")


def test_default_weights_are_looked_for_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSE_BENCH_WEIGHTS", str(tmp_path / "weights"))
    clip = clips.good(tmp_path / "clip.mp4", 0.4)
    result = lse_bench_here("score", clip, "--offline")
    assert result.returncode == 2
    assert str(tmp_path / "weights" / "syncnet_v2.model") in "".join(result.stderr.split("\n"))


@pytest.mark.slow
def test_fid_of_folders_runs_and_saved_statistics(narrow: Path, tmp_path: Path) -> None:
    for number in range(3):
        clips.good(tmp_path / "made" / f"{number}.mp4", 0.24, seed=number)
        clips.good(tmp_path / "real" / f"{number}.mp4", 0.24, seed=number + 5)
    made, real, saved = tmp_path / "made", tmp_path / "real", tmp_path / "real.npz"
    common = ("--weights", "inception-mini", "--device", "cpu", "--json", "--groups", 0)
    result = lse_bench_here("fid", made, real, *common, "--save-statistics", saved, "--out", tmp_path / "fid.json")
    assert result.returncode == 0, result.stderr
    pooled = json.loads(result.stdout)
    assert pooled == json.loads((tmp_path / "fid.json").read_text())
    assert pooled["fid"] > 0 and pooled["generated"]["frames"] == 18
    assert pooled["fid_id"].startswith("fid@1:frame:pooled:bilinear:step1:")
    other = lse_bench_here("fid", made, saved, *common, "--frame-step", 2)
    assert other.returncode == 2 and "the two cannot be compared" in other.stderr
    for name in ("made", "real"):
        run = lse_bench_here("score", tmp_path / name, "--weights", narrow, "--out", tmp_path / f"run_{name}")
        assert run.returncode == 0
    of_runs = lse_bench_here(
        "fid", tmp_path / "run_made", tmp_path / "run_real", *common, "--reference-frames", "matched"
    )
    assert of_runs.returncode == 0, of_runs.stderr
    assert json.loads(of_runs.stdout)["fid"] == pytest.approx(pooled["fid"], rel=1e-9)
    both = json.loads(lse_bench_here("fid", saved, saved, *common).stdout)
    with np.load(saved) as statistics:
        # 18 frames: what is left is rounding, the same as pytorch-fid's (tests/fidelity/test_frechet.py).
        assert abs(both["fid"]) <= 1e-5 * 2 * np.trace(statistics["sigma"])
    lost = lse_bench_here("fid", made, real, *common, "--out", tmp_path / "nowhere" / "fid.json")
    assert lost.returncode == 2 and "its folder does not exist" in lost.stderr
    (real / "2.mp4").unlink()
    gone = lse_bench_here("fid", tmp_path / "run_made", tmp_path / "run_real", *common)
    assert gone.returncode == 2 and "1 of its 3 scored clips are no longer there" in gone.stderr
    (made / "3.mp4").write_bytes(b"")
    failed = lse_bench_here("fid", made, saved, *common)
    again = json.loads(failed.stdout)
    assert failed.returncode == 1 and again["generated"]["failed"]
    assert again["fid"] == pytest.approx(pooled["fid"], rel=1e-9) and again["kid"] == pooled["kid"]
