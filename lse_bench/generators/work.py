"""The work of generating: the jobs of one source in, their rows out. The videos are written where they belong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lse_bench.execution.interface import Task, Usage
from lse_bench.generators.call import Call
from lse_bench.generators.interface import FaceGenerator, Job, VideoGenerator
from lse_bench.generators.redraw import FaceJobs
from lse_bench.generators.video_jobs import make_video
from lse_bench.manifests.generated import Row, video_path
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.naming import whole
from lse_bench.remote.addresses import joined
from lse_bench.remote.cache import local_copy

_AT_ONCE = 32  # jobs of one source that run together: each has an encoder
Pairs = tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Generated:
    """The result of the jobs of one source: their rows, and how many times the source was decoded."""

    rows: list[Row]
    decodes: int = 0


@dataclass(frozen=True, slots=True)
class GenerateWork:
    """The work of generating videos.

    `load`: returns the call with its generator for a torch device; it can be pickled if other processes work.
    """

    load: Callable[[str], Call]

    def start(self, device: str) -> _Worker:
        return _Worker(self.load(device))

    def lost(self, task: Pairs, reason: str) -> Generated:
        return Generated([Row(id=pair.id, status="generator_failed", reason=reason) for pair in task])


class _Worker:
    def __init__(self, call: Call) -> None:
        self._call = call

    def run(self, tasks: Iterator[Task[Pairs] | None], note: Callable[[str], None]) -> Iterator[tuple[int, Generated]]:
        for task in tasks:
            if task is not None:
                note(task.name)
                yield task.number, self._make(task.what)

    def usage(self) -> Usage:
        return Usage()

    def _make(self, pairs: Pairs) -> Generated:
        rows: list[Row] = []
        if isinstance(self._call.generator, FaceGenerator):
            decodes = FaceJobs(self._call, pairs, rows.append).run()
            return Generated(rows, decodes)
        # We may not have permission to delete the files that a program leaves behind.
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=self._call.out, ignore_cleanup_errors=True) as scratch:
            (pair,) = pairs
            return Generated([_make_video(self._call, pair, Path(scratch))])


def tasks_of(call: Call, pairs: Sequence[Pair]) -> list[Task[Pairs]]:
    """Return the tasks of jobs, in the order of the list.

    A face generator has one task for each source video, with at most 32 jobs, because the source is decoded once. Any
    other generator has one for each job.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.video, []).append(pair)
    most = _AT_ONCE if isinstance(call.generator, FaceGenerator) else 1
    parts = [tuple(group[at : at + most]) for group in groups.values() for at in range(0, len(group), most)]
    return [Task(number, part[0].video, part, float(len(part))) for number, part in enumerate(parts)]


def _make_video(call: Call, pair: Pair, scratch: Path) -> Row:
    assert isinstance(call.generator, VideoGenerator)
    root = whole(call.root)  # a program gets the local copies of files that lie elsewhere
    video, sound = (local_copy(joined(root, name)) for name in (pair.video, pair.sound))
    job = Job(pair.id, video, sound, scratch, call.seed, pair.groups)
    return make_video(call.generator, job, video_path(call.out, pair.id))
