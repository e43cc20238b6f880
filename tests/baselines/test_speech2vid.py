"""Speech2Vid against MatConvNet's own kernels and the published MATLAB scripts."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from checkpoints import GOLDEN, write_dagnn, write_lipgan

from lse_bench.baselines.speech2vid.adapter import Speech2Vid, sound_windows
from lse_bench.baselines.speech2vid.alignment import (
    CORNER,
    CUT,
    aligned,
    back_warp,
    canvas_warp,
    moved,
    put_back,
    shrunk,
    similarity,
)
from lse_bench.baselines.speech2vid.graph import Graph
from lse_bench.baselines.speech2vid.model import (
    content_layers,
    deblur_layers,
    entry_shapes,
    generator_layers,
    net_of,
)
from lse_bench.baselines.speech2vid.weights import load_deblurring, load_network
from lse_bench.errors import ClipError, WeightsError
from lse_bench.generators.interface import FaceCrop, Options
from lse_bench.weights.formula import formula_weights
from lse_bench.weights.matconvnet import DagLayer, DagNet, read_dagnn

FOLDER = GOLDEN / "speech2vid"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as held:
        return dict(held)


def formula_net(layers: list[DagLayer]) -> DagNet:
    return net_of(layers, formula_weights(entry_shapes(layers)))


@pytest.fixture(scope="module")
def v201(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator and the loss layers behind it, as the published file has them."""
    net = formula_net(generator_layers())
    loss = DagLayer("loss0", "Loss", ("prediction", "input_lip"), ("loss0",), (), {"loss": "l1"})
    return write_dagnn(tmp_path_factory.mktemp("speech2vid") / "v201.mat", DagNet([*net.layers, loss], net.params))


@pytest.fixture(scope="module")
def v114(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dagnn(tmp_path_factory.mktemp("deblurring") / "v114.mat", formula_net(deblur_layers()))


def inputs() -> dict[str, torch.Tensor]:
    random = np.random.Generator(np.random.PCG64([0, 20170502]))
    sound = random.standard_normal((2, 12, 35)).astype(np.float32)[:, None]
    face = random.standard_normal((2, 15, 112, 112)).astype(np.float32)
    lip = random.uniform(0, 1, (2, 3, 109, 109)).astype(np.float32)
    return {"input_audio": torch.from_numpy(sound), "input_face": torch.from_numpy(face), "lip": torch.from_numpy(lip)}


@pytest.mark.original
@pytest.mark.parametrize("file", ["dagnn_small.mat", "dagnn_small_uint8.mat"])
def test_every_rule_of_the_format(file: str) -> None:
    held = golden("dagnn_small_expected")
    graph = Graph(read_dagnn(FOLDER / file), "prediction")
    assert graph.inputs == ["input_a", "input_b"]  # the loss and its target are left out
    names = (*(f"x{number}" for number in range(1, 13)), "prediction")
    with torch.no_grad():
        found = graph.variables({name: torch.from_numpy(held[name]) for name in graph.inputs}, names)
    for name in names:
        np.testing.assert_allclose(found[name].numpy(), held[name], atol=2e-5, err_msg=name)


@pytest.mark.original
def test_generator_read_back_from_a_file(v201: Path) -> None:
    held, given = golden("official_shape_forward"), inputs()
    network = load_network(v201)
    sound, face = given["input_audio"], given["input_face"]
    silent = sound.clone()
    silent[..., :10] = torch.nan
    with torch.no_grad():
        found = network.variables(
            {"input_audio": sound, "input_face": face},
            ("prediction", "conv5_3_out", "relu7_audio_out", "relu7_face_out"),
        )
        np.testing.assert_allclose(found["prediction"].numpy(), held["prediction"], atol=5e-5)
        np.testing.assert_allclose(found["conv5_3_out"].numpy(), held["logit"], atol=2e-4)
        for name in ("audio", "face"):
            embedding = found[f"relu7_{name}_out"].flatten(1).numpy()
            np.testing.assert_allclose(embedding, held[f"{name}_embedding"], atol=5e-4)
        drawn = network({"input_audio": silent, "input_face": face}).numpy()
        np.testing.assert_allclose(drawn[:1], held["prediction_nan"], atol=5e-5)


@pytest.mark.original
def test_deblurring_and_content_networks(v114: Path) -> None:
    held, given = golden("official_shape_forward"), inputs()
    content = Graph(formula_net(content_layers()), "relu5_face_lip_1_out")
    names = tuple(f"relu{number}_face_lip_1_out" for number in range(1, 6))
    drawn = torch.from_numpy(held["prediction"])
    with torch.no_grad():
        residual = load_deblurring(v114)({"input_lip": given["lip"]}).numpy()
        np.testing.assert_allclose(residual, held["deblur_residual"], atol=5e-5)
        ours, theirs = (content.variables({"input_lip": x}, names) for x in (drawn, given["lip"]))
        losses = [float((ours[name] - theirs[name]).abs().mean()) for name in names]
    np.testing.assert_allclose(losses, held["content_l1"], atol=1e-6)


def test_learnable_parameters_are_as_many_as_published() -> None:
    shapes = entry_shapes(generator_layers())
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if "running" not in name) == 28_046_275


@pytest.mark.original
def test_alignment_matrices() -> None:
    held = golden("face_alignment")
    for points, wanted, warp in zip(held["landmarks68"], held["similarity"], held["warp_240"], strict=True):
        np.testing.assert_allclose(similarity(points[27:48], held["mean_shape"][27:48]), wanted, atol=1e-9)
        np.testing.assert_allclose(canvas_warp(points), warp, atol=1e-9)


@pytest.mark.original
def test_aligned_face() -> None:
    held = golden("face_alignment")
    points = held["landmarks68"][0]
    canvas = np.rint(moved(held["image"] - 110.0, canvas_warp(points), 240, 240) + 110)
    np.testing.assert_allclose(canvas, held["aligned_240"], rtol=0, atol=1)
    assert np.array_equal(held["aligned_240"][CORNER : CORNER + CUT, CORNER : CORNER + CUT], held["crop_197"])
    off = np.abs(shrunk(held["crop_197"]).astype(int) - held["face_112"])
    assert off[4:-4, 4:-4].max() <= 1 and off.max() <= 4
    whole = np.abs(aligned(held["image"], points).astype(int) - held["face_112"])
    assert whole[4:-4, 4:-4].max() <= 2


def test_moving_by_hand() -> None:
    picture = np.array([[[0.0], [8.0]], [[4.0], [20.0]]])
    quarter = moved(picture, np.array([[1, 0, -0.25], [0, 1, -0.5]]), 2, 1)[0, :, 0]
    assert quarter == pytest.approx([0.5 * (0.75 * 0 + 0.25 * 8) + 0.5 * (0.75 * 4 + 0.25 * 20), 0.5 * 6 + 0.5 * 15])
    aside = np.array([[1, 0, 1.5], [0, 1, 0.0]])
    assert moved(picture, aside, 4, 2)[..., 0] == pytest.approx(np.array([[0, 0, 4, 4], [0, 2, 12, 10.0]]))
    assert moved(picture[:1, :1] + 5, np.eye(2, 3), 2, 2)[..., 0] == pytest.approx(np.array([[5, 0], [0, 0.0]]))
    assert moved(picture, aside, 4, 2, repeat=True)[..., 0] == pytest.approx(np.array([[0, 0, 4, 8], [4, 4, 12, 20.0]]))


@pytest.mark.original
def test_a_face_goes_back_where_it_came_from() -> None:
    """Cut out, cropped to what the network draws, and put back, a smooth picture is itself again."""
    y, x = np.mgrid[0:220, 0:260]
    picture = np.stack([x * 0.8, y, 128 + 60 * np.sin(x / 25)], axis=-1).clip(0, 255).astype(np.uint8)
    points = golden("face_alignment")["landmarks68"][0]
    face = aligned(picture, points)
    again, mask = put_back(face[1:110, 1:110].astype(np.float32), points, 220, 260)
    assert np.abs(again[mask > 0.99] - picture[mask > 0.99]).mean() < 1.0
    corner = back_warp(points) @ np.array([54, 54, 1.0])
    assert mask[round(corner[1]), round(corner[0])] == pytest.approx(1)


@pytest.mark.original
def test_five_points_do_nearly_what_68_do() -> None:
    points = golden("face_alignment")["landmarks68"][0]
    five = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
    corners = np.array([[60, 60, 1], [180, 60, 1], [120, 180, 1.0]])
    inverse = [cv2.invertAffineTransform(canvas_warp(found)) for found in (points, five)]
    apart = np.linalg.norm(corners @ inverse[0].T - corners @ inverse[1].T, axis=1)
    size = np.linalg.norm(points[36] - points[45])
    assert apart.max() < 0.35 * size


def test_windows_hear_around_their_frame() -> None:
    sound = np.random.default_rng(0).integers(-9000, 9000, 16000, dtype=np.int16)
    middle, legacy = sound_windows(sound, -4), sound_windows(sound, 0)
    assert middle.shape == legacy.shape == (25, 12, 35)
    # All but the window at the joint with silence, whose pre-emphasis looks one sample back.
    np.testing.assert_allclose(middle[8], legacy[4], rtol=1e-5)
    assert np.isnan(middle[0][:, 0]).all() and np.isfinite(middle[0][:, 16:]).all()
    with np.load(FOLDER / "audio_mfcc.npz") as held:
        assert list(held["padded_chunk_starts"][:4]) == [0, 4, 8, 12]  # four columns a frame


@pytest.mark.original
def test_adapter_speaks_over_a_still_identity(v201: Path, v114: Path) -> None:
    held = golden("face_alignment")
    picture = np.ascontiguousarray(held["image"][..., ::-1])
    crops = [FaceCrop(picture, (0, 0, 260, 220), held["landmarks68"][0])] * 6
    sound = np.random.default_rng(0).integers(-9000, 9000, 6 * 640, dtype=np.int16)
    plain = Speech2Vid(Options(v201))
    answers = list(plain.generate(iter(crops), sound, 0))
    assert len(answers) == plain.frames_for(len(sound)) == 6
    assert answers[0].pixels.shape == picture.shape and answers[0].mask is not None and answers[0].mask.max() == 1
    sharper = list(Speech2Vid(Options(v201, settings={"deblur": str(v114)})).generate(iter(crops), sound, 0))
    assert np.abs(sharper[0].pixels - answers[0].pixels).max() > 1
    unknown = FaceCrop(picture, (0, 0, 260, 220))
    passed = list(plain.generate(iter([unknown, *crops[1:]]), sound, 0))
    assert passed[0] is unknown and passed[1].mask is not None
    with pytest.raises(ClipError, match="68"):
        list(plain.generate(iter([unknown]), sound, 0))


def test_wrong_files_are_named(v201: Path, v114: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no layer makes prediction"):
        load_network(v114)
    with pytest.raises(WeightsError, match=r"takes input_lip"):
        load_deblurring(v201)
    cut = tmp_path / "cut.mat"
    cut.write_bytes(v201.read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match="truncated|cut off"):
        load_network(cut)
    newer = tmp_path / "v73.mat"
    with h5py.File(newer, "w", userblock_size=512) as file:
        file.create_dataset("net", data=np.zeros(3))
    with newer.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    with pytest.raises(WeightsError, match=r"version 7\.3.*-v7"):
        load_network(newer)
    with pytest.raises(WeightsError, match="HDF5"):
        load_network(write_lipgan(tmp_path / "lipgan.h5", "master_disc"))
    strange = formula_net(deblur_layers())
    layers = [DagLayer("odd", "LRN", ("input_lip",), ("a",), (), {}), *strange.layers[1:]]
    with pytest.raises(WeightsError, match=r"layer odd \(LRN\) cannot be built"):
        Graph(
            DagNet([DagLayer("odd", "LRN", ("input_lip",), ("supr0_out",), (), {}), *layers[1:]], strange.params),
            "deblurred",
        )
