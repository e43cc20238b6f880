"""Training of the narrow Inception: a short run from its config, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from commands import lse_bench_here

from lse_bench.damage.pictures import PICTURES
from lse_bench.errors import UsageError
from lse_bench.fidelity.inception import FidInception
from lse_bench.training.config import load_config
from lse_bench.training.inception.config import InceptionConfig
from lse_bench.training.inception.frame_store import FACTS, FrameStore, corpus_spec
from lse_bench.training.inception.samples import DAMAGES, draw_sample

PACKAGE = "lse_bench.training.inception"
SHIPPED = Path(__file__).parents[2] / "lse_bench" / "training" / "inception" / "configs" / "inception-mini.toml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps on ten people."""
    folder = tmp_path_factory.mktemp("inception")
    text = SHIPPED.read_text(encoding="utf-8")
    for line, shorter in (
        ("steps = 1300", "steps = 3"),
        ("validate_every = 260", "validate_every = 3"),
        ("validation_frames = 512", "validation_frames = 4"),
        ("frames = 64", "frames = 6"),
        ("speakers = 600", "speakers = 10"),
        ("clips = 2", "clips = 1"),
        ("frames = 20", "frames = 8"),
    ):
        assert line in text
        text = text.replace(line, shorter)
    (folder / "tiny.toml").write_text(text, encoding="utf-8")
    ended = lse_bench_here(
        *("train", "inception", "--config", folder / "tiny.toml", "--device", "cpu", "--loaders", 0),
        *("--out", folder / "run"),
    )
    assert ended.returncode == 0, ended.stderr
    return folder / "run"


@pytest.mark.slow
@pytest.mark.command
def test_a_short_run_writes_weights_for_fid(trained: Path) -> None:
    with (trained / "log.csv").open(newline="", encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    network = FidInception.load(trained / "weights.safetensors")
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    assert network.features(frames).shape == (3, 256)


@pytest.mark.slow
@pytest.mark.command
def test_samples_know_what_was_done_to_them(trained: Path) -> None:
    store = FrameStore(trained / "data" / "training")
    assert store.facts.shape == (len(store.who), FACTS) and store.frames.shape[1:] == (160, 160, 3)
    config = load_config("inception-mini", InceptionConfig, PACKAGE).batch.model_copy(update={"faces": 0.0})
    rng = np.random.default_rng(0)
    drawn = [draw_sample(store, number % len(store.who), config, rng) for number in range(60)]
    damaged = [sample for sample in drawn if sample.damage.any()]
    assert 30 < len(damaged) < 55 and max(np.count_nonzero(sample.damage) for sample in drawn) == 2
    for number, sample in enumerate(drawn):
        if not sample.damage.any():
            original = store.frames[number % len(store.who)]
            assert any(np.array_equal(sample.picture, one) for one in (original, original[:, ::-1]))
    assert len(DAMAGES) == len(PICTURES) == 6


def test_only_minilrs_can_be_learned_from(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no finished MiniLRS"):
        corpus_spec(tmp_path)


def test_damage_grows_with_its_strength() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    box = (10.0, 10.0, 50.0, 50.0)
    for name, damage in PICTURES.items():
        changes = [
            np.abs(damage(picture, box, strength, np.random.default_rng(0)).astype(int) - picture).mean()
            for strength in (0.0, 0.3, 0.6, 1.0)
        ]
        assert changes[0] == 0 and changes == sorted(changes) and changes[1] > 0, (name, changes)
