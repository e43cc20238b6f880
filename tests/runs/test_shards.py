"""Shards of a cluster's job cover every clip exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lse_bench.errors import UsageError
from lse_bench.manifests.listed import ListedClip
from lse_bench.runs.shards import Shard

CLIPS = [ListedClip(str(n), str(n), Path(str(n))) for n in range(23)]


def array(first: int, count: int, task: int, step: int = 1) -> dict[str, str]:
    return {
        "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": str(first), "SLURM_ARRAY_TASK_COUNT": str(count),
        "SLURM_ARRAY_TASK_MAX": str(first + (count - 1) * step), "SLURM_ARRAY_TASK_STEP": str(step),
        "SLURM_PROCID": "0", "SLURM_NTASKS": "1",
    }  # fmt: skip


JOBS = {
    "from 0": [array(0, 4, task) for task in range(4)],
    "from 1": [array(1, 4, task) for task in range(1, 5)],
    "from 5": [array(5, 4, task) for task in range(5, 9)],
    "with a step": [array(10, 3, task, 10) for task in (10, 20, 30)],
    "of one": [array(5, 1, 5)],
    "srun": [{"SLURM_PROCID": str(n), "SLURM_NTASKS": "5"} for n in range(5)],
    "torchrun": [{"RANK": str(n), "WORLD_SIZE": "8", "LOCAL_RANK": "0"} for n in range(8)],
    "torchrun in a job": [
        {"RANK": str(n), "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"} for n in (0, 1)
    ],
    "srun in an array": [
        array(1, 3, task) | {"SLURM_PROCID": str(n), "SLURM_NTASKS": "2"} for task in (1, 2, 3) for n in (0, 1)
    ],
}


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS.keys())
def test_a_job_covers_every_clip_once(job: list[dict[str, str]]) -> None:
    shards = [Shard.parse("auto", environment) for environment in job]
    assert {shard.count for shard in shards} == {len(job)}
    covered = [clip.id for shard in shards for clip in shard.of(CLIPS)]
    assert sorted(covered, key=int) == [clip.id for clip in CLIPS]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "no job of Slurm or torchrun"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "no job of Slurm or torchrun"),
        (array(3, 2, 7), "2 tasks from number 3 on, but this is number 7"),
        (array(2, 3, 5, 2), "without gaps"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2, but WORLD_SIZE is 2"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x'"),
        ({"SLURM_PROCID": "-1", "SLURM_NTASKS": "2"}, "SLURM_PROCID is '-1'"),
    ],
)
def test_a_job_that_is_none_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Shard.parse("auto", environment)
