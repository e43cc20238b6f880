"""Training of SyncNet: the fast path is exact, batches are pure, a killed run resumes to the same weights."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import killed, lse_bench, lse_bench_here

from lse_bench.errors import UsageError, WeightsError
from lse_bench.manifests.layouts import CorpusClip, read_corpus
from lse_bench.sync.syncnet import load_syncnet
from lse_bench.training.checkpoints import read_checkpoint
from lse_bench.training.config import load_config
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.loop import refuse_to_overwrite, train
from lse_bench.training.pairs import NETWORK, Pairs, contrastive, infonce
from lse_bench.training.run import trained_networks
from lse_bench.training.split import split_clips
from lse_bench.training.syncnet import method as syncnet
from lse_bench.training.syncnet.clip_store import store_clips
from lse_bench.training.syncnet.config import TrainConfig
from lse_bench.training.syncnet.method import HALF, SyncNetMethod
from lse_bench.training.syncnet.run import export
from lse_bench.weights.readers import file_digest

CPU = Hardware("cpu", loaders=0)


@pytest.fixture(scope="module")
def stored(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    _, clips = read_corpus(corpus)
    for split in ("train", "val"):
        store_clips([clip for clip in clips if clip.split == split], folder / split, HALF, corpus)
    return folder


def shipped() -> TrainConfig:
    return load_config("syncnet-mini", TrainConfig, "lse_bench.training.syncnet")


def tiny(**changes: object) -> TrainConfig:
    """The shipped recipe, cut down to seconds."""
    short = {"width": 0.02, "steps": 6, "warm_up": 2, "validate_every": 3, "save_every": 2, "validation_clips": 4}
    return shipped().changed(short | {"batch": {"clips": 2, "windows": 3}} | changes)


def method(config: TrainConfig, stored: Path) -> SyncNetMethod:
    return SyncNetMethod(config, stored / "train", stored / "val")


def test_the_half_size_path_is_the_full_network_on_doubled_frames() -> None:
    torch.manual_seed(0)
    pairs = Pairs(0.05).eval()
    frames = torch.randint(0, 256, (2, 15, HALF, HALF), dtype=torch.uint8)
    mfcc = torch.randn(2, 1, 13, 20) * 10
    doubled = (
        frames.float().reshape(2, 5, 3, HALF, HALF).transpose(1, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    )
    with torch.no_grad():
        lip, sound, *_ = pairs(frames, mfcc)
        torch.testing.assert_close(lip, pairs.syncnet.lip(doubled), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(sound, pairs.syncnet.sound(mfcc), atol=1e-5, rtol=1e-4)


def test_infonce_of_two_pairs_by_hand() -> None:
    lip, sound = torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [3.0]])
    loss, hits = infonce(lip, sound, torch.tensor(2.0))
    # Distances: own 1 and 0, mismatched 3 and 2; the logits are minus twice that.
    rows = [math.log(1 + math.exp(2 * (1 - 3))), math.log(1 + math.exp(2 * (0 - 2)))]
    columns = [math.log(1 + math.exp(2 * (1 - 2))), math.log(1 + math.exp(2 * (0 - 3)))]
    assert float(loss) == pytest.approx((sum(rows) + sum(columns)) / 4)
    assert hits == 1


def test_contrastive_by_hand() -> None:
    lip, sound = torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [3.0]])
    loss, hits = contrastive(lip, sound, margin=2.5)
    # Own distances 1 and 0; mismatched ones (half the batch and one further: itself of two) 1 and 0, both within 2.5.
    assert float(loss) == pytest.approx(0.25 * (0.5 + (1.5**2 + 2.5**2) / 2), rel=1e-4)
    assert hits == 0


def test_a_batch_is_a_pure_function_of_step_and_rank(stored: Path) -> None:
    first, second = method(tiny(), stored), method(tiny(), stored)
    second.batch(1, 0)
    for name, value in first.batch(5, 0).items():
        assert torch.equal(value, second.batch(5, 0)[name])
    assert not torch.equal(first.batch(5, 0)["mfcc"], first.batch(5, 1)["mfcc"])
    assert not torch.equal(first.batch(5, 0)["mfcc"], first.batch(6, 0)["mfcc"])


def test_a_batch_holds_what_the_store_holds(stored: Path) -> None:
    still = {"crop": 1, "brightness": (1, 1), "offset": 0, "colour": 0, "shadow": 0, "noise": 0, "blur": 0, "cover": 0}
    batch = method(tiny(change=still | {"energy": 0, "timbre": 0}), stored).batch(0, 0)
    assert batch["frames"].dtype == torch.uint8
    assert batch["frames"].shape == (6, 15, HALF, HALF)
    store = syncnet.ClipStore(stored / "train")
    wanted = {store.mfcc(clip, w).tobytes(): (clip, w) for clip in store.clips for w in range(clip.windows)}
    for frames, mfcc in zip(batch["frames"].numpy(), batch["mfcc"].numpy(), strict=True):
        clip, window = wanted[mfcc[0].tobytes()]
        expected = store.frames(clip, window).transpose(0, 3, 1, 2).reshape(15, HALF, HALF)
        assert np.array_equal(frames, expected) or np.array_equal(frames[:, :, ::-1], expected)


def test_a_stopped_run_resumes_to_the_same_weights_and_logs(stored: Path, tmp_path: Path) -> None:
    config = tiny()

    def run(out: Path, stop_after: int | None) -> None:
        def on_step(step: int, row: dict[str, float]) -> None:
            if step == stop_after:
                raise KeyboardInterrupt

        train(launch(CPU), method(config, stored), config.schedule(), out, config.seed, 0, on_step)

    run(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", 5)  # step 5 is logged, the last checkpoint is of step 4
    with pytest.raises(UsageError, match="pass --resume"):
        refuse_to_overwrite(tmp_path / "parts", resume=False)
    run(tmp_path / "parts", None)
    whole, parts = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "parts"))
    assert all(
        torch.equal(value, parts["networks"][NETWORK][name]) for name, value in whole["networks"][NETWORK].items()
    )
    assert whole["measures"] == parts["measures"]
    rows = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("whole", "parts")]
    assert [row["step"] for row in rows[1]] == ["1", "2", "3", "4", "5", "6"]
    for one, other in zip(*rows, strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}
    assert any((tmp_path / "parts" / "tensorboard").iterdir())


@pytest.mark.parametrize("changes", [{"loss": "contrastive"}, {"precision": "bf16"}])
def test_the_other_loss_and_precision_train(changes: dict[str, object], stored: Path, tmp_path: Path) -> None:
    config = tiny(steps=2, **changes)
    fabric = launch(Hardware("cpu", precision=config.precision))
    measures = train(fabric, method(config, stored), config.schedule(), tmp_path, 1, 0, lambda step, row: None)
    assert all(math.isfinite(value) for name, value in measures.items() if name != "within_1")


def test_the_exported_weights_are_the_scorers(stored: Path, tmp_path: Path) -> None:
    config = tiny(steps=2)
    trainer = method(config, stored)
    train(launch(CPU), trainer, config.schedule(), tmp_path, 1, 0, lambda step, row: None)
    export(trained_networks(trainer, config, tmp_path), config, tmp_path)
    network = load_syncnet(tmp_path / "weights.safetensors")
    trained = read_checkpoint(tmp_path / "last.ckpt")["networks"][NETWORK]
    assert torch.equal(network.netfclip[3].weight, trained["syncnet.netfclip.3.weight"])
    assert network.embedding == 20


def test_the_guide_needs_a_corpus_that_knows_lips(stored: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in (stored / "train").iterdir():
        if file.name != "lips.npy":
            (bare / file.name).symlink_to(file)
    with pytest.raises(UsageError, match=r"guide\.steps = 0"):
        SyncNetMethod(tiny(), bare, bare).open()
    free = tiny(guide={"weight": 0, "steps": 0})
    assert "guide" not in SyncNetMethod(free, bare, bare).batch(0, 0)


def test_wrong_configs_name_the_field(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are: syncnet-mini"):
        load_config("syncnet-maxi", TrainConfig, "lse_bench.training.syncnet")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("width = 3\n")
    with pytest.raises(UsageError, match=r"wrong\.toml: width: .*less than or equal to 1"):
        load_config(str(wrong), TrainConfig, "lse_bench.training.syncnet")
    wrong.write_text("width = \n")
    with pytest.raises(UsageError, match="not TOML"):
        load_config(str(wrong), TrainConfig, "lse_bench.training.syncnet")


def test_the_schedule_warms_up_and_decays() -> None:
    config = shipped()
    schedule = config.schedule()
    factors = [schedule.factor_at(step) for step in range(schedule.steps)]
    assert factors[0] == pytest.approx(1 / schedule.warm_up)
    assert max(factors) == pytest.approx(1)
    assert factors[-1] == pytest.approx(schedule.floor, rel=0.01)
    assert all(a >= b for a, b in zip(factors[schedule.warm_up :], factors[schedule.warm_up + 1 :], strict=False))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"PK damaged")
    with pytest.raises(WeightsError, match=r"last\.ckpt: cannot be read"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_without_a_val_split_train_videos_are_held_out_and_test_is_never_used() -> None:
    clips = [CorpusClip(f"v{i}/{j}", Path(), "trainval", f"v{i}", "") for i in range(12) for j in range(2)]
    clips += [CorpusClip("t/1", Path(), "test", "t", "")]
    parts = split_clips(clips)
    held = {clip.video for clip in parts["validation"]}
    assert len(held) == 2
    assert not held & {clip.video for clip in parts["training"]}
    assert len(parts["training"]) + len(parts["validation"]) == 24


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe as a file for the command."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    fields = tiny().model_dump(mode="json")
    tables = {name: fields.pop(name) for name in list(fields) if isinstance(fields[name], dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None)]
    path.write_text("\n".join(lines) + "\n")
    return path


def command(recipe: Path, corpus: Path, out: Path, *options: str) -> list[str]:
    base = ["train", "syncnet", "--config", str(recipe), "--corpus", str(corpus)]
    return [*base, "--device", "cpu", "--out", str(out), *options]


@pytest.mark.command
@pytest.mark.slow
def test_a_killed_command_resumes_to_the_weights_of_an_uninterrupted_one(
    recipe: Path, corpus: Path, tmp_path: Path
) -> None:
    assert lse_bench_here(*command(recipe, corpus, tmp_path / "whole")).returncode == 0
    killed(
        "lse_bench.training.loop:write_checkpoint", 1, *command(recipe, corpus, tmp_path / "parts", "--loaders", "0")
    )
    assert not (tmp_path / "parts" / "weights.safetensors").exists()
    refused = lse_bench_here(*command(recipe, corpus, tmp_path / "parts"))
    assert refused.returncode == 2
    assert "pass --resume" in refused.stderr
    other = lse_bench_here(*command(recipe, corpus, tmp_path / "parts", "--resume", "--seed", "5"))
    assert other.returncode == 2
    assert "holds a training run with another config" in " ".join(other.stderr.split())
    ended = lse_bench_here(*command(recipe, corpus, tmp_path / "parts", "--resume", "--loaders", "0"))
    assert ended.returncode == 0, ended.stderr
    whole, parts = (file_digest(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert whole == parts


@pytest.mark.command
@pytest.mark.slow
def test_two_processes_train_together(recipe: Path, corpus: Path, tmp_path: Path) -> None:
    options = ["--devices", "2", "--steps", "2", "--loaders", "0"]
    result = lse_bench(*command(recipe, corpus, tmp_path / "two", *options))
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "two" / "log.csv").read_text().splitlines()) == 3
    assert load_syncnet(tmp_path / "two" / "weights.safetensors").embedding == 20


def test_missing_hardware_is_said_before_any_work(recipe: Path, corpus: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    options = command(recipe, corpus, tmp_path / "gpu")
    options[options.index("cpu")] = "cuda"
    result = lse_bench_here(*options)
    assert result.returncode == 2
    assert "--device cuda" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "gpu" / "data").exists()
