"""A whole SyncNet training run: corpus, arrays, loop, weights for the scorer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from safetensors.torch import save

from lse_bench.errors import UsageError
from lse_bench.manifests.corpora import CorpusClip, read_corpus
from lse_bench.minilrs.corpus import make_corpus, read_summary
from lse_bench.runs.run import versions
from lse_bench.training.checkpoints import read_checkpoint
from lse_bench.training.data import store_clips
from lse_bench.training.loop import Hardware, train
from lse_bench.training.syncnet import HALF, Pairs, SyncNetMethod, TrainConfig

Bar = Callable[[str, int], AbstractContextManager[tuple[Any, Callable[[str], None]]]]


def train_syncnet(
    config: TrainConfig, hardware: Hardware, out: Path, corpus: Path | None, resume: bool, bar: Bar
) -> dict[str, float]:
    """Train into the run directory `out`; returns the last validation. `bar` shows progress.

    Raises UsageError when the corpus has no train or val split, or `out` holds another run.
    """
    root = corpus or out / "corpus"
    leader = int(os.environ.get("RANK", "0")) == 0  # of processes that torchrun started; it prepares for all
    if corpus is None and leader:
        with bar("making the corpus", config.corpus.speakers * config.corpus.clips) as (_, advance):
            make_corpus(config.corpus.spec(), root, on_clip=lambda made: advance("making the corpus"))
    flavour, clips = read_corpus(root)
    parts = {
        "training": _of(clips, "train") or _of(clips, "trainval"),
        "validation": _of(clips, "val") or _of(clips, "test"),
    }
    for name, part in parts.items():
        if not part:
            raise UsageError(f"{root}: this {flavour} corpus has no clips for {name}")
        if leader:
            with bar(f"decoding for {name}", len(part)) as (_, advance):
                store_clips(part, out / "data" / name, HALF, root, lambda _, name=name: advance(f"decoding for {name}"))  # type: ignore[misc]
    _describe(config, hardware, out, root, resume)
    method = SyncNetMethod(config, out / "data" / "training", out / "data" / "validation")
    with bar("training", config.steps) as (_, advance):
        skipped = _steps_done(out) if resume else 0
        for _ in range(skipped):
            advance("training")

        def on_step(step: int, row: dict[str, float]) -> None:
            shown = f"loss {row['loss']:.3f}"
            if "within_1" in row:
                shown += f", offsets within 1: {row['within_1']:.3f}"
            advance(shown)

        measures = train(method, config.schedule(), hardware, out, config.seed, resume, on_step)
    if leader:
        export(out / "last.ckpt", config, out / "weights.safetensors")
    return measures


def export(checkpoint: Path, config: TrainConfig, path: Path) -> None:
    """SyncNet's weights out of a training checkpoint, under the published names, as safetensors."""
    pairs = Pairs(config.width)
    pairs.load_state_dict(read_checkpoint(checkpoint)["network"])
    state = {name: value.contiguous() for name, value in pairs.syncnet.state_dict().items()}
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(save(state, metadata={"format": "pt"}))
    os.replace(partial, path)


def _of(clips: list[CorpusClip], split: str) -> list[CorpusClip]:
    return [clip for clip in clips if clip.split == split]


def _steps_done(out: Path) -> int:
    last = out / "last.ckpt"
    return int(read_checkpoint(last)["step"]) if last.exists() else 0


def _describe(config: TrainConfig, hardware: Hardware, out: Path, root: Path, resume: bool) -> None:
    """Write run.json; a resumed run must have the same config and corpus."""
    path = out / "run.json"
    summary = read_summary(root)
    description = {
        "schema": 1,
        "kind": "train",
        "method": "syncnet",
        "config": config.model_dump(mode="json"),
        "corpus": None if summary is None else {"digest": summary["digest"], "spec": summary["spec"]},
        "hardware": {"accelerator": hardware.accelerator, "devices": hardware.devices, "nodes": hardware.nodes},
        "versions": versions(),
    }
    if path.exists() and resume:
        there = json.loads(path.read_text(encoding="utf-8"))
        for name in ("config", "corpus"):
            if there[name] != description[name]:
                raise UsageError(f"{out}: was begun with another {name}; --resume needs the same")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
