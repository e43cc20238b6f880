"""Checkpoints: what is read, what is refused, and under which name."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import lse_bench_here
from conftest import TESTS

from lse_bench.errors import WeightsError
from lse_bench.sync.syncnet import SyncNet, load_syncnet
from lse_bench.weights.formula import formula_weights
from lse_bench.weights.readers import file_digest, read_torch
from lse_bench.weights.table import table

NAMES = json.loads((TESTS / "golden" / "entry_names.json").read_text())


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return SyncNet(widths_sound=(4, 8, 8, 8, 8, 16), widths_lip=(4, 8, 8, 8, 8, 16)).state_dict()


def test_formula_is_the_golden_one() -> None:
    path = TESTS / "golden" / "formula_reference.py"
    spec = importlib.util.spec_from_file_location("formula_reference", path)
    assert spec is not None and spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    shapes = {name: tuple(value.shape) for name, value in SyncNet().state_dict().items()}
    expected = reference.filled(shapes, seed=0)
    found = formula_weights(shapes, seed=0)
    assert list(found) == list(expected)
    for name in expected:
        assert found[name].dtype == expected[name].dtype and np.array_equal(found[name], expected[name]), name


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_every_published_form_is_read(tmp_path: Path, state: dict, zipped: bool, wrapped: bool) -> None:
    path = tmp_path / "syncnet.pth"
    content = state
    if wrapped:
        adam = {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.5, 0.999)}]}
        content = {"state_dict": {f"module.{k}": v for k, v in state.items()}, "optimizer": adam, "global_step": 7}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    back = load_syncnet(path).state_dict()
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_safetensors_are_read(tmp_path: Path, state: dict) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "syncnet.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    assert load_syncnet(path).netcnnlip[0].weight.shape[0] == 4


class RunsSystem:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return os.system, (f"touch {self.trace}",)


class RunsEval:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return eval, (f"open({str(self.trace)!r}, 'w')",)


@pytest.mark.parametrize("kind", [RunsSystem, RunsEval])
@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_code_in_a_checkpoint_never_runs(tmp_path: Path, state: dict, kind: type, form: str) -> None:
    trace, path = tmp_path / "it_ran", tmp_path / "evil.pth"
    content = state | {"extra": kind(trace)}
    if form == "bare":
        path.write_bytes(pickle.dumps(kind(trace)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError, match=r"refused.*(system|eval).*none of it was run"):
        load_syncnet(path)
    assert not trace.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"torch.nn.modules.linear.Linear.*state_dict"):
        read_torch(path)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("wav2lip_generator", "a Wav2Lip generator"),
        ("wav2lip_syncnet", "lip-sync expert"),
        ("wav2lip_disc_qual", "visual quality discriminator"),
        ("s3fd", "S3FD"),
    ],
)
def test_other_networks_are_called_by_their_name(tmp_path: Path, network: str, words: str) -> None:
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {f"module.{name}": torch.zeros(1) for name in NAMES[network]}}, path)
    with pytest.raises(WeightsError, match=f"this is .*{words}.*not SyncNet.*syncnet_v2.model"):
        load_syncnet(path)


def test_files_that_are_no_checkpoint_are_named(tmp_path: Path, state: dict) -> None:
    script = tmp_path / "script.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(script))
    whole, legacy = tmp_path / "whole.pth", tmp_path / "legacy.pth"
    torch.save(state, whole)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    cases = {
        "empty": (b"", "empty"),
        "page": (b"\n<!DOCTYPE html><html><title>Sign in</title>", "HTML page"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        "keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        "matlab": (b"MATLAB 5.0 MAT-file" + bytes(200), "MATLAB"),
        "noise": (os.urandom(5000), "not a torch checkpoint"),
        "script": (script.read_bytes(), "TorchScript archive, which contains code"),
        "cut": (whole.read_bytes()[: whole.stat().st_size // 2], "truncated"),
        "cut legacy": (legacy.read_bytes()[: legacy.stat().st_size // 2], "ends early"),
        "cut to a few bytes": (legacy.read_bytes()[:30], "ends early"),
        "tensor": (b"", "not a state dict"),
    }
    for case, (content, words) in cases.items():
        path = tmp_path / f"{case}.pth"
        path.write_bytes(content)
        if case == "tensor":
            torch.save([torch.zeros(3)], path)
        with pytest.raises(WeightsError, match=words) as caught:
            load_syncnet(path)
        assert str(path) in str(caught.value), case
    with pytest.raises(WeightsError, match=r"no such file.*54,573,114 bytes"):
        load_syncnet(tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match="folder"):
        load_syncnet(tmp_path)


def test_incomplete_syncnets_are_refused(tmp_path: Path, state: dict) -> None:
    path = tmp_path / "part.pth"
    torch.save({name: value for name, value in state.items() if name != "netfclip.0.bias"}, path)
    with pytest.raises(WeightsError, match=r"netfclip\.0\.bias"):
        load_syncnet(path)
    torch.save({name: value for name, value in state.items() if name != "netcnnaud.4.weight"}, path)
    with pytest.raises(WeightsError, match=r"netcnnaud\.4\.weight"):
        load_syncnet(path)
    torch.save(state | {"netfclip.0.bias": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="do not fit together.*size mismatch"):
        load_syncnet(path)


def test_digest_is_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_no_name_is_cut_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = lse_bench_here("weights", "list").stdout.splitlines()
    shown = {line.split()[1] for line in lines if line.startswith("│")}
    assert set(table()) <= shown
