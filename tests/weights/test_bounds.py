"""Small files that announce or unpack to gigabytes are refused before anything is allocated, with the bound."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from lse_bench.errors import ClipError, LseBenchError, UsageError, WeightsError
from lse_bench.faces.detectors import read_boxes
from lse_bench.fidelity.frechet import load_statistics
from lse_bench.storage import SPARE, read_arrays
from lse_bench.weights.bounds import MAX_PICKLE
from lse_bench.weights.keras import read_keras
from lse_bench.weights.matconvnet import read_dagnn
from lse_bench.weights.readers import read_torch

HUGE = SPARE + (8 << 20)  # bytes of zeros, that compress to nearly nothing
BELIEVED = r"that unpacks to \d\d,\d{3},\d{3} or more. The limit is 4 times its size plus 64 MiB"


def packed(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save({"a": torch.zeros(4)}, tmp_path / "good.pth")
    return tmp_path / "good.pth"


def torch_bomb(checkpoint: Path, folder: Path) -> Callable[[], object]:
    held = entries_of(checkpoint)
    return lambda: read_torch(packed(folder / "bomb.pth", held | {"good/data/0": bytes(HUGE)}))


def keras_bomb(checkpoint: Path, folder: Path) -> Callable[[], object]:
    with h5py.File(folder / "bomb.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv2d"]
        group = file.create_group("conv2d")
        group.attrs["weight_names"] = [b"kernel:0"]
        group.create_dataset("kernel:0", shape=(HUGE // 4,), dtype="f4", chunks=(1 << 20,))
    return lambda: read_keras(folder / "bomb.h5")


def matlab_bomb(checkpoint: Path, folder: Path) -> Callable[[], object]:
    savemat(folder / "bomb.mat", {"net": np.zeros(HUGE // 8)}, do_compression=True)
    return lambda: read_dagnn(folder / "bomb.mat")


def statistics_bomb(checkpoint: Path, folder: Path) -> Callable[[], object]:
    np.savez_compressed(folder / "bomb.npz", mu=np.zeros(4), sigma=np.zeros(HUGE // 8))
    return lambda: load_statistics(folder / "bomb.npz")


def boxes_bomb(checkpoint: Path, folder: Path) -> Callable[[], object]:
    np.savez_compressed(folder / "clip.npz", boxes=np.zeros((HUGE // 32 + 1, 4)))
    return lambda: read_boxes(folder / "clip.mp4", folder)


def windows_bomb(checkpoint: Path, folder: Path) -> Callable[[], object]:
    np.savez_compressed(folder / "windows.npz", distances=np.zeros(HUGE // 8))
    return lambda: read_arrays(folder / "windows.npz", "Score the clip again")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (windows_bomb, UsageError),
        (torch_bomb, WeightsError),
        (keras_bomb, WeightsError),
        (matlab_bomb, WeightsError),
        (statistics_bomb, UsageError),
        (boxes_bomb, ClipError),
    ],
)
def test_what_unpacks_to_far_more_than_its_size(
    tmp_path: Path,
    checkpoint: Path,
    make: Callable[[Path, Path], Callable[[], object]],
    error: type[LseBenchError],
) -> None:
    with pytest.raises(error, match=BELIEVED):
        make(checkpoint, tmp_path)()


LONG = b"\x80\x02(" + (b"C\xff" + b"x" * 255) * (MAX_PICKLE // 257 + 2) + b"t."
TOLD = r"its description of entries has 16,\d{3},\d{3} bytes or more, and the limit is 16,777,216"


def test_a_description_longer_than_any_network_has(tmp_path: Path, checkpoint: Path) -> None:
    held = entries_of(checkpoint)
    with zipfile.ZipFile(tmp_path / "long.pth", "w") as archive:  # not packed, as torch writes it
        for name, content in held.items():
            archive.writestr(name, LONG if name.endswith("data.pkl") else content)
    with pytest.raises(WeightsError, match=TOLD):
        read_torch(tmp_path / "long.pth")


@pytest.mark.parametrize("older", [True, False])
def test_the_same_without_an_archive(tmp_path: Path, older: bool) -> None:
    torch.save({"a": torch.zeros(4)}, tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    head = (tmp_path / "older.pth").read_bytes()
    begin = head.index(b"\x80\x02}q\x00X\x01\x00\x00\x00a") if older else 0
    (tmp_path / "older.pth").write_bytes(head[:begin] + LONG)
    with pytest.raises(WeightsError, match=TOLD):
        read_torch(tmp_path / "older.pth")


def test_large_weights_that_are_what_they_say(tmp_path: Path) -> None:
    state = {f"entry.{number}": torch.zeros(1 << 20) for number in range(20)}  # 80 MiB, whose zeros would pack well
    for zipped in (True, False):
        torch.save(state, tmp_path / "large.pth", _use_new_zipfile_serialization=zipped)
        assert len(read_torch(tmp_path / "large.pth")) == 20
