"""Set measures: one value for all clips, FID in the pass that scores, shards, stops and damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from clips import good
from commands import lse_bench_here

from lse_bench.errors import UsageError
from lse_bench.evaluation import evaluate
from lse_bench.manifests.clips import find_clips
from lse_bench.measures.fidelity import FidMini
from lse_bench.measures.interface import Features, MeasuredClip, SetMeasure, SetMeter, SetValue
from lse_bench.measures.pictures import Psnr
from lse_bench.measures.registry import names
from lse_bench.media.video import Frame
from lse_bench.runs.measured import Measures
from lse_bench.runs.read import read_run
from lse_bench.runs.run import score_run
from lse_bench.runs.schema import Record
from lse_bench.runs.set_values import Sets, StoredSetValue, read_sets
from lse_bench.runs.sets import combined, features_file, kept_features
from lse_bench.stored import write_stored
from lse_bench.sync.scorer import SyncScorer
from lse_bench.tables.table import tables_of

MINI = ("--weights", "syncnet-mini", "--device", "cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three outputs and their originals. One output shows the picture of another original."""
    folder = tmp_path_factory.mktemp("sets")
    for place in ("ours", "originals"):
        (folder / place).mkdir()
    for n in range(3):
        good(folder / "originals" / f"c{n}.mp4", seed=n)
        good(folder / "ours" / f"c{n}.mp4", seed=n + (n == 1))
    return folder / "ours", folder / "originals"


def test_fid_in_the_pass_is_the_fid_of_the_command(folders: tuple[Path, Path], tmp_path: Path) -> None:
    ours, originals = folders
    run, again = tmp_path / "run", tmp_path / "fid.json"
    words = ("score", ours, "--originals", originals, "--measures", "fid_mini,loudness", *MINI, "--out", run)
    ended = lse_bench_here(*words)
    assert ended.returncode == 0, ended.stderr
    assert "FID (mini)" in ended.stdout + ended.stderr and "KID (mini)" in ended.stdout + ended.stderr
    matched = ("--reference-frames", "matched", "--weights", "inception-mini", "--device", "cpu")
    assert lse_bench_here("fid", ours, originals, *matched, "--out", again).returncode == 0
    found, wanted = (json.loads(path.read_text()) for path in (run / "fid.json", again))
    for name in ("fid", "fid_standard_error", "kid", "kid_ci95", "fid_id", "weights_sha256"):
        assert found[name] == wanted[name]
    assert found["fid"] > 0 and found["generated"]["frames"] == found["reference"]["frames"] == 90
    for which in ("generated", "reference"):
        assert found[which]["files_sha256"] == wanted[which]["files_sha256"]
    held = read_run(run)
    assert held.fid == found["fid"] and "fid_mini" not in held.summary.metrics
    assert all("fid_mini" not in record.measures and not record.missing for record in held.records)
    verified = lse_bench_here("verify", run)
    assert verified.returncode == 0 and "1 set measures" in verified.stdout + verified.stderr
    stored = json.loads((run / "fid.json").read_text())
    for field in ("fid", "fid_standard_error", "kid"):
        (run / "fid.json").write_text(json.dumps(stored | {field: (stored[field] or 0) - 0.5}))
        verified = lse_bench_here("verify", run)
        told = " ".join((verified.stdout + verified.stderr).split())
        assert verified.returncode and f"fid_mini.{field}" in told and "follows from its features" in told
    assert (
        evaluate(ours, originals=originals, measures=["fid_mini"], weights="syncnet-mini", device="cpu").fid == held.fid
    )


def test_clips_with_another_sound_have_sources(folders: tuple[Path, Path], narrow: Path, tmp_path: Path) -> None:
    """FID compares pictures, so the sound does not matter. PSNR compares frames of one utterance."""
    ours, originals = folders
    clips = [replace(clip, groups={"video": clip.id, "sound": "another"}) for clip in find_clips([ours])]
    measures = Measures([FidMini(), Psnr()], originals)
    score_run(SyncScorer.load(narrow, device="cpu"), clips, tmp_path / "run", measures=measures)
    run = read_run(tmp_path / "run")
    assert run.fid is not None and run.fid > 0
    assert all(record.missing == {"psnr": "no original: it speaks with the sound of another"} for record in run.records)


def test_shards_that_are_merged_have_the_value_of_the_whole(folders: tuple[Path, Path], tmp_path: Path) -> None:
    ours, originals = folders
    words = ("score", ours, "--originals", originals, "--measures", "fid_mini", *MINI)
    parts = [tmp_path / f"part{n}" for n in (1, 2)]
    assert lse_bench_here(*words, "--out", tmp_path / "whole").returncode == 0
    for n, part in enumerate(parts, 1):
        assert lse_bench_here(*words, "--shard", f"{n}/2", "--out", part).returncode == 0
    assert lse_bench_here("merge", *parts, "--out", tmp_path / "merged").returncode == 0
    assert read_run(tmp_path / "merged").fid is None
    assert lse_bench_here(*words, "--out", tmp_path / "merged").returncode == 0  # nothing is left but to combine
    assert read_run(tmp_path / "merged").fid == read_run(tmp_path / "whole").fid


def test_damaged_features_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    ours, originals = folders
    words = ("score", ours, "--originals", originals, "--measures", "fid_mini", *MINI, "--out", tmp_path / "run")
    assert lse_bench_here(*words).returncode == 0
    run = tmp_path / "run"
    whole = read_run(run).fid
    broken, other = (features_file(run, "fid_mini", name) for name in ("c1", "c2"))
    kept = broken.read_bytes()
    broken.write_bytes(other.read_bytes())
    verified = lse_bench_here("verify", run)
    assert verified.returncode == 1 and "c1.npz" in verified.stdout + verified.stderr
    for content in (other.read_bytes(), None):  # those of another clip, no file
        broken.unlink() if content is None else broken.write_bytes(content)
        ended = lse_bench_here(*words)
        told = " ".join((ended.stdout + ended.stderr).split())
        assert ended.returncode == 0 and "fid_mini has no value" in told
        assert "c1.npz" in told and "new --out" in told
        assert read_run(run).fid is None, "the FID of before no longer follows from the run"
    broken.write_bytes(kept)
    assert lse_bench_here(*words).returncode == 0
    assert read_run(run).fid == whole


def test_the_folder_of_originals_stays_that_of_the_run(folders: tuple[Path, Path], tmp_path: Path) -> None:
    ours, originals = folders
    words = ("score", ours, "--measures", "psnr", *MINI, "--out", tmp_path / "run", "--originals")
    assert lse_bench_here(*words, originals).returncode == 0
    ended = lse_bench_here(*words, ours)
    told = " ".join(ended.stderr.split())
    assert ended.returncode == 2 and "was begun with --originals" in told and "another --out" in told


@pytest.mark.parametrize("name", ["lse_c", "frames", "fd_sync"])
def test_a_measure_cannot_take_the_name_of_a_field(name: str) -> None:
    measure = Mean()
    measure.name = name
    with pytest.raises(UsageError, match=f"the measure {name} has the name of a field"):
        Measures([measure])


def test_the_measures_of_this_package_keep_their_names() -> None:
    for name in names():
        assert not {name} & {*Record.model_fields, "kid", "fd_sync"}


def test_a_run_has_one_fid(folders: tuple[Path, Path]) -> None:
    class Second(FidMini):
        name = "fid_two"

    with pytest.raises(UsageError, match="fid_mini and fid_two both give the FID of a run"):
        Measures([FidMini(), Second()], folders[1])


@pytest.mark.parametrize(
    "rows", [None, (1, 2), np.array([[None]]), np.zeros(3, np.float32), np.full((1, 1), np.nan, np.float32)]
)
def test_features_that_are_none_cost_the_clip_its_features(narrow: Path, tmp_path: Path, rows: Any) -> None:
    class Odd(Mean):
        def start(self, clip: MeasuredClip) -> SetMeter:
            return _Gives(rows if rows is None or isinstance(rows, tuple) else Features(rows, np.zeros((0, 1))))

    good(tmp_path / "c1.mp4")
    run = tmp_path / "run"
    summary = score_run(SyncScorer.load(narrow, device="cpu"), find_clips([tmp_path]), run, measures=Measures([Odd()]))
    assert summary.lse_c.mean is not None and "mean" not in summary.metrics
    (record,) = read_run(run).records
    assert "features" in record.missing["mean"].lower()


class _Gives(SetMeter):
    def __init__(self, features: Any) -> None:
        self._features = features

    def finish(self) -> Features:
        return cast("Features", self._features)


@pytest.mark.parametrize(
    "given", [None, 1.0, SetValue(float("inf")), SetValue(cast("float", "abc")), SetValue(1.0, -0.5)]
)
def test_a_value_that_is_none_is_missing_with_its_reason(narrow: Path, tmp_path: Path, given: Any) -> None:
    class Odd(Mean):
        def combine(self, clips: Mapping[str, Features]) -> SetValue:
            return cast("SetValue", given)

    good(tmp_path / "c1.mp4")
    run = tmp_path / "run"
    summary = score_run(SyncScorer.load(narrow, device="cpu"), find_clips([tmp_path]), run, measures=Measures([Odd()]))
    assert summary.lse_c.mean is not None and "mean" not in summary.metrics
    assert read_sets(run).missing["mean"]


def test_rounding_of_another_processor_is_no_difference(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The zero eigenvalues of few frames follow the order of sums, which the kernels of another processor change."""
    ours, originals = folders
    run = tmp_path / "run"
    words = ("score", ours, "--originals", originals, "--measures", "fid_mini", *MINI, "--out", run)
    assert lse_bench_here(*words).returncode == 0
    stored = json.loads((run / "fid.json").read_text())
    features = kept_features(run, "fid_mini", read_run(run).records)
    limit = FidMini().rounding(features)
    assert 0 < limit < 1e-4
    for moved, told in ((0.9 * limit, "nothing differs"), (1.1 * limit, "fid_mini.fid")):
        (run / "fid.json").write_text(json.dumps(stored | {"fid": stored["fid"] + moved}))
        verified = lse_bench_here("verify", run)
        assert told in verified.stdout + verified.stderr
    (run / "fid.json").write_text(json.dumps(stored))
    for kernels in ("Prescott", "Nehalem"):  # of OpenBLAS; others do not look at it
        environment = {**os.environ, "OPENBLAS_CORETYPE": kernels, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "lse_bench", "verify", str(run)]
        ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_file_of_a_later_version_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert lse_bench_here("score", folders[0], *MINI, "--out", run).returncode == 0
    for name in ("sets.json", "fid.json"):
        (run / name).write_text('{"schema": 99}')
        ended = lse_bench_here("verify", run)
        told = " ".join(ended.stderr.split())
        assert ended.returncode == 2 and f"{name}: has schema 99" in told and "later version" in told
        (run / name).unlink()


def test_a_value_of_an_unknown_measure_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert lse_bench_here("score", folders[0], *MINI, "--out", run).returncode == 0
    write_stored(run / "sets.json", Sets(values={"ghost": StoredSetValue(value=1.0, clips=1)}))
    ended = lse_bench_here("verify", run)
    assert ended.returncode == 2 and "names the measure ghost" in " ".join(ended.stderr.split())


class Mean(SetMeasure):
    """The mean of all features."""

    name = "mean"
    higher_is_better = True

    def start(self, clip: MeasuredClip) -> SetMeter:
        return _Counts()

    def combine(self, clips: Mapping[str, Features]) -> SetValue:
        assert list(clips) == ["c1", "c2", "c10"], "in natural order"
        return SetValue(float(np.mean([one.ours.mean() for one in clips.values()])), 0.5, "a guess")


class _Counts(SetMeter):
    frames = 0

    def frame(self, frame: Frame, original: Frame | None) -> None:
        self.frames += 1

    def finish(self) -> Features:
        return Features(np.full((1, 1), self.frames, np.float32), np.zeros((0, 1), np.float32))


def test_a_value_of_all_clips_stands_in_the_summary_with_its_interval(narrow: Path, tmp_path: Path) -> None:
    folder, run = tmp_path / "clips", tmp_path / "run"
    folder.mkdir()
    for n in (10, 2, 1):
        good(folder / f"c{n}.mp4", seed=n)
    scorer = SyncScorer.load(narrow, device="cpu")
    summary = score_run(scorer, find_clips([folder]), run, measures=Measures([Mean()]))
    found = summary.metrics["mean"]
    assert found.mean == 30 and found.n == 3 and found.higher_is_better and "a guess" in found.ci_method
    assert found.ci95 == pytest.approx((30 - 1.959964 / 2, 30 + 1.959964 / 2), abs=1e-5)
    held = read_run(run)
    assert held.summary == summary and held.description.measures["mean"].of_sets
    assert "mean" not in held.to_frame().columns
    assert tables_of([held])[0].rows[0].metrics["mean"].mean == 30


def test_a_measure_without_features_says_so() -> None:
    sets, fid = combined(Measures([Mean()]), [], {}, {})
    assert fid is None and not sets.values and "no clip has features" in sets.missing["mean"]
