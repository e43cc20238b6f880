"""A whole SyncNet training run: corpus, arrays, loop, weights for the scorer."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save

from lse_bench.errors import UsageError
from lse_bench.manifests.corpora import CorpusClip, read_corpus
from lse_bench.minilrs.corpus import make_corpus, read_summary, truth_path
from lse_bench.runs.run import versions
from lse_bench.training.checkpoints import read_checkpoint
from lse_bench.training.config import TrainConfig
from lse_bench.training.data import store_clips
from lse_bench.training.loop import Hardware, launch, refuse_to_overwrite, train
from lse_bench.training.syncnet import HALF, Pairs, SyncNetMethod

Bar = Callable[[str, int], AbstractContextManager[tuple[Any, Callable[[str], None]]]]
_HELD_OUT = 10  # where a corpus has no val split, every tenth video of its train split is kept for validation


def train_syncnet(
    config: TrainConfig, hardware: Hardware, out: Path, corpus: Path | None, resume: bool, bar: Bar
) -> dict[str, float]:
    """Train into the run directory `out`; returns the last validation. `bar` shows progress.

    Raises UsageError when the hardware is not there, the corpus cannot be trained on, or `out` holds another run.
    """
    refuse_to_overwrite(out, resume)
    fabric = launch(hardware)
    show = bar if fabric.is_global_zero else _no_bar
    root = corpus or out / "corpus"
    if fabric.is_global_zero:
        _prepare(config, hardware, out, root, corpus is None, resume, show)
    fabric.barrier()
    method = SyncNetMethod(config, out / "data" / "training", out / "data" / "validation")
    method.open()
    with show("training", config.steps) as (_, advance):
        for _step in range(_steps_done(out)):
            advance("training")

        def on_step(step: int, row: dict[str, float]) -> None:
            shown = f"loss {row['loss']:.3f}"
            if "within_1" in row:
                shown += f", offsets within 1: {row['within_1']:.3f}"
            advance(shown)

        measures = train(fabric, method, config.schedule(), out, config.seed, hardware.loaders, on_step)
    if fabric.is_global_zero:
        export(out / "last.ckpt", config, out / "weights.safetensors")
    fabric.barrier()
    return measures


def _prepare(
    config: TrainConfig, hardware: Hardware, out: Path, root: Path, make: bool, resume: bool, bar: Bar
) -> None:
    """Corpus, run.json and decoded clips; by one process for all."""
    if make:
        with bar("making the corpus", config.corpus.speakers * config.corpus.clips) as (_, advance):
            make_corpus(config.corpus.spec(), root, on_clip=lambda made: advance("making the corpus"))
    flavour, clips = read_corpus(root)
    parts = split_clips(clips)
    for name, part in parts.items():
        if not part:
            raise UsageError(f"{root}: this {flavour} corpus has no clips for {name}")
    if config.guide.steps and not truth_path(parts["training"][0].path, root).exists():
        raise UsageError(f"{root}: the guide needs lip parameters, which only MiniLRS has; set guide.steps = 0")
    _describe(config, hardware, out, root, clips, resume)
    for name, part in parts.items():
        label = f"decoding for {name}"
        with bar(label, len(part)) as (_, advance):
            store_clips(part, out / "data" / name, HALF, root, lambda _, label=label: advance(label))  # type: ignore[misc]


def split_clips(clips: Sequence[CorpusClip]) -> dict[str, list[CorpusClip]]:
    """Clips for training and validation. The test split is never used; LRS3, which has no val, lends a tenth of the
    videos of its trainval.
    """
    training = [clip for clip in clips if clip.split in ("train", "trainval")]
    validation = [clip for clip in clips if clip.split == "val"]
    if not validation:
        videos = sorted({clip.video or clip.id for clip in training})
        held = set(videos[::_HELD_OUT]) if len(videos) > 1 else set()
        validation = [clip for clip in training if (clip.video or clip.id) in held]
        training = [clip for clip in training if (clip.video or clip.id) not in held]
    return {"training": training, "validation": validation}


@contextmanager
def _no_bar(label: str, total: int) -> Iterator[tuple[Any, Callable[[str], None]]]:
    yield None, lambda text: None


def export(checkpoint: Path, config: TrainConfig, path: Path) -> None:
    """SyncNet's weights out of a training checkpoint, under the published names, as safetensors."""
    pairs = Pairs(config.width)
    pairs.load_state_dict(read_checkpoint(checkpoint)["network"])
    state = {name: value.contiguous() for name, value in pairs.syncnet.state_dict().items()}
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(save(state, metadata={"format": "pt"}))
    os.replace(partial, path)


def _steps_done(out: Path) -> int:
    last = out / "last.ckpt"
    return int(read_checkpoint(last)["step"]) if last.exists() else 0


def _describe(
    config: TrainConfig, hardware: Hardware, out: Path, root: Path, clips: Sequence[CorpusClip], resume: bool
) -> None:
    """Write run.json; a resumed run must have the same config and corpus."""
    path = out / "run.json"
    summary = read_summary(root)
    listed = "".join(f"{clip.id} {clip.path.stat().st_size}\n" for clip in clips)
    extra = {package: importlib.metadata.version(package) for package in ("lightning-fabric", "safetensors")}
    description = {
        "schema": 1,
        "kind": "train",
        "method": "syncnet",
        "config": config.model_dump(mode="json"),
        "corpus": {
            "clips": len(clips),
            "sha256": hashlib.sha256(listed.encode()).hexdigest(),  # of ids and file sizes
            "minilrs": None if summary is None else {"digest": summary["digest"], "spec": summary["spec"]},
        },
        "hardware": {"accelerator": hardware.accelerator, "devices": hardware.devices, "nodes": hardware.nodes},
        "versions": versions() | extra,
    }
    if path.exists() and resume:
        there = json.loads(path.read_text(encoding="utf-8"))
        for name in ("config", "corpus"):
            if there.get(name) != description[name]:
                raise UsageError(f"{out}: was begun with another {name}; --resume needs the same")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(".run.json.partial")
    partial.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
