"""S3FD against the outputs of the tracker's own copy, and the other function that goes by its name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GOLDEN, as_tensors

from lse_bench.errors import LseBenchError, WeightsError
from lse_bench.faces.detectors import load_detector
from lse_bench.faces.face import suppress
from lse_bench.faces.s3fd import S3fd, decode, faces_of, first_suppression
from lse_bench.faces.s3fd_network import RENAMED, network_from
from lse_bench.weights.formula import formula_weights

PICTURES = {"s3fd_scale_1": 1.0, "s3fd_scale_0.5": 0.5, "s3fd_640x360_scale_0.25": 0.25}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    entries = json.loads((GOLDEN / "s3fd_entries.json").read_text())
    return as_tensors(formula_weights({name: tuple(shape) for name, shape in entries}, seed=0))


@pytest.fixture(scope="module")
def detectors(state: dict[str, torch.Tensor]) -> dict[str, S3fd]:
    network, variant = network_from(state, "formula")
    return {name: S3fd(network, variant, scale) for name, scale in PICTURES.items()}


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as held:
        return {key: held[key] for key in held.files}


def in_order(rows: np.ndarray, score: int) -> np.ndarray:
    """Rows by score; scores of exactly 1 tie, and how ties are ordered differs between processors."""
    return rows[np.lexsort((*rows.T, -rows[:, score]))]


@pytest.mark.original
@pytest.mark.parametrize("name", PICTURES)
def test_answers_of_the_network(detectors: dict[str, S3fd], name: str) -> None:
    want, detector = golden(name), detectors[name]
    picture = detector.scaled(np.ascontiguousarray(want["image_rgb"][:, :, ::-1]))
    loc, conf, prior = detector.answers([picture])
    np.testing.assert_allclose(loc[0], want["loc"], rtol=0, atol=7e-4)
    np.testing.assert_allclose(conf[0], want["conf"], rtol=0, atol=2e-4)
    np.testing.assert_allclose(prior, want["prior"], atol=1e-7)


@pytest.mark.original
@pytest.mark.parametrize("name", PICTURES)
def test_both_suppressions_of_the_networks_answers(name: str) -> None:
    want = golden(name)
    found = first_suppression(decode(want["loc"], want["prior"]), np.ascontiguousarray(want["conf"][:, 1]))
    assert found.shape == want["detections"].shape
    np.testing.assert_allclose(in_order(found, 0), in_order(want["detections"], 0), atol=1e-4)
    height, width = want["image_rgb"].shape[:2]
    faces = faces_of(want["detections"], width, height, threshold=0.9)
    rows = np.array([[*face.box, face.score] for face in faces])
    assert rows.shape == want["faces"].shape
    np.testing.assert_allclose(in_order(rows, 4), in_order(want["faces"], 4), atol=1e-3)


@pytest.mark.original
def test_decoding_and_kept_indices_are_exact() -> None:
    want = golden("s3fd_boxes")
    decoded = decode(want["loc"], want["priors"])
    np.testing.assert_allclose(decoded, want["decoded"], rtol=0, atol=1e-4)
    found = first_suppression(want["decoded"], np.ascontiguousarray(want["conf"][:, 1]))
    np.testing.assert_array_equal(found, want["detections"])
    kept = suppress(want["pixel_boxes"][:, :4], want["pixel_boxes"][:, 4], 0.1)
    np.testing.assert_array_equal(kept, want["keep"])


@pytest.mark.original
def test_frames_in_a_batch_are_found_as_alone(detectors: dict[str, S3fd]) -> None:
    picture = np.ascontiguousarray(golden("s3fd_scale_1")["image_rgb"][:, :, ::-1])
    detector = detectors["s3fd_scale_1"]
    pair = detector.detect([picture, picture[:, ::-1].copy()])
    alone = detector.detect([picture])[0]
    assert len(pair[0]) == len(alone) > 0
    for one, other in zip(pair[0], alone, strict=True):
        np.testing.assert_allclose(one.box, other.box, rtol=1e-4, atol=0.1)


def test_too_small_frames_are_refused_with_the_numbers(detectors: dict[str, S3fd]) -> None:
    with pytest.raises(LseBenchError, match=r"160x90 scaled by 0\.25 leave 22 px, S3FD needs 28"):
        detectors["s3fd_640x360_scale_0.25"].detect([np.zeros((90, 160, 3), np.uint8)])


def test_the_other_file_is_another_function(state: dict[str, torch.Tensor]) -> None:
    """Same weights under face-alignment's names: no dilation, BGR, so other answers; entries all find their place."""
    back = {new: old for old, new in RENAMED.items()}
    renamed = {}
    for name, value in state.items():
        layer, _, entry = name.rpartition(".")
        renamed[f"{back[layer]}.{entry}"] = value
    assert {"conv1_1.weight", "fc6.bias", "conv3_3_norm.weight", "conv7_2_mbox_conf.weight"} <= set(renamed)
    network, variant = network_from(renamed, "s3fd")
    assert variant.name == "s3fd"
    assert network.vgg[31].dilation == (1, 1) and network.vgg[31].padding == (3, 3)
    theirs, _ = network_from(state, "sfd_face")
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 128, 128, generator=random) * 50
    with torch.inference_mode():
        ours, others = network.maps(x), theirs.maps(x)
        assert torch.equal(ours[0], others[0])  # the trunk is the same
        # fc6 is not: three pixels of border around a 3x3 kernel enlarge its map.
        assert ours[3].shape[2] == 8 and others[3].shape[2] == 4
    # The third pool rounds 33 / 2 down, where the tracker's network rounds up.
    wide = torch.zeros(1, 3, 132, 132)
    with torch.inference_mode():
        assert network.maps(wide)[1].shape[2] == 16 and theirs.maps(wide)[1].shape[2] == 17


def test_wrong_files_are_named(state: dict[str, torch.Tensor], calibrated: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"SyncNet.*not the face detector S3FD.*weights fetch sfd_face"):
        S3fd.load(calibrated)
    torch.save({name: value for name, value in state.items() if name != "loc.0.weight"}, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"part\.pth.*loc\.0\.weight"):
        load_detector("s3fd", weights=tmp_path / "part.pth")
    torch.save(state, tmp_path / "sfd_face.pth")
    assert load_detector("s3fd", weights=tmp_path / "sfd_face.pth").id == "sfd_face:0.25:0.9"
