"""Measures beside LSE: values against libraries and closed forms, one pass, records, tables, and what goes wrong."""

from __future__ import annotations

import csv
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import even, good, speech, write
from commands import lse_bench_here

import lse_bench
from lse_bench.errors import UsageError
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures import perceptual
from lse_bench.measures.command import Command
from lse_bench.measures.interface import Measure, MeasuredClip, Meter, NoValueError
from lse_bench.measures.originals import Originals
from lse_bench.measures.perceptual import PerceptualDistance
from lse_bench.measures.pictures import Psnr, Sharpness, Ssim
from lse_bench.measures.registry import load, make_measures, names
from lse_bench.measures.watch import ClipWatch
from lse_bench.media import video
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.runs.read import read_run
from lse_bench.tables.paired import compare
from lse_bench.weights.readers import read_torch

CLIP = MeasuredClip("c", Path("c.mp4"), Path("o.mp4"))


def value_of(measure: Measure, ours: list[Frame], theirs: list[Frame]) -> float:
    meter = measure.start(CLIP)
    for frame, original in zip(ours, theirs, strict=True):
        meter.frame(frame, original)
    return meter.finish()


def pictures(seed: int, count: int = 6, size: tuple[int, int] = (48, 40)) -> list[Frame]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


def test_psnr_and_ssim_are_torchmetrics_on_whole_arrays() -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    theirs = pictures(0)
    ours = [np.clip(frame.astype(int) + np.random.default_rng(n).integers(-9, 10, frame.shape), 0, 255).astype(np.uint8)
            for n, frame in enumerate(theirs)]  # fmt: skip
    one, other = (torch.from_numpy(np.stack(each)).permute(0, 3, 1, 2).double() for each in (ours, theirs))
    torch.set_default_dtype(torch.float64)  # torchmetrics takes the logarithm of 255 in this type
    try:
        expected = float(peak_signal_noise_ratio(one, other, data_range=255.0))
    finally:
        torch.set_default_dtype(torch.float32)
    assert value_of(Psnr(), ours, theirs) == pytest.approx(expected, abs=1e-9)
    # Of the whole map: the mean over it leaves out the edges in torchmetrics 1.4, and not in 1.9.
    mapped = structural_similarity_index_measure(one, other, data_range=255.0, return_full_image=True)[1]
    assert value_of(Ssim(), ours, theirs) == pytest.approx(float(mapped.mean()), abs=1e-12)


def test_closed_forms() -> None:
    grey = [np.full((20, 30, 3), 100, np.uint8)] * 3
    lighter = [np.full((20, 30, 3), 105, np.uint8)] * 3
    assert value_of(Psnr(), lighter, grey) == pytest.approx(10 * np.log10(255**2 / 25))
    with pytest.raises(NoValueError, match="infinite"):
        value_of(Psnr(), grey, grey)
    noise = pictures(1)
    assert value_of(Ssim(), noise, noise) == pytest.approx(1)
    assert value_of(Sharpness(), noise, noise) == 1
    assert value_of(Sharpness(), [np.full_like(frame, 100) for frame in noise], noise) == 0
    with pytest.raises(NoValueError, match="without any edge"):
        value_of(Sharpness(), grey, grey)
    with pytest.raises(NoValueError, match="48x40"):
        value_of(Psnr(), [np.zeros((40, 48, 3), np.uint8)], [np.zeros((40, 50, 3), np.uint8)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ours/` beside `originals/`: same pictures with noise; one longer, one of another size, one without original."""
    place = tmp_path_factory.mktemp("measures")
    for n in range(4):
        good(place / "originals" / f"c{n}.mp4", 1.2, seed=n)
        good(place / "ours" / f"c{n}.mp4", 1.2 + 0.2 * (n == 1), seed=n)
    good(place / "ours" / "alone.mp4", 1.2, seed=7)
    write(place / "ours" / "c3.mp4", even(30), speech(1.2, 3), size=(128, 96))
    return place


def scored(folder: Path, narrow: Path, out: Path, *more: object, protocol: str = "lrs-lossless") -> Path:
    words = ("score", folder / "ours", "--weights", narrow, "--protocol", protocol, "--out", out)
    ended = lse_bench_here(*words, *more)
    assert ended.returncode == 0, ended.stderr
    return out


def test_values_stand_in_records_summary_frame_and_tables(folder: Path, narrow: Path, tmp_path: Path) -> None:
    with_originals = ("--originals", folder / "originals")
    run = scored(folder, narrow, tmp_path / "run", *with_originals, "--measures", "psnr,ssim,sharpness")
    plain = scored(folder, narrow, tmp_path / "plain")
    records = {one.id: one for one in read_run(run).records}
    lse = {one.id: (one.lse_d, one.lse_c) for one in read_run(plain).records}
    assert {name: (one.lse_d, one.lse_c) for name, one in records.items()} == lse, "measures move no LSE"
    # On the same decoded arrays, by hand.
    for name in ("c0", "c2"):
        ours, theirs = (
            list(read_frames(probe(folder / side / f"{name}.mp4"), Fraction(25))) for side in ("ours", "originals")
        )
        for measure in (Ssim(), Sharpness()):
            assert records[name].measures[measure.name] == pytest.approx(value_of(measure, ours, theirs), abs=1e-9)
    assert "infinite" in records["c0"].missing["psnr"] and "psnr" not in records["c0"].measures
    assert any("the first 30 were compared" in told for told in records["c1"].warnings)
    assert "ssim" in records["c1"].measures
    assert "128x96" in records["c3"].missing["ssim"] and not records["c3"].measures
    assert records["alone"].missing["ssim"] == "no original called alone" and records["alone"].status == "ok"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["metrics"]["ssim"]["n"] == 3 and summary["metrics"]["ssim"]["higher_is_better"] is True
    assert summary["metrics"]["sharpness"]["higher_is_better"] is None
    about = json.loads((run / "run.json").read_text())
    assert about["measures"]["ssim"]["id"] == "ssim@2:region=frame:window=gauss11-1.5"
    frame = read_run(run).to_frame()
    assert frame["ssim"].count() == 3 and str(frame["ssim"].dtype) == "Float64"
    ended = lse_bench_here("leaderboard", "build", f"ours={run}", "--out", tmp_path / "page", "--clips", 0)
    assert ended.returncode == 0, ended.stderr
    text = (tmp_path / "page" / "tables" / "tables.md").read_text()
    assert "ssim ↑" in text and "rank ssim" in text and "| sharpness |" in text
    with (tmp_path / "page" / "tables" / "long.csv").open() as file:
        rows = {row["measure"]: row for row in csv.DictReader(file)}
    assert float(rows["ssim"]["value"]) == summary["metrics"]["ssim"]["mean"]
    with (tmp_path / "page" / "tables" / "wide.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["ssim"]) == summary["metrics"]["ssim"]["mean"]
    assert lse_bench_here("verify", run).returncode == 0
    again = lse_bench_here(
        *("score", folder / "ours", "--weights", narrow, "--protocol", "lrs-lossless", "--out", run), *with_originals,
        *("--measures", "psnr"),
    )  # fmt: skip
    assert again.returncode == 2 and "measures differs" in " ".join(again.stderr.split())


@pytest.mark.parametrize("protocol", ["lrs", "lrs-lossless"])
def test_every_file_is_decoded_once(
    folder: Path, narrow: Path, tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    decode = video._decode

    def counted(info, *rest, **named):  # type: ignore[no-untyped-def]
        opened.append(f"{info.path.parent.name}/{info.path.name}")
        return decode(info, *rest, **named)

    monkeypatch.setattr(video, "_decode", counted)
    words = ("--originals", folder / "originals", "--measures", "psnr,ssim,sharpness")
    scored(folder, narrow, tmp_path / "run", *words, protocol=protocol)
    ours = [f"ours/{name}.mp4" for name in ("c0", "c1", "c2", "c3", "alone")]
    assert sorted(opened) == sorted([*ours, *(f"originals/c{n}.mp4" for n in range(4))])


def test_an_original_that_breaks_off_costs_no_score(folder: Path, narrow: Path, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", even(40), speech(1.6), faststart=True).read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("text", b"no video"), ("longer", whole)):
        (tmp_path / "originals").mkdir(exist_ok=True)
        (tmp_path / "originals" / f"{name}.mp4").write_bytes(content)
        good(tmp_path / "ours" / f"{name}.mp4", 1.2)
    run = scored(tmp_path, narrow, tmp_path / "run", "--originals", tmp_path / "originals", "--measures", "ssim")
    records = {one.id: one for one in read_run(run).records}
    assert {one.status for one in records.values()} == {"ok"}
    assert "cannot be read" in records["text"].missing["ssim"]
    assert "ssim" in records["longer"].measures
    assert any("the original has more frames" in told for told in records["longer"].warnings)


def test_a_pair_with_foreign_sound_has_no_original(folder: Path) -> None:
    originals = Originals(folder / "originals")
    own = ListedClip("c0+c0", "x.mp4", folder / "ours" / "c0.mp4", {"video": "c0", "sound": "c0"})
    assert originals.of(own).name == "c0.mp4"
    foreign = ListedClip("c0", "x.mp4", folder / "ours" / "c0.mp4", {"video": "c0", "sound": "c1"})
    with pytest.raises(NoValueError, match="the sound of c1"):
        originals.of(foreign)
    with pytest.raises(UsageError, match="no such folder"):
        Originals(folder / "nothing")


class Loud(Measure):
    """Counts samples."""

    name = "loud"
    needs = frozenset({"frames", "sound"})

    def start(self, clip: MeasuredClip) -> Meter:
        return LoudMeter()


class LoudMeter(Meter):
    def __init__(self) -> None:
        self.samples = 0

    def sound(self, samples: np.ndarray) -> None:
        self.samples += len(samples)

    def finish(self) -> float:
        return float(self.samples)


class Broken(Measure):
    """Breaks where `at` says."""

    name = "broken"

    def __init__(self, at: str) -> None:
        self.at = at

    def start(self, clip: MeasuredClip) -> Meter:
        self.fail("start")
        return BrokenMeter(self)

    def fail(self, at: str) -> None:
        if at == self.at:
            raise ZeroDivisionError(f"in {at}")


class BrokenMeter(Meter):
    def __init__(self, measure: Broken) -> None:
        self.measure = measure

    def frame(self, frame: Frame, original: Frame | None) -> None:
        self.measure.fail("frame")

    def finish(self) -> float:
        self.measure.fail("finish")
        return float("nan")


@pytest.mark.parametrize("at", ["start", "frame", "finish", "value"])
def test_an_error_of_a_measure_costs_its_own_value_only(folder: Path, at: str) -> None:
    clip = ListedClip("c0", "c0.mp4", folder / "ours" / "c0.mp4")
    watch = ClipWatch([Broken(at), Loud()], clip, None)
    watch.begin(Fraction(25))
    for frame in pictures(0, 3):
        watch.picture(frame)
        watch.sound(np.zeros(640, np.int16))
    found = watch.finish()
    assert found.values == {"loud": 1920.0}
    assert found.missing["broken"] == ("the value is nan" if at == "value" else f"ZeroDivisionError: in {at}")


class Slow(Loud):
    """May not work at all."""

    name = "slow"
    timeout = 0.0


def test_a_slow_measure_costs_its_own_value_only(folder: Path) -> None:
    watch = ClipWatch([Slow(), Loud()], ListedClip("c0", "c0.mp4", folder / "ours" / "c0.mp4"), None)
    watch.begin(Fraction(25))
    for frame in pictures(0, 3):
        watch.picture(frame)
        watch.sound(np.zeros(640, np.int16))
    found = watch.finish()
    assert found.values == {"loud": 1920.0} and found.missing["slow"].startswith("timeout: ")


PROGRAM = """
import json, sys, time
mood = sys.argv[1]
if mood == "json": print("hello"); print(json.dumps({"value": 2.5}))
elif mood == "number": print(3)
elif mood == "fails": sys.exit("no model")
elif mood == "words": print("done")
elif mood == "none": print(json.dumps({"value": None}))
elif mood == "slow": time.sleep(60)
"""


@pytest.mark.command
@pytest.mark.parametrize(
    ("mood", "found"),
    [
        ("json", 2.5),
        ("number", 3.0),
        ("fails", "exit status 1: the program's last line: no model"),
        ("words", "no number and no JSON"),
        ("none", "the program gave no value"),
        ("slow", "ran longer than 2 s"),
    ],
)
def test_any_program_is_a_measure(tmp_path: Path, mood: str, found: object) -> None:
    (tmp_path / "eval.py").write_text(PROGRAM)
    measure = Command("mine", f"{sys.executable} {tmp_path / 'eval.py'} {mood} {{video}}", timeout=2)
    assert str(tmp_path / "eval.py") in measure.settings
    meter = measure.start(CLIP)
    if isinstance(found, float):
        assert meter.finish() == found
        return
    with pytest.raises(NoValueError, match=str(found)):
        meter.finish()


@pytest.mark.command
def test_a_command_is_scored_compared_and_ranked(folder: Path, narrow: Path, tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text("import os, sys\nprint(os.path.getsize(sys.argv[1]))")
    line = f"size={sys.executable} {tmp_path / 'eval.py'} {{video}}"
    run = scored(folder, narrow, tmp_path / "run", "--measure-command", line)
    sizes = {path.stem: path.stat().st_size for path in (folder / "ours").iterdir()}
    assert {one.id: one.measures["size"] for one in read_run(run).records} == sizes
    other = scored(folder, narrow, tmp_path / "other", "--measure-command", line)
    found = compare(run, other).metrics["size"]
    assert (found.difference, found.n, found.higher_is_better) == (0, 5, None)
    (tmp_path / "eval.py").write_text("print(1)")
    third = scored(folder, narrow, tmp_path / "third", "--measure-command", line)
    with pytest.raises(UsageError, match="the measure size differs"):
        compare(run, third)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--measures", "psnx"), "no measure called psnx. Did you mean psnr?"),
        (("--measures", "psnr"), "Give their folder with --originals"),
        (("--measures", "psnr,psnr", "--originals", "."), "psnr is asked for twice"),
        (("--measures", " , "), "names no measure"),
        (("--measure-command", "lse_c=true {video}"), "the measure lse_c has the name of a field of every record"),
        (("--originals", "."), "--originals belongs to --measures"),
        (("--measure-command", "Bad=x {video}"), "lower-case letters"),
        (("--measure-command", "bad=x"), "{video} in it"),
        (("--measure-command", "bad=no_such_program {video}"), "there is no program no_such_program"),
        (("--measure-command", "bad=true {video} {clip}"), "all other braces must be doubled"),
    ],
)
def test_wrong_options_are_refused(
    folder: Path, narrow: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    words = tuple(str(folder) if word == "." else word for word in words)
    ended = lse_bench_here(
        "score", folder / "ours", "--weights", narrow, "--protocol", "lrs-lossless", "--out", tmp_path / "run", *words
    )
    assert ended.returncode == 2 and told in " ".join(ended.stderr.split()), ended.stderr
    assert not (tmp_path / "run").exists()


def test_measures_are_listed() -> None:
    assert {"psnr", "ssim", "sharpness"} <= set(names())
    assert all(load(name).broken is None for name in ("psnr", "ssim", "sharpness"))
    assert [one.name for one in make_measures(["psnr"], [])] == ["psnr"]
    ended = lse_bench_here("measures")
    assert ended.returncode == 0 and "psnr (lse-bench): Peak signal-to-noise ratio" in ended.stdout
    rows = {row["name"]: row for row in json.loads(lse_bench_here("measures", "--json").stdout)}
    assert rows["ssim"]["install"] == []
    assert rows["lpips"]["install"] == ["pip install 'lse-bench[measures,fid]'", "lse-bench weights fetch alexnet"]
    assert rows["silence"]["install"] == [
        "pip install 'lse-bench[landmarks,faces]'",
        "lse-bench weights fetch facemesh silero_vad",
    ]
    assert rows["psnr"]["install"] == []
    assert rows["psnr"]["needs"] == ["frames", "original"] and rows["psnr"]["unit"] == "dB"


def test_evaluate_takes_measures(folder: Path, narrow: Path) -> None:
    run = lse_bench.evaluate(
        folder / "ours",
        weights=narrow,
        protocol="lrs-lossless@1",
        device="cpu",
        originals=folder / "originals",
        measures=("ssim",),
    )
    assert run.summary.metrics["ssim"].n == 3


@pytest.mark.network
def test_workers_measure_too(folder: Path, narrow: Path, tmp_path: Path) -> None:
    words = ("--originals", folder / "originals", "--measures", "ssim,sharpness")
    one = scored(folder, narrow, tmp_path / "one", *words)
    two = scored(folder, narrow, tmp_path / "two", *words, "--devices", "cpu:2")
    values = [{record.id: record.measures for record in read_run(run).records} for run in (one, two)]
    assert values[0] == values[1]


def test_lpips_is_torchmetrics_with_any_backbone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    torch.manual_seed(0)
    theirs = _LPIPS(pretrained=True, net="alex", pnet_rand=True, eval_mode=True)
    backbone = {f"features.{name.split('.', 1)[1]}": value for name, value in theirs.net.state_dict().items()}
    ours = PerceptualDistance(backbone, read_torch(perceptual._heads_path()))
    one, other = pictures(3, 2, (72, 90))
    pair = [
        torch.from_numpy(frame[None, :, :, ::-1].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
        for frame in (one, other)
    ]
    with torch.no_grad():
        expected = float(theirs(*pair, normalize=False))
    assert ours(one, other) == pytest.approx(expected, rel=1e-5) and expected > 0.01
    assert ours(one, one) == 0
    with pytest.raises(UsageError, match="lse-bench weights fetch alexnet"):
        make_measures(["lpips"], [])
