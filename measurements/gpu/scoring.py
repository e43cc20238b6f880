"""The scorer's network, Inception and S3FD on a device; two scorers on one card; what a full card says."""

from __future__ import annotations

import json
import multiprocessing
import time
from multiprocessing.connection import Connection

import numpy as np
import torch
from parts import NARROW, ROOT, Row, Setting, dtype_of, filled, relative, tf32, uniform, whole

from lse_bench.faces.s3fd_network import SFD_FACE, S3fdNetwork
from lse_bench.fidelity.inception import FidInception
from lse_bench.sync.curve import MAX_SHIFT
from lse_bench.sync.distance import CurveSum, LseScore
from lse_bench.sync.syncnet import FastSyncNet, SyncNet
from lse_bench.weights.formula import formula_weights

_SECONDS = 5  # how long two processes share the card


def made_syncnet(small: bool) -> SyncNet:
    """SyncNet with weights by formula."""
    network: SyncNet = filled(SyncNet.narrowed(NARROW) if small else SyncNet()).eval()
    return network


def score_of(lip: torch.Tensor, sound: torch.Tensor) -> LseScore:
    """LSE of a clip's embeddings."""
    curve = CurveSum()
    curve.push(lip.double().cpu().numpy(), sound.double().cpu().numpy())
    return curve.finish()


def scorer(setting: Setting) -> list[Row]:
    """FastSyncNet in each precision against the published form in float64 on the CPU: embeddings and the LSE of a
    made-up clip; then windows a second at several sizes of a tile."""
    network = made_syncnet(setting.small)
    count = MAX_SHIFT + 3 if setting.small else 2 * MAX_SHIFT
    # The made-up film changes slowly, as films do; windows of pure noise would all look the same.
    film = uniform(count + 4, 3, 7, 7, high=255)
    film = torch.nn.functional.interpolate(film, (224, 224), mode="bilinear").round()
    lips = torch.stack([film[start : start + 5] for start in range(count)])  # (N,5,3,224,224)
    mfcc = uniform(count, 1, 13, 20, low=-20, high=20)
    with torch.inference_mode():
        double = network.double()
        exact = torch.cat([double.lip(part.double().transpose(1, 2)) for part in lips.split(4)])
        exact_sound = double.sound(mfcc.double())
    network.float()
    wanted = score_of(exact, exact_sound)
    rows = []
    for name in setting.precisions:
        fast = FastSyncNet(network, setting.device, "bf16" if name == "bf16" else "fp32")
        with tf32(name == "tf32"):
            lip, sound = fast.lip(lips.flatten(1, 2)), fast.sound(mfcc)
            found = score_of(lip, sound)
            more: dict[str, float | str] = {
                "lse_d": wanted.lse_d,
                "lse_d_moves": abs(found.lse_d - wanted.lse_d),
                "lse_c": wanted.lse_c,
                "lse_c_moves": abs(found.lse_c - wanted.lse_c),
            }
            for size in setting.sizes(16, 64, 256, 1024, on_cpu=8):
                fast.tile = size
                with setting.peak() as gib:
                    load = fast.empty_lips(size).copy_(lips[:1].flatten(1, 2))
                    seconds = setting.seconds(lambda fast=fast, load=load: fast.lip(load))  # type: ignore[misc]
                    rows.append(Row(name, size, size / seconds, "windows", relative(lip, exact), gib(), more))
                more = {}
    return rows


def inception(setting: Setting) -> list[Row]:
    """FID's Inception: features and frames a second."""
    shapes: dict[str, list[int]] = json.loads(
        (ROOT / "measurements" / "precision" / "inception_shapes.json").read_text()
    )
    entries: dict[str, tuple[int, ...]] = {}
    entries |= {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for name, shape in shapes.items():
        entries[f"{name}.conv.weight"] = tuple(shape)
        entries |= {f"{name}.bn.{part}": (shape[0],) for part in ("weight", "bias", "running_mean", "running_var")}
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in formula_weights(entries, seed=3).items()}
    side, few = (75, 1) if setting.small else (299, 4)
    x = uniform(few, 3, side, side, low=-1)
    reference = FidInception(state)
    with torch.inference_mode():
        exact = reference.network.double()(x.double())
    rows = []
    for name in setting.precisions:
        network, dtype = FidInception(state, setting.device), dtype_of(name)
        network.network.to(dtype)
        for size in setting.sizes(64, 256, on_cpu=8):
            load = x.repeat(-(-size // few), 1, 1, 1)[:size].to(setting.device, dtype)
            load = load.contiguous(memory_format=torch.channels_last)
            with tf32(name == "tf32"), torch.inference_mode(), setting.peak() as gib:
                error = relative(network.network(load[:few]), exact[: len(load)])
                seconds = setting.seconds(lambda network=network, load=load: network.network(load))  # type: ignore[misc]
                rows.append(Row(name, size, size / seconds, "frames", error, gib()))
    return rows


def s3fd(setting: Setting) -> list[Row]:
    """The tracker's face detector at 1280x720: answers of a small picture, frames a second of whole ones."""
    torch.manual_seed(0)
    network = filled(S3fdNetwork(SFD_FACE)).eval().requires_grad_(False)
    high, wide = (64, 64) if setting.small else (720, 1280)
    small = whole(1, 3, 64, 96).float() - 110
    with torch.inference_mode():
        exact = torch.cat([part.flatten() for part in network.double()(small.double())[:2]])
    rows = []
    for name in setting.precisions:
        there = network.to(setting.device, dtype_of(name), memory_format=torch.channels_last)
        with tf32(name == "tf32"), torch.inference_mode():
            found = there(small.to(setting.device, dtype_of(name)))
            error = relative(torch.cat([part.flatten().double() for part in found[:2]]), exact)
            for size in setting.sizes(1, 8, on_cpu=1):
                load = (whole(size, 3, high, wide).float() - 110).to(setting.device, dtype_of(name))
                load = load.contiguous(memory_format=torch.channels_last)
                with setting.peak() as gib:
                    seconds = setting.seconds(lambda there=there, load=load: there(load))  # type: ignore[misc]
                    rows.append(Row(name, size, size / seconds, "frames", error, gib()))
    return rows


def load(setting: Setting, pipe: Connection) -> None:
    """What one of several processes does: says that it is ready, waits to be told, scores for a while; tells when it
    began and ended on the machine's clock and how many windows it did."""
    fast = FastSyncNet(made_syncnet(setting.small), setting.device)
    tile = fast.empty_lips(fast.tile).copy_(uniform(1, 15, 224, 224, high=255))
    fast.lip(tile)
    setting.wait()
    pipe.send("ready")
    pipe.recv()
    began, windows = time.monotonic(), 0
    while time.monotonic() - began < (0.2 if setting.small else _SECONDS):
        fast.lip(tile)
        windows += len(tile)
    pipe.send((began, time.monotonic(), windows))


def shared(setting: Setting) -> list[Row]:
    """One process of the scorer's network on the device, and two and four at once."""
    rows = []
    for count in (1, 2) if setting.small else (1, 2, 4):
        pipes, forks = [], multiprocessing.get_context("spawn")
        for _ in range(count):
            ours, theirs = forks.Pipe()
            forks.Process(target=load, args=(setting, theirs), daemon=True).start()
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        for pipe in pipes:
            pipe.send("go")
        began, ended, windows = zip(*(pipe.recv() for pipe in pipes), strict=True)
        rows.append(
            Row(
                f"{count} at once",
                FastSyncNet.TILE["cuda" if setting.cuda else "cpu"],
                sum(windows) / (max(ended) - min(began)),
                "windows",
            )
        )
    return rows
