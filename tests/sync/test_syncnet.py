from __future__ import annotations

import json

import pytest
import torch
from conftest import GOLDEN

from lse_bench.sync.syncnet import FastSyncNet, SyncNet


@pytest.fixture(scope="module")
def network(calibrated_state: dict[str, torch.Tensor]) -> SyncNet:
    return SyncNet.from_state(calibrated_state)


@pytest.mark.original
def test_entries_are_the_published_ones() -> None:
    entries = [[name, list(value.shape)] for name, value in SyncNet().state_dict().items()]
    assert entries == json.loads((GOLDEN / "syncnet_entries.json").read_text())


def windows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    lips = torch.randint(0, 256, (count, 15, 224, 224), generator=random).float()
    return lips, torch.randn(count, 1, 13, 20, generator=random) * 5


def test_fast_form_is_the_same_function(network: SyncNet) -> None:
    lips, sounds = windows(3)
    fast = FastSyncNet(network)
    with torch.inference_mode():
        lip = network.lip(lips.reshape(3, 5, 3, 224, 224).transpose(1, 2))
        sound = network.sound(sounds)
    torch.testing.assert_close(fast.lip(lips), lip, rtol=0, atol=1.2e-4, check_dtype=False)
    torch.testing.assert_close(fast.sound(sounds), sound, rtol=0, atol=3e-5, check_dtype=False)


def test_an_embedding_depends_neither_on_batch_nor_neighbours(network: SyncNet) -> None:
    lips, sounds = windows(11)
    fast = FastSyncNet(network)
    lip, sound = fast.lip(lips), fast.sound(sounds)
    for start, stop in ((0, 1), (3, 10), (5, 11)):
        assert torch.equal(fast.lip(lips[start:stop]), lip[start:stop])
        assert torch.equal(fast.sound(sounds[start:stop]), sound[start:stop])


def test_the_network_given_is_left_alone(network: SyncNet) -> None:
    before = {name: value.dtype for name, value in network.state_dict().items()}
    FastSyncNet(network)
    assert {name: value.dtype for name, value in network.state_dict().items()} == before


def test_bf16_is_near_but_not_the_same(network: SyncNet) -> None:
    lips, _ = windows(2)
    full, half = FastSyncNet(network).lip(lips), FastSyncNet(network, precision="bf16").lip(lips)
    assert not torch.equal(full, half)
    assert (full - half).norm() / full.norm() < 0.05


def test_widths_come_from_the_checkpoint() -> None:
    narrow = SyncNet(widths_sound=(4, 8, 8, 8, 8, 16), widths_lip=(4, 8, 8, 8, 8, 16))
    back = SyncNet.from_state(narrow.state_dict())
    assert back.netcnnlip[0].weight.shape == (4, 3, 5, 7, 7)
    assert not back.training
