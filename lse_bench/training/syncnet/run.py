"""A complete SyncNet training run: corpus, decoded clips, training loop, and weights for the scorer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lse_bench.errors import UsageError
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.manifests.preview import Preview
from lse_bench.manifests.search import Passed
from lse_bench.manifests.training_clips import clips_to_train
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.summary import read_summary
from lse_bench.minilrs.truth import truth_path
from lse_bench.reporting import Report
from lse_bench.training.export import write_weights
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.loop import refuse_to_overwrite
from lse_bench.training.pairs import NETWORK, Pairs
from lse_bench.training.run import describe, on_first, train_and_export, with_precision
from lse_bench.training.split import split_clips
from lse_bench.training.syncnet.clip_store import store_clips
from lse_bench.training.syncnet.config import TrainConfig
from lse_bench.training.syncnet.method import HALF, SyncNetMethod


def train_syncnet(
    config: TrainConfig,
    hardware: Hardware,
    out: Path,
    corpus: Path | None,
    resume: bool,
    report: Report,
) -> tuple[dict[str, float], list[Path]]:
    """Train SyncNet into the run directory `out`, and return the last validation and the weights files.

    `corpus`: a corpus, any folder of videos, a list or a manifest; None makes a MiniLRS corpus in `out`. `resume`:
    continue the run in `out`. Other processes than the first return no files. Raises UsageError if the hardware is
    missing, the corpus cannot be used, or `out` holds another run.
    """
    refuse_to_overwrite(out, resume)
    config, hardware = with_precision(config, hardware, out, resume, report.say)
    fabric = launch(hardware)
    source = corpus or out / "corpus"
    on_first(fabric, lambda: _prepare(config, hardware, out, source, corpus is None, resume, report))
    method = SyncNetMethod(config, out / "data" / "training", out / "data" / "validation")
    method.open()
    return train_and_export(fabric, method, export, config, hardware, out, report)


def export(networks: dict[str, nn.Module], config: TrainConfig, out: Path) -> list[Path]:
    """Write SyncNet's weights as safetensors, with the published entry names, and return the path in a list."""
    network = networks[NETWORK]
    assert isinstance(network, Pairs)
    path = out / "weights.safetensors"
    write_weights(path, network.syncnet.state_dict(), {"precision": config.precision})
    return [path]


def _prepare(
    config: TrainConfig, hardware: Hardware, out: Path, source: Path, make: bool, resume: bool, report: Report
) -> None:
    """Make the corpus if `make` is set, write `run.json` and decode the clips. Only the first process calls it."""
    if make:
        with report.counting("making the corpus", config.corpus.speakers * config.corpus.clips) as counter:
            make_corpus(config.corpus.spec(), source, on_clip=lambda made: counter.advance())
    root, clips = clips_to_train(source, Passed(), Preview())
    parts = split_clips(clips)
    for name, part in parts.items():
        if not part:
            raise UsageError(f"{source}: there are no clips for {name}")
    if config.guide.steps and not truth_path(parts["training"][0].path, root).exists():
        raise UsageError(f"{root}: the guide needs lip parameters, which only MiniLRS has; set guide.steps = 0")
    describe(out, "syncnet", config, hardware, {"corpus": _about(root, clips)}, resume)
    for name, part in parts.items():
        with report.counting(f"decoding for {name}", len(part)) as counter:
            store_clips(part, out / "data" / name, HALF, root, lambda _: counter.advance())


def _about(root: Path, clips: Sequence[CorpusClip]) -> dict[str, Any]:
    """Return facts that identify a corpus."""
    summary = read_summary(root)
    listed = "".join(f"{clip.id} {clip.path.stat().st_size}\n" for clip in clips)
    return {
        "clips": len(clips),
        "sha256": hashlib.sha256(listed.encode()).hexdigest(),  # digest of ids and file sizes
        "minilrs": None if summary is None else {"digest": summary.digest, "spec": summary.spec},
    }
