"""Shards: parts of a list of clips, chosen by hand or by a cluster's job."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lse_bench.errors import UsageError
from lse_bench.manifests.listed import ListedClip

_VARIABLES = (
    *("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP"),
    *("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"),
)


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a list of clips: every `count`-th clip, starting at clip `index`. `index` is counted from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> Shard:
        """Read a shard written like `2/5`, or `auto` for that of a cluster's job. Raises UsageError for other forms.

        `environment`: the environment variables, see `of_job`.
        """
        if text == "auto":
            return cls.of_job(environment)
        index, _, count = text.partition("/")
        written = re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", text)
        if written is None or not 1 <= int(index) <= int(count):
            raise UsageError(f"--shard {text[:40]}: a shard is written i/n with 1 <= i <= n, as in 2/5, or auto")
        return cls(int(index), int(count))

    @classmethod
    def of_job(cls, environment: Mapping[str, str]) -> Shard:
        """Return the shard of this process in a job of Slurm or torchrun.

        A task of an array is a shard, whatever number the array starts with. Several processes of one job are shards,
        too: those of torchrun by RANK and WORLD_SIZE, those of srun by SLURM_PROCID and SLURM_NTASKS. Processes of an
        array are shards of its tasks. `environment`: the environment variables. Raises UsageError if none of these is
        set, or if the numbers do not fit.
        """
        values = {name: _number(environment, name) for name in _VARIABLES}
        shard = cls(1, 1)
        task, count = values["SLURM_ARRAY_TASK_ID"], values["SLURM_ARRAY_TASK_COUNT"]
        if task is not None and count is not None:
            first, step = values["SLURM_ARRAY_TASK_MIN"] or 0, values["SLURM_ARRAY_TASK_STEP"] or 1
            place, rest = divmod(task - first, step)
            if rest or not 0 <= place < count:
                raise UsageError(
                    f"--shard auto: the array has {count} tasks from number {first} on, but this is number {task}. "
                    "Submit numbers without gaps, as in --array=1-8; a single task of an array needs --shard I/N"
                )
            shard = cls(place + 1, count)
        for place_name, count_name in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
            rank, ranks = values[place_name], values[count_name]
            if rank is not None and ranks is not None:
                if rank >= ranks:
                    raise UsageError(f"--shard auto: {place_name} is {rank}, but {count_name} is {ranks}")
                return cls((shard.index - 1) * ranks + rank + 1, shard.count * ranks)
        if task is None or count is None:
            raise UsageError(
                "--shard auto: none of SLURM_ARRAY_TASK_ID, SLURM_PROCID and RANK is set, so this is no job of Slurm "
                "or torchrun. Write --shard I/N"
            )
        return shard

    def of(self, clips: Sequence[ListedClip]) -> list[ListedClip]:
        """Return the clips of this shard, in list order."""
        return list(clips[self.index - 1 :: self.count])


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(f"--shard auto: {name} is {text[:40]!r}, which is no number")
    return int(text)
