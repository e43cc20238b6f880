"""A complete Inception training run: corpus, decoded frames, training loop, and weights for FID."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from lse_bench.manifests.preview import Preview
from lse_bench.manifests.search import Passed
from lse_bench.manifests.training_clips import clips_to_train
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.summary import read_summary
from lse_bench.reporting import Report
from lse_bench.training.export import write_weights
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.inception.config import InceptionConfig
from lse_bench.training.inception.frame_store import corpus_spec, store_frames
from lse_bench.training.inception.method import NETWORK, InceptionMethod, Told
from lse_bench.training.loop import refuse_to_overwrite
from lse_bench.training.run import describe, on_first, train_and_export, with_precision
from lse_bench.training.split import split_clips


def train_inception(
    config: InceptionConfig, hardware: Hardware, out: Path, corpus: Path | None, resume: bool, report: Report
) -> tuple[dict[str, float], list[Path]]:
    """Train Inception into the run directory `out`, and return the last validation and the weights files.

    `corpus`: a MiniLRS corpus; None makes the config's in `out`. `resume`: continue the run in `out`. Other processes
    than the first return no files. Raises UsageError if the hardware is missing, the corpus cannot be used, or `out`
    holds another run.
    """
    refuse_to_overwrite(out, resume)
    config, hardware = with_precision(config, hardware, out, resume, report.say)
    fabric = launch(hardware)
    source = corpus or out / "corpus"
    on_first(fabric, lambda: _prepare(config, hardware, out, source, corpus is None, resume, report))
    speakers = corpus_spec(source).speakers
    method = InceptionMethod(config, out / "data" / "training", out / "data" / "validation", speakers)
    return train_and_export(fabric, method, export, config, hardware, out, report)


def export(networks: dict[str, nn.Module], config: InceptionConfig, out: Path) -> list[Path]:
    """Write the weights as safetensors, with pytorch-fid's entry names, and return the path in a list."""
    told = networks[NETWORK]
    assert isinstance(told, Told)
    path = out / "weights.safetensors"
    state = {name: value for name, value in told.network.state_dict().items() if "num_batches" not in name}
    write_weights(path, state, {"precision": config.precision})
    return [path]


def _prepare(
    config: InceptionConfig, hardware: Hardware, out: Path, source: Path, make: bool, resume: bool, report: Report
) -> None:
    """Make the corpus if `make` is set, write `run.json` and decode the frames. Only the first process calls it."""
    if make:
        with report.counting("making the corpus", config.corpus.speakers * config.corpus.clips) as counter:
            make_corpus(config.corpus.spec(), source, on_clip=lambda made: counter.advance())
    corpus_spec(source)  # refuses other corpora before anything is written
    root, clips = clips_to_train(source, Passed(), Preview())
    summary = read_summary(root)
    assert summary is not None
    about = {"corpus": {"clips": len(clips), "minilrs": {"digest": summary.digest, "spec": summary.spec}}}
    describe(out, "inception", config, hardware, about, resume)
    for name, part in split_clips(clips).items():
        with report.counting(f"decoding for {name}", len(part)) as counter:
            store_frames(part, out / "data" / name, root, config.every, counter.advance)
