"""CSIM: the face is placed as ArcFace has it, and the value is the cosine of the embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measures.onnx_files import write_means

from lse_bench.errors import UsageError, WeightsError
from lse_bench.measures import identity
from lse_bench.measures.identity import SIDE, Csim, IdentityNetwork, placed
from lse_bench.measures.interface import MeasuredClip, NoValueError
from lse_bench.measures.registry import make_measures

CLIP = MeasuredClip("c", Path("c.mp4"), Path("o.mp4"))


def face(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    """68 landmarks of which the five lie as in ArcFace's pictures, moved, turned and scaled."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = identity._PLACES[0], identity._PLACES[1]
    points[[30, 48, 54]] = identity._PLACES[2:]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + np.array(shift)


def picture(seed: int) -> np.ndarray:
    """A smooth picture, which survives a change of size."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    import cv2

    return np.asarray(cv2.resize(small, (240, 240), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture
def network(tmp_path: Path) -> IdentityNetwork:
    write_means(tmp_path / "means.onnx", SIDE, 28)
    return IdentityNetwork(tmp_path / "means.onnx")


def test_a_face_is_placed_where_arcface_has_it() -> None:
    """A place of the picture comes to the place that the same similarity gives it."""
    across, down = np.meshgrid(np.arange(240.0), np.arange(240.0))
    slopes = np.stack([across, down, across + down], axis=-1)
    scale, angle, shift = 1.25, 0.3, (60.0, 20.0)
    found = placed((slopes / 2).astype(np.uint8), face(scale, angle, shift)).astype(float) * 2
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    wanted_x = scale * (x * np.cos(angle) - y * np.sin(angle)) + shift[0]
    wanted_y = scale * (x * np.sin(angle) + y * np.cos(angle)) + shift[1]
    inside = (wanted_x > 1) & (wanted_x < 238) & (wanted_y > 1) & (wanted_y < 238)
    assert inside.mean() > 0.8
    assert np.abs(found[..., 0] - wanted_x)[inside].max() < 3 and np.abs(found[..., 1] - wanted_y)[inside].max() < 3


def test_the_value_is_the_cosine_of_the_embeddings(network: IdentityNetwork) -> None:
    """The network gives means of squares in RGB from -1 to 1, so that the value can be written out."""
    one, other = picture(1), picture(2)
    here, there = face(1.5, 0.1, (40, 30)), face(1.4, -0.2, (30, 60))
    meter = identity._CsimMeter(network)
    for ours, theirs in ((one, other), (one, one)):
        meter.landmarks(here, there if ours is not theirs else here)
        meter.frame(ours, theirs)
    meter.landmarks(None, there)
    meter.frame(one, other)

    def means(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        rgb = placed(frame, points)[..., ::-1].astype(float) / 127.5 - 1
        return rgb.reshape(4, 28, 4, 28, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()

    a, b = means(one, here), means(other, there)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert meter.finish() == pytest.approx((cosine + 1) / 2, abs=1e-6) and cosine < 0.99


def test_few_faces_and_weights_are_told(network: IdentityNetwork, tmp_path: Path) -> None:
    meter = identity._CsimMeter(network)
    for _ in range(3):
        meter.landmarks(None, face(1, 0, (0, 0)))
        meter.frame(picture(1), picture(1))
    with pytest.raises(NoValueError, match="0 of 3 frames"):
        meter.finish()
    with pytest.raises(UsageError, match="lse-bench weights fetch w600k_r50"):
        make_measures(["csim"], [])
    (tmp_path / "no.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"no\.onnx: this is no network"):
        IdentityNetwork(tmp_path / "no.onnx")


def test_the_digest_of_the_weights_is_in_the_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_means(tmp_path / "w600k_r50.onnx", SIDE, 28)
    monkeypatch.setattr(identity, "state_of", lambda item: "ok")
    monkeypatch.setattr(identity, "path_of", lambda item: tmp_path / "w600k_r50.onnx")
    measure = Csim()
    assert measure.id == f"csim@1:net=arcface-{identity.file_digest(tmp_path / 'w600k_r50.onnx')[:8]}"
    assert isinstance(measure.start(CLIP), identity._CsimMeter)
    assert "_network" not in measure.__getstate__()
