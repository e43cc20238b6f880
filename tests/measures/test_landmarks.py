"""Measures of landmarks and sound: closed forms, files of landmarks and phonemes, and the mesh's geometry."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import good
from commands import lse_bench_here

from lse_bench.errors import UsageError, WeightsError
from lse_bench.faces import facemesh
from lse_bench.faces.landmarks import Sidecars
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures import sound
from lse_bench.measures.helpers import Helpers
from lse_bench.measures.interface import Measure, MeasuredClip, Meter, NoValueError, Phoneme
from lse_bench.measures.landmarks import FaceDistance, FaceVelocity, MouthDistance, MouthVelocity, eye_distance
from lse_bench.measures.lips import Closure, Silence, lip_gap, silent_frames
from lse_bench.measures.originals import Originals
from lse_bench.measures.phonemes import is_open, lips_close, phonemes_of
from lse_bench.measures.pictures import PsnrMouth, SharpnessMouth, SsimMouth
from lse_bench.measures.registry import make_measures
from lse_bench.measures.sound import Loudness
from lse_bench.measures.watch import ClipWatch, Measured
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.runs.measured import Measures
from lse_bench.runs.read import read_run

CLIP = MeasuredClip("c", Path("c.mp4"), Path("o.mp4"))
MOUTH, UPPER, LOWER = slice(48, 68), (61, 62, 63), (65, 66, 67)


def face(seed: int = 0) -> np.ndarray:
    """68 points somewhere, with the eyes 40 pixels apart on average."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, (68, 2))
    points[36:42] = rng.uniform(-3, 3, (6, 2)) + np.array([30, 40])
    points[42:48] = rng.uniform(-3, 3, (6, 2)) + np.array([70, 40])
    return points


def changed(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


def distance(measure: Measure, ours: Sequence[np.ndarray | None], theirs: Sequence[np.ndarray | None]) -> float:
    meter = measure.start(CLIP)
    for one, other in zip(ours, theirs, strict=True):
        meter.landmarks(one, other)
    return meter.finish()


def test_landmark_distances_in_closed_form() -> None:
    rng = np.random.default_rng(1)
    theirs = [face() + rng.normal(0, 1, (68, 2)) for _ in range(8)]
    moved = [
        changed(one, rng.uniform(-0.4, 0.4), rng.uniform(0.5, 2), tuple(rng.uniform(-30, 30, 2))) for one in theirs
    ]
    for kind in (MouthDistance, FaceDistance, MouthVelocity, FaceVelocity):
        assert distance(kind(), moved, theirs) == pytest.approx(0, abs=1e-12)
    lower = []
    for one, other in zip(theirs, moved, strict=True):  # a mouth 0.05 eye distances lower, seen turned and scaled
        low = one.copy()
        low[MOUTH] += (0, 0.05 * eye_distance(one))
        back = np.linalg.lstsq(np.c_[one, np.ones(68)], other, rcond=None)[0]
        lower.append(np.c_[low, np.ones(68)] @ back)
    assert distance(MouthDistance(), lower, theirs) == pytest.approx(0.05, abs=1e-9)
    assert distance(FaceDistance(), lower, theirs) == pytest.approx(0.05 * 20 / 68, abs=1e-9)
    assert distance(MouthVelocity(), lower, theirs) == pytest.approx(0, abs=1e-9)
    still = [face()] * 6
    shaken = [
        one + np.where((np.arange(68) >= 48)[:, None], (0.0, 4.0 * (number % 2)), 0) for number, one in enumerate(still)
    ]
    assert distance(MouthVelocity(), shaken, still) == pytest.approx(4 / eye_distance(face()), abs=1e-9)
    assert distance(MouthDistance(), shaken, still) == pytest.approx(2 / eye_distance(face()), abs=1e-9)


def test_no_face_no_value() -> None:
    some = [face(), None, None, None]
    with pytest.raises(NoValueError, match="1 of 4 frames"):
        distance(MouthDistance(), some, [face()] * 4)
    assert distance(MouthDistance(), [face(), None, face()], [face()] * 3) == pytest.approx(0, abs=1e-12)
    with pytest.raises(NoValueError, match="no two frames in a row"):
        distance(MouthVelocity(), [face(), None, face()], [face()] * 3)
    with pytest.raises(NoValueError, match="no frames"):
        distance(MouthDistance(), [], [])


def with_gap(gap: float, noise: np.ndarray | float = 0.0) -> np.ndarray:
    """A face whose inner lips are `gap` eye distances apart."""
    points = face() + noise
    for upper, lower in zip(UPPER, reversed(LOWER), strict=True):
        points[lower] = points[upper] + (0, gap * eye_distance(points))
    return points


def gaps_of(measure: Measure, gaps: Sequence[float], noise: float = 0.0, **given: object) -> float:
    meter, rng = measure.start(CLIP), np.random.default_rng(0)
    for gap in gaps:
        meter.landmarks(with_gap(gap, rng.normal(0, noise, (68, 2)) if noise else 0.0), None)
    for name, value in given.items():
        getattr(meter, name)(value)
    return meter.finish()


def test_silence_counts_lips_that_move_in_silence() -> None:
    assert lip_gap(with_gap(0.1)) == pytest.approx(0.1)
    speaks = np.array([[0.0, 1.0], [2.0, 3.0]])  # 75 frames, silent from frame 25 to 49
    (silent,) = silent_frames(speaks, 75)
    assert (silent[0], silent[-1]) == (28, 46), "three frames at both ends belong to the speech"
    assert [part.tolist() for part in silent_frames(np.zeros((0, 2)), 4)] == [], "0.16 s are too short"
    assert silent_frames(np.array([[1.0, 1.2]]), 50)[1][-1] == 49, "nothing follows the end of a clip"
    rng = np.random.default_rng(2)
    babble = np.where(np.arange(75) < 28, 0.05, 0.05 + 0.1 * (np.arange(75) % 2))
    quiet = np.full(75, 0.02)
    quiet[:25] = rng.uniform(0, 0.2, 25)
    assert gaps_of(Silence(), quiet, 0.3, speech=speaks) == 0
    assert gaps_of(Silence(), babble, 0.3, speech=speaks) > 0.4
    louder = gaps_of(Silence(), babble, 6.0, speech=speaks)
    assert louder < 0.4, "movement within the noise of the landmarks is none"
    with pytest.raises(NoValueError, match=r"no silence of 0\.3 s"):
        gaps_of(Silence(), quiet, speech=np.array([[0.0, 3.0]]))


def test_closure_is_the_gap_at_bilabials_over_that_of_open_vowels() -> None:
    gaps = np.full(50, 0.1)
    gaps[10:13], gaps[20:24] = 0.02, 0.2
    spoken = [Phoneme("m", 0.4, 0.5), Phoneme("ˈæ", 0.8, 0.95), Phoneme("t", 1, 1.1)]
    assert gaps_of(Closure(), gaps, phonemes=spoken) == pytest.approx(0.1)
    assert gaps_of(Closure(), np.full(50, 0.1), phonemes=spoken) == pytest.approx(1)
    with pytest.raises(NoValueError, match="0 p, b or m and 1 open"):
        gaps_of(Closure(), gaps, phonemes=spoken[1:])
    assert all(map(lips_close, ("p", "B", "m"))) and not lips_close("n")
    assert all(map(is_open, ("ˈæ", "AA1", "ˈɑː", "aɪ", "AY0"))) and not is_open("ə") and not is_open("UW1")


TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"
xmin = 0
xmax = 1
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "map"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.2
            text = "M"
        intervals [2]:
            xmin = 0.2
            xmax = 0.5
            text = "AE1"
        intervals [3]:
            xmin = 0.5
            xmax = 1
            text = "sil"
"""


def test_phonemes_are_read_from_four_formats(tmp_path: Path) -> None:
    wanted = [Phoneme("M", 0.0, 0.2), Phoneme("AE1", 0.2, 0.5)]
    clip = tmp_path / "videos" / "a.mp4"
    (tmp_path / "videos").mkdir()
    rows = [{"name": one.name, "start": one.start, "end": one.end} for one in wanted]
    contents = {
        "a.TextGrid": TEXTGRID,
        "a.lab": "0 0.2 M\n0.2 0.5 AE1\n0.5 1 sil\n",
        "videos/a.json": json.dumps(rows),
    }
    for name, text in contents.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert phonemes_of(clip, tmp_path) == wanted, name
        path.unlink()
    (tmp_path / "a.lab").write_text("0 2000000 M\n2000000 5000000 AE1\n", encoding="utf-8")  # HTK's units
    assert phonemes_of(clip, tmp_path) == wanted
    np.savez(tmp_path / "a.npz", phonemes=np.array(["M", "AE1"]), phoneme_times=np.array([[0, 0.2], [0.2, 0.5]]))
    assert phonemes_of(clip, tmp_path) == wanted, "the first format counts"
    (tmp_path / "a.npz").unlink()
    for text, told in (("0 x M", "could not convert"), ("0\n", "a line needs"), ("0.5 0.2 M", "end after its start")):
        (tmp_path / "a.lab").write_text(text, encoding="utf-8")
        with pytest.raises(NoValueError, match=told):
            phonemes_of(clip, tmp_path)
    (tmp_path / "a.lab").unlink()
    with pytest.raises(NoValueError, match="searched for a with .npz"):
        phonemes_of(clip, tmp_path)


def test_landmarks_are_read_from_files(tmp_path: Path) -> None:
    points = np.stack([face(0), face(1), np.full((68, 2), np.nan)])
    np.savez(tmp_path / "a.npz", boxes=np.tile([0.0, 0, 100, 100], (3, 1)), landmarks=points)
    follower = Sidecars(tmp_path).follow(Path("a.mp4"))
    frame = np.zeros((8, 8, 3), np.uint8)
    found = [follower.find(frame) for _ in range(4)]
    assert np.array_equal(found[0], points[0]) and np.array_equal(found[1], points[1])
    assert found[2] is None and found[3] is None, "neither a face nor a frame more"
    part = Sidecars(tmp_path).follow(Path("a.mp4"), first=1)
    assert np.array_equal(part.find(frame), points[1])


def test_regions_lie_where_the_originals_landmarks_are() -> None:
    rng = np.random.default_rng(3)
    theirs = rng.integers(0, 256, (120, 120, 3), dtype=np.uint8)
    points = np.full((68, 2), 60.0)
    points[:48] = rng.uniform(5, 115, (48, 2))
    points[MOUTH] = rng.uniform(0, 1, (20, 2)) * (40, 20) + (40, 80)
    points[48], points[54] = (40, 80), (80, 100)
    ours = theirs.copy()
    ours[:70] = 0  # far from the mouth, whose box begins at 80 - 5
    for measure, same in ((PsnrMouth(), None), (SsimMouth(), 1.0)):
        meter = measure.start(CLIP)
        meter.landmarks(None, points)
        meter.frame(ours, theirs)
        if same is None:
            with pytest.raises(NoValueError, match="infinite"):
                meter.finish()
        else:
            assert meter.finish() == pytest.approx(same)
    meter = SharpnessMouth().start(CLIP)
    meter.landmarks(None, points)
    meter.frame(ours, theirs)
    assert meter.finish() == 1
    ours[90, 60] = 255 - ours[90, 60]
    meter = PsnrMouth().start(CLIP)
    meter.landmarks(None, points)
    meter.frame(ours, theirs)
    low, high = points[MOUTH].min(0), points[MOUTH].max(0)
    room = 0.25 * (high - low)
    (left, top), (right, bottom) = np.rint(low - room).astype(int), np.rint(high + room).astype(int)
    error = (ours[top:bottom, left:right].astype(float) - theirs[top:bottom, left:right]) ** 2
    assert meter.finish() == pytest.approx(10 * np.log10(255**2 / error.mean()))
    meter = PsnrMouth().start(CLIP)
    meter.landmarks(points, None)
    meter.frame(ours, theirs)
    with pytest.raises(NoValueError, match="no frame with a mouth"):
        meter.finish()


def test_loudness_is_that_of_the_standard() -> None:
    b, a = sound._shelf(48000)  # the coefficients that BS.1770 prints for 48 kHz
    assert b == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-12)
    assert a == pytest.approx([1, -1.69065929318241, 0.73248077421585], abs=1e-12)
    b, a = sound._high_pass(48000)
    assert list(b) == [1, -2, 1] and a == pytest.approx([1, -1.99004745483398, 0.99007225036621], abs=1e-12)

    def of(samples: np.ndarray, step: int = 1234) -> float:
        meter = Loudness().start(CLIP)
        for start in range(0, len(samples), step):
            meter.sound(np.rint(samples[start : start + step] * 32767).astype(np.int16))
        return meter.finish()

    time = np.arange(5 * 16000) / 16000
    tone = np.sin(2 * np.pi * 997 * time)
    assert of(tone) == pytest.approx(-3.01, abs=0.05), "BS.1770: a sine at full scale in one channel"
    assert of(tone * 0.1) == pytest.approx(of(tone) - 20, abs=0.001)
    assert of(np.r_[tone * 0.1, np.zeros(10 * 16000)]) == pytest.approx(of(tone * 0.1), abs=0.15), "silence is gated"
    assert of(tone, 97) == pytest.approx(of(tone, 5000), abs=1e-12), "pieces of any size"
    with pytest.raises(NoValueError, match="silent"):
        of(np.zeros(16000))
    with pytest.raises(NoValueError, match=r"less than 0\.4 s"):
        of(tone[:6000])


class FakeMesh:
    """A network that sees the one white pixel of its picture and puts all points there, spread as a face."""

    def __init__(self, path: str, num_threads: int) -> None:
        self._seen = (0.0, 0.0)

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict]:
        return [{"index": 0, "shape": np.array([1, 192, 192, 3])}]

    def get_output_details(self) -> list[dict]:
        return [{"index": 1, "shape": np.array([1, 1, 1, 1404])}, {"index": 2, "shape": np.array([1, 1, 1, 1])}]

    def set_tensor(self, index: int, picture: np.ndarray) -> None:
        assert picture.dtype == np.float32 and picture.min() >= -1 and picture.max() <= 1
        light = picture[0].sum(axis=2) + 3
        y, x = np.mgrid[:192, :192]
        self._seen = (float((light * x).sum() / light.sum()), float((light * y).sum() / light.sum()))

    def invoke(self) -> None: ...

    def get_tensor(self, index: int) -> np.ndarray:
        if index == 2:
            return np.full((1, 1, 1, 1), 3.0, np.float32)
        points = np.zeros((468, 3), np.float32)
        points[:, :2] = self._seen
        return points.reshape(1, 1, 1, 1404)


@pytest.fixture
def fake_mesh(monkeypatch: pytest.MonkeyPatch) -> facemesh.FaceMesh:
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = FakeMesh  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    return facemesh.FaceMesh(Path("mesh.tflite"))


def test_points_come_back_in_pixels_of_the_frame(fake_mesh: facemesh.FaceMesh) -> None:
    """Wherever the network looks, turned and scaled, it reports the same spot of the frame."""
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[118:123, 198:203] = 255
    for square in ((200.0, 120.0, 60.0, 0.0), (180.0, 130.0, 120.0, 0.5), (210.0, 110.0, 90.0, -1.2)):
        points, present = fake_mesh.find(frame, square)
        assert present == 3.0 and points.shape == (468, 2)
        assert np.abs(points - (200, 120)).max() < 0.6, square


def test_the_next_square_stands_upright_around_the_face() -> None:
    rng = np.random.default_rng(4)
    upright = rng.uniform(-1, 1, (468, 2)) * (40, 50)
    upright[[0, 1, 2, 3]] = (-40, 0), (40, 0), (0, -50), (0, 50)
    upright[33], upright[263] = (-20, -10), (20, -10)
    for angle in (0.0, 0.3, -0.7):
        mesh = changed(upright, angle, 1.0, (150, 100))
        x, y, side, roll = facemesh.square_of_mesh(mesh)
        assert (x, y) == pytest.approx((150, 100)) and side == pytest.approx(150) and roll == pytest.approx(angle)
    assert facemesh.square_of_box(np.array([10, 20, 50, 90.0])) == (30, 55, 105, 0)
    assert len(facemesh.landmarks_of(mesh)) == 68


def test_a_file_that_is_no_mesh_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "face.tflite"
    path.write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"face\.tflite"):
        facemesh.FaceMesh(path)


def test_a_measure_without_its_source_is_refused() -> None:
    with pytest.raises(UsageError, match="lmd needs landmarks"):
        Measures(make_measures(["lmd"], []), Path(), Helpers())
    assert Helpers(Sidecars(Path())).id_of(make_measures(["lmd"], [])[0]) == "lmd@1:landmarks=sidecar"


def test_a_file_for_both_the_clip_and_its_original_is_refused(tmp_path: Path) -> None:
    """Or every generator would have a landmark distance of 0."""
    for name in ("outputs", "originals"):
        good(tmp_path / name / "a.mp4", 1.2)
        (tmp_path / "sidecars" / name).mkdir(parents=True)
    shift = {"outputs": 6.0, "originals": 0.0}

    def held(name: str) -> dict[str, np.ndarray]:
        moved = face() + np.where((np.arange(68) >= 48)[:, None], (0.0, shift[name]), 0)
        return {"boxes": np.tile([0.0, 0, 9, 9], (30, 1)), "landmarks": np.stack([moved] * 30)}

    def measured() -> Measured:
        clip = ListedClip("a", "a.mp4", tmp_path / "outputs" / "a.mp4")
        helpers = Helpers(Sidecars(tmp_path / "sidecars"))
        watch = ClipWatch([MouthDistance(), Closed()], clip, Originals(tmp_path / "originals"), helpers)
        watch.begin(Fraction(25))
        for frame in read_frames(probe(clip.path), 25):
            watch.picture(frame)
        return watch.finish()

    np.savez(tmp_path / "sidecars" / "a.npz", **held("originals"))
    found = measured()
    assert "serves both it and its original" in found.missing["lmd"]
    assert set(found.values) == {"closed"}, "what needs no original has its landmarks"
    for name in shift:
        np.savez(tmp_path / "sidecars" / name / "a.npz", **held(name))
    assert measured().values["lmd"] == pytest.approx(6 / eye_distance(face()))


class Closed(Measure):
    """The mean lip gap: needs landmarks, and no original."""

    name = "closed"
    needs = frozenset({"frames", "landmarks"})

    def start(self, clip: MeasuredClip) -> Meter:
        return ClosedMeter()


class ClosedMeter(Meter):
    def __init__(self) -> None:
        self.gaps: list[float] = []

    def landmarks(self, points: np.ndarray | None, original: np.ndarray | None) -> None:
        assert points is not None and original is None
        self.gaps.append(lip_gap(points))

    def finish(self) -> float:
        return float(np.mean(self.gaps))


@pytest.mark.command
def test_a_run_with_sidecars(tmp_path: Path, corpus: Path) -> None:
    """A clip without a file has no landmarks, and its score stands; ids name the source."""
    clips = sorted((corpus / "mvlrs_v1").rglob("*.mp4"))[:2]
    outputs, sidecars = tmp_path / "outputs", tmp_path / "sidecars"
    for folder in (outputs, sidecars):
        folder.mkdir()
    for number, clip in enumerate(clips):
        (outputs / f"c{number}.mp4").write_bytes(clip.read_bytes())
        if number == 0:
            truth = corpus / "minilrs" / "truth" / clip.relative_to(corpus).with_suffix(".npz")
            (sidecars / "c0.npz").write_bytes(truth.read_bytes())
    options = ("--measures", "lmd,psnr_mouth,ssim_mouth,closure,loudness", "--originals", outputs)
    command = ("score", outputs, "--weights", "syncnet-mini", "--device", "cpu", *options)
    ended = lse_bench_here(*command, "--landmarks", "sidecar", "--sidecars", sidecars, "--out", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    run = read_run(tmp_path / "run")
    records = {record.id: record for record in run.records}
    assert set(records["c0"].measures) >= {"lmd", "ssim_mouth", "loudness"}
    assert records["c0"].measures["lmd"] == pytest.approx(0, abs=1e-9)
    assert records["c1"].status == "ok" and set(records["c1"].measures) == {"loudness"}
    assert "no landmarks" in records["c1"].missing["lmd"] and "no boxes for it" in records["c1"].missing["closure"]
    assert run.description.measures["lmd"].id == "lmd@1:landmarks=sidecar"
    refused = lse_bench_here(*command, "--landmarks", "sidecar", "--out", tmp_path / "no")
    assert refused.returncode == 2 and "--sidecars" in refused.stderr
    refused = lse_bench_here(
        "score", outputs, "--weights", "syncnet-mini", "--sidecars", sidecars, "--out", tmp_path / "no"
    )
    assert refused.returncode == 2 and "--sidecars belongs to --measures" in refused.stderr
