"""The steps of a benchmark. Each is a task with its options, its inputs and the place of its result.

A step's digest covers its options, the digests of the files that it reads, and the digests of the steps before it. The
digest is part of the name of the result. A step with changed inputs is therefore a new step, and no old result is
overwritten.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from lse_bench.benchmark.digests import content_of, option_of
from lse_bench.manifests.clips import Source
from lse_bench.manifests.generated import Generation
from lse_bench.reporting import Report
from lse_bench.storage import write_atomically
from lse_bench.tasks.declared import AdoptOptions, FdSyncOptions, FidOptions, GenerateOptions, ScoreOptions
from lse_bench.tasks.declared_corpora import BuildOptions, ImportOptions, MiniLrsOptions
from lse_bench.tasks.declared_execution import ExecutionOptions
from lse_bench.tasks.options import TaskOptions, changed, words_of

Kind = Literal["corpus", "manifest", "generate", "adopt", "score", "fid", "fd-sync"]
_SHOWN = 10  # characters of a digest in a file name


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One task of a benchmark.

    `folder`: the path of its result, without the digest. `items`: the number of its clips, 0 if it is not known yet.
    `manifest`, `method`, `protocol`: the cell of the table that it belongs to, "" if it serves several. `behind`: other
    facts that its result depends on.
    """

    kind: ClassVar[Kind]
    suffix: ClassVar[str] = ""

    options: TaskOptions
    folder: Path
    items: int = 0
    manifest: str = ""
    method: str = ""
    protocol: str = ""
    behind: tuple[str, ...] = ()

    @property
    @abstractmethod
    def inputs(self) -> tuple[Step | Path | str, ...]:
        """The inputs of the step: other steps, files, folders and names."""

    @abstractmethod
    def run(self, report: Report, execution: ExecutionOptions) -> None:
        """Make the result at `out`, or continue a partial one. Raises LseBenchError or KeyboardInterrupt.

        `execution`: who does the work. It changes nothing but time, so the digest does not cover it.
        """

    @property
    def label(self) -> str:
        """A label for messages, such as `score LRS2 Wav2Lip lrs@1`."""
        return " ".join(part for part in (self.kind, self.manifest, self.method, self.protocol) if part)

    @property
    def needs(self) -> list[Step]:
        """The steps whose results this step needs."""
        return [one for one in self.inputs if isinstance(one, Step)]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 digest of everything that the result depends on."""
        inputs = [one.digest if isinstance(one, Step) else content_of(one) for one in self.inputs]
        options = {
            declared.name: option_of(declared, value)
            for declared, value in changed(self.options)
            if not declared.flag.neutral
        }
        version = importlib.metadata.version("lse-bench")
        known = [version, self.kind, inputs, options, self.behind]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    @property
    def out(self) -> Path:
        """The path of the result: a folder or a file."""
        return self.folder.with_name(f"{self.folder.name}-{self.digest[:_SHOWN]}{self.suffix}")

    @property
    def command(self) -> list[str]:
        """The command that does the same, as words. It is stored with the result."""
        return ["lse-bench", *self._words, *words_of(self.options), "--out", str(self.out)]

    @property
    @abstractmethod
    def _words(self) -> list[str]:
        """The name and the arguments of the command, without its options."""


def place(value: Step | Path) -> Path:
    """Return the path of an input."""
    return value.out if isinstance(value, Step) else value


@dataclass(frozen=True, kw_only=True)
class CorpusStep(Step):
    """A step that makes a MiniLRS corpus."""

    kind = "corpus"
    options: MiniLrsOptions

    @property
    def inputs(self) -> tuple[Step | Path | str, ...]:
        return ()

    @property
    def _words(self) -> list[str]:
        return ["minilrs"]

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        from lse_bench.tasks.corpora import make_minilrs

        make_minilrs(self.out, self.options, report)


@dataclass(frozen=True, kw_only=True)
class BuildStep(Step):
    """A step that draws pairs from a corpus."""

    kind = "manifest"
    suffix = ".json"
    options: BuildOptions
    corpus: Step | Path

    @property
    def inputs(self) -> tuple[Step | Path | str, ...]:
        return ("build", self.corpus)

    @property
    def _words(self) -> list[str]:
        return ["manifest", "build", str(place(self.corpus))]

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        from lse_bench.tasks.corpora import build_pairs

        build_pairs(self.out, place(self.corpus), self.options, report)


@dataclass(frozen=True, kw_only=True)
class ImportStep(Step):
    """A step that imports an official list. `root`: the folder of the corpus, or None if it was not given."""

    kind = "manifest"
    suffix = ".json"
    options: ImportOptions
    corpus: str
    root: Path | None

    @property
    def inputs(self) -> tuple[Step | Path | str, ...]:
        return ("import", self.corpus, *([] if self.root is None else [self.root]))

    @property
    def _words(self) -> list[str]:
        return ["manifest", "import", self.corpus, *([] if self.root is None else ["--root", str(self.root)])]

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        from lse_bench.tasks.corpora import import_pairs

        import_pairs(self.out, self.corpus, self.root, self.options, report)


@dataclass(frozen=True, kw_only=True)
class GenerateStep(Step):
    """A step that generates the videos of one method for one manifest.

    `root`: the folder with the source files, or None for the folder that the manifest names.
    """

    kind = "generate"
    options: GenerateOptions
    generator: str
    pairs: Step | Path
    root: Path | None

    @property
    def inputs(self) -> tuple[Step | Path | str, ...]:
        return (self.generator, self.pairs, *([] if self.root is None else [self.root]))

    @property
    def _words(self) -> list[str]:
        words = ["generate", self.generator, "--manifest", str(place(self.pairs))]
        return [*words, *([] if self.root is None else ["--root", str(self.root)])]

    @property
    def source(self) -> Source:
        """The videos as clips to score."""
        return Source([self.out])

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        from lse_bench.tasks.generating import generate_into

        made: Generation = generate_into(
            self.out,
            self.generator,
            place(self.pairs),
            self.options,
            report,
            root=self.root,
            execution=execution,
            command=self.command,
        )
        report.say(f"{made.made} of {made.listed} videos made from {made.videos} sources")


@dataclass(frozen=True, kw_only=True)
class AdoptStep(Step):
    """A step that matches finished videos of one method with the pairs of one manifest, and tells what is missing.

    Its result is a file with what it told. `videos`: the folder of the videos. `root`: the folder with the source
    files, or None for the folder that the manifest names.
    """

    kind = "adopt"
    suffix = ".txt"
    options: AdoptOptions
    videos: Path
    pairs: Step | Path
    root: Path | None

    @property
    def inputs(self) -> tuple[Step | Path | str, ...]:
        return ("adopt", self.videos, self.pairs, *([] if self.root is None else [self.root]))

    @property
    def _words(self) -> list[str]:
        words = ["score", str(self.videos), "--manifest", str(place(self.pairs))]
        return [*words, *([] if self.root is None else ["--root", str(self.root)])]

    @property
    def source(self) -> Source:
        """The videos as clips to score."""
        options = self.options
        return Source([self.videos], self.root, place(self.pairs), options.names, options.pair_sounds)

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        found = self.source.adoption()
        assert found is not None
        for told in found.sentences():
            report.say(told)
        write_atomically(self.out, "".join(f"{told}\n" for told in found.sentences()).encode())


@dataclass(frozen=True, kw_only=True)
class ScoreStep(Step):
    """A step that scores the videos of one method under one protocol.

    `originals`: makes the untouched videos for measures that compare with them; None if no measure does.
    """

    kind = "score"
    options: ScoreOptions
    videos: GenerateStep | AdoptStep
    originals: Step | None = None

    @property
    def inputs(self) -> tuple[Step | Path | str, ...]:
        return (self.videos, *([] if self.originals is None else [self.originals]))

    @property
    def _words(self) -> list[str]:
        compared = [] if self.originals is None else ["--originals", str(self.originals.out)]
        if isinstance(self.videos, AdoptStep):
            return [*self.videos._words, *words_of(self.videos.options), *compared]
        return ["score", str(self.videos.out), *compared]

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        from lse_bench.tasks.scoring import score_into

        source, options = self.videos.source, self.options
        if self.originals is not None:
            options = replace(options, originals=self.originals.out)
        score_into(self.out, source, source.clips(), options, report, execution=execution, command=self.command)


@dataclass(frozen=True, kw_only=True)
class DistanceStep(Step):
    """A step that compares one method's videos with the real videos.

    `videos`: the step that made the videos, or, for finished videos, one that scored them.
    """

    suffix = ".json"
    videos: Step
    real: Step

    @property
    def inputs(self) -> tuple[Step | Path | str, ...]:
        return (self.videos, self.real)

    @property
    def _words(self) -> list[str]:
        return [self.kind, str(self.videos.out), str(self.real.out)]


@dataclass(frozen=True, kw_only=True)
class FidStep(DistanceStep):
    """A step that computes the FID of one method's videos to the real videos."""

    kind = "fid"
    options: FidOptions

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        from lse_bench.tasks.distances import fid_of

        fid_of(self.videos.out, self.real.out, self.options, report, execution=execution, out=self.out)


@dataclass(frozen=True, kw_only=True)
class FdSyncStep(DistanceStep):
    """A step that computes the fd-sync of one method's videos to the real videos."""

    kind = "fd-sync"
    options: FdSyncOptions

    def run(self, report: Report, execution: ExecutionOptions) -> None:
        from lse_bench.tasks.distances import fd_sync_of

        fd_sync_of(self.videos.out, self.real.out, self.options, report, execution=execution, out=self.out)
