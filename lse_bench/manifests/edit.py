"""Edit manifests: join them, keep some of their pairs, and split them. The digest follows the pairs."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lse_bench.errors import UsageError, no_such
from lse_bench.manifests.manifest import Job, Manifest, checked
from lse_bench.naming import matches, whole

_SHARED = ("video", "sound", "speaker")  # groups whose names belong to one folder


def join(manifests: Sequence[Manifest], name: str | None = None) -> Manifest:
    """Return one manifest with the pairs of all, in order.

    If their folders differ, the files are named relative to the deepest folder that holds them all. Raises UsageError
    if two pairs have one id, or if only some of the manifests name a folder.
    """
    if len(manifests) == 1:
        return manifests[0] if name is None else manifests[0].model_copy(update={"name": name})
    roots = [None if manifest.root is None else str(whole(Path(manifest.root))) for manifest in manifests]
    if None in roots and set(roots) != {None}:
        nameless = next(manifest.name for manifest in manifests if manifest.root is None)
        raise UsageError(f"the manifest {nameless} records no folder, but others do. Import it with --root first")
    base = os.path.commonpath([root for root in roots if root is not None]) if roots[0] is not None else None
    jobs = [_moved(job, root, base) for manifest, root in zip(manifests, roots, strict=True) for job in manifest.jobs]
    corpora = "+".join(dict.fromkeys(manifest.corpus for manifest in manifests))
    return _made(name or "+".join(manifest.name for manifest in manifests), corpora, base, jobs)


def _moved(job: Job, root: str | None, base: str | None) -> Job:
    """Return a job relative to another folder. Groups get the folder, too: speaker 1 of two corpora is two people."""
    if root == base or root is None or base is None:
        return job
    inside = Path(root).relative_to(base)
    groups = {name: f"{inside.as_posix()}/{value}" if name in _SHARED else value for name, value in job.groups.items()}
    video, sound = ((inside / name).as_posix() for name in (job.video, job.sound))
    return checked(Job, id=job.id, video=video, sound=sound, groups=groups)


def keep(manifest: Manifest, conditions: Sequence[str]) -> Manifest:
    """Return the pairs for which all `conditions` hold.

    A condition is written NAME=PATTERN or NAME!=PATTERN. NAME is `id`, `video`, `sound` or a group. PATTERN may hold
    `*` and `?`; several patterns are separated by commas. Raises UsageError if a condition has another form, if no pair
    has the group, or if no pair is left.
    """
    jobs = list(manifest.jobs)
    for condition in conditions:
        holds = _condition(condition, manifest)
        jobs = [job for job in jobs if holds(job)]
    if not jobs:
        raise UsageError(f"{manifest.name}: no pair is left with --where {' --where '.join(conditions)}")
    return _part(manifest, jobs)


def _condition(text: str, manifest: Manifest) -> Callable[[Job], bool]:
    written = re.fullmatch(r"(\w+)(!?=)(.+)", text)
    if written is None:
        raise UsageError(f"--where {text}: a condition is written NAME=PATTERN or NAME!=PATTERN")
    name, equals, patterns = written[1], written[2], written[3].split(",")
    known = ["id", "video", "sound", *sorted({group for job in manifest.jobs for group in job.groups})]
    if name not in known:
        raise UsageError(f"--where {text}: {no_such('field', name, dict.fromkeys(known))}")
    own = name in ("id", "video", "sound")

    def holds(job: Job) -> bool:
        value = getattr(job, name) if own else job.groups.get(name, "")
        return any(matches(value, pattern) for pattern in patterns) == (equals == "=")

    return holds


def sample(manifest: Manifest, count: int, seed: int = 0) -> Manifest:
    """Return `count` pairs, drawn by a seeded random choice, in the order of the manifest.

    Raises UsageError if there are fewer pairs.
    """
    if count > len(manifest.jobs):
        raise UsageError(f"{manifest.name}: --sample {count}, but there are {len(manifest.jobs)} pairs")
    chooser = np.random.Generator(np.random.PCG64(seed))
    chosen = sorted(chooser.permutation(len(manifest.jobs))[:count])
    return _part(manifest, [manifest.jobs[n] for n in chosen])


def split(manifest: Manifest, shares: Sequence[str], by: str | None = None, seed: int = 0) -> dict[str, Manifest]:
    """Return parts of a manifest by name. Every pair is in exactly one part.

    `shares`: NAME=SHARE each; the shares add up to 1. `by`: pairs that share this group stay together; None means that
    each pair stands alone. `seed`: random seed of the order. Raises UsageError if a share has another form, if a pair
    lacks the group, or if a part would be empty.
    """
    sizes = dict(_share(text) for text in shares)
    if len(sizes) != len(shares) or abs(sum(sizes.values()) - 1) > 1e-6:
        raise UsageError(f"--split {' --split '.join(shares)}: give different names, with shares that add up to 1")
    together: dict[str, list[int]] = defaultdict(list)
    for number, job in enumerate(manifest.jobs):
        value = str(number) if by is None else job.groups.get(by)
        if value is None:
            raise UsageError(f"{manifest.name}: the pair {job.id} has no group {by}, so --by {by} cannot place it")
        together[value].append(number)
    groups = list(together.values())
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(groups))
    ends = np.rint(np.cumsum(list(sizes.values())) * len(groups)).astype(int)
    parts = {}
    for name, start, stop in zip(sizes, [0, *ends[:-1]], ends, strict=True):
        chosen = sorted(number for place in order[start:stop] for number in groups[place])
        if not chosen:
            raise UsageError(f"{manifest.name}: the part {name} would be empty; there are only {len(groups)} groups")
        parts[name] = _part(manifest, [manifest.jobs[n] for n in chosen], name)
    return parts


def _share(text: str) -> tuple[str, float]:
    written = re.fullmatch(r"([\w-]+)=(0?\.\d+|[01](?:\.0*)?)", text)
    if written is None:
        raise UsageError(f"--split {text}: a part is written NAME=SHARE with a share from 0 to 1, as train=0.9")
    return written[1], float(written[2])


def _part(manifest: Manifest, jobs: Sequence[Job], part: str | None = None) -> Manifest:
    if part is None and len(jobs) == len(manifest.jobs):
        return manifest
    return _made(f"{manifest.name}-{part or len(jobs)}", manifest.corpus, manifest.root, jobs)


def _made(name: str, corpus: str, root: str | None, jobs: Sequence[Job]) -> Manifest:
    return checked(Manifest, name=name, corpus=corpus, root=root, jobs=tuple(jobs))
