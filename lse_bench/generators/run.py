"""Generation runs: a manifest and a generator into a folder of videos, resumable, with a row for every job.

The folder holds `generation.json` (with what, counts), `manifest.json`, `generation.jsonl` (a row per job) and
`ID.mp4`; `lse-bench score` takes it as it is.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from lse_bench.errors import UsageError
from lse_bench.generators.call import Call
from lse_bench.generators.interface import FaceGenerator, Job, VideoGenerator
from lse_bench.generators.redraw import SHORT_SOURCE, FaceJobs, OnRow
from lse_bench.generators.video_jobs import make_video
from lse_bench.manifests.generated import (
    GENERATION_FILE,
    MANIFEST_FILE,
    ROWS_FILE,
    Generation,
    ManifestOrigin,
    Row,
    looked,
    read_generation,
    read_rows,
    video_path,
)
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.manifests.manifest import write_manifest
from lse_bench.storage import differences, open_lines, remove_leftovers
from lse_bench.stored import to_json, write_stored
from lse_bench.versions import joined, surroundings

_FIRST = 5  # equal failures at the start that stop a generation
_AT_ONCE = 32  # jobs of one source that are worked on together: each has an encoder

OnStep = Callable[[str], None]


def generate_run(
    call: Call,
    on_row: OnRow = lambda row: None,
    on_step: OnStep = lambda text: None,
    on_note: OnStep = lambda text: None,
    *,
    retry_failed: bool = False,
) -> Generation:
    """Make the videos of `call` and return the content of generation.json; goes on where an earlier call stopped.

    `on_row` is called with every row, those found there included; `on_note` with what a user should know. Raises
    UsageError when the folder holds a generation of something else, and names what differs, and when the first jobs all
    fail alike; PlaceError when `out` cannot be written to.
    """
    _prepare(call)
    decodes = 0

    def still_counts(line: bytes) -> bool:
        """Whether a row of an earlier call stands: its video is there, or it failed and is not to be tried again."""
        try:
            row = Row.model_validate_json(line)
        except ValidationError:
            return True  # read_rows names it
        return video_path(call.out, row.id).exists() if row.status == "ok" else not retry_failed

    with open_lines(call.out / ROWS_FILE, still_counts) as append:
        if removed := remove_leftovers(call.out):
            on_note(f"removed {removed} half-made files of a command that was killed")
        done = {row.id: row for row in read_rows(call.out)}
        for row in done.values():
            on_row(row)

        rest = [pair for pair in call.manifest.jobs if pair.id not in done]
        broken = _Broken(rest, any(row.status == "ok" for row in done.values()))

        def finish(row: Row) -> None:
            append(row.model_dump())
            on_row(row)
            broken.refuse(row)

        for pairs in _by_video(rest):
            on_step(pairs[0].video)
            if isinstance(call.generator, FaceGenerator):
                decodes += FaceJobs(call, pairs, finish).run()
                continue
            for pair in pairs:
                # What a program leaves behind may not be ours to delete.
                with tempfile.TemporaryDirectory(
                    prefix=".scratch-", dir=call.out, ignore_cleanup_errors=True
                ) as scratch:
                    finish(_make_video(call, pair, Path(scratch)))
    return _write_description(call, read_rows(call.out), decodes)


class _Broken:
    """Stops a generation whose first jobs all fail in the same way: the generator is broken, not the jobs."""

    def __init__(self, rest: Sequence[Pair], made: bool) -> None:
        self._jobs = {pair.id: pair for pair in rest}
        self._alike: list[str] | None = None if made or len(rest) <= _FIRST else []

    def refuse(self, row: Row) -> None:
        """Look at the next row. Raises UsageError at the last of the equal failures."""
        if self._alike is None:
            return
        reason = row.reason or ""
        if row.status not in ("generator_failed", "empty_output") or reason.startswith(SHORT_SOURCE):
            self._alike = None
            return
        self._alike.append(_without_names(reason, self._jobs[row.id]))
        if len(set(self._alike)) > 1:
            self._alike = None
        elif len(self._alike) == _FIRST:
            left = len(self._jobs) - _FIRST
            raise UsageError(
                f"the first {_FIRST} jobs failed alike, so the other {left} were not tried: {reason}. Mend the "
                "generator, then the same command with --retry-failed begins again; without it, it goes on past them"
            )


def _without_names(reason: str, pair: Pair) -> str:
    """A reason without what belongs to its job: names, numbers, paths."""
    for name in (pair.id, Path(pair.video).stem, Path(pair.sound).stem):
        reason = reason.replace(name, "")
    return re.sub(r"\S*/\S*|\d+", "", reason)


def _by_video(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Jobs that share a source, a bounded number of them at a time, in the order of the list."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.video, []).append(pair)
    for group in groups.values():
        for start in range(0, len(group), _AT_ONCE):
            yield group[start : start + _AT_ONCE]


def _make_video(call: Call, pair: Pair, scratch: Path) -> Row:
    assert isinstance(call.generator, VideoGenerator)
    root = call.root.absolute()
    job = Job(pair.id, root / pair.video, root / pair.sound, scratch, call.seed, pair.groups)
    return make_video(call.generator, job, video_path(call.out, pair.id))


def _prepare(call: Call) -> None:
    """Write generation.json and manifest.json, or check that those there are of the same generation."""
    try:
        ours = json.loads(json.dumps(call.key))
    except TypeError as error:
        raise UsageError(
            f"the generator {call.generator.name} of {call.package} has a description that cannot be serialised to "
            f"JSON: {error}"
        ) from None
    earlier = read_generation(call.out)
    if earlier is not None:
        for name, before, now in differences(earlier.key, ours):
            raise UsageError(
                f"{call.out}: holds a generation with another {name} ({before}, now {now}); choose another --out"
            )
        return
    names = {item.name for item in call.out.iterdir()} if call.out.is_dir() else set()
    if call.out.exists() and (not call.out.is_dir() or names - {MANIFEST_FILE}):  # left by a kill between the two
        raise UsageError(f"{call.out}: already holds something; choose a new folder")
    call.out.mkdir(parents=True, exist_ok=True)
    write_manifest(call.manifest, call.out / MANIFEST_FILE)
    _write_description(call, [], 0)


def _write_description(call: Call, rows: Sequence[Row], decodes: int) -> Generation:
    lost = [row for row in rows if row.status != "ok"]
    before = read_generation(call.out)
    content = Generation(
        generator=call.generator.name,
        key=call.key,
        manifest=ManifestOrigin(
            name=call.manifest.name,
            corpus=call.manifest.corpus,
            sha256=call.manifest.sha256,
            asked_sha256=call.asked_sha256 or call.manifest.sha256,
        ),
        listed=len(call.manifest.jobs),
        made=len(rows) - len(lost),
        failed=dict(Counter(row.status for row in lost)),
        reasons=dict(Counter((row.reason or "").split(":")[0] for row in lost)),
        warnings=sum(bool(row.warnings) for row in rows),
        looked=looked(rows),
        videos=len({job.video for job in call.manifest.jobs}),
        decodes=(before.decodes if before else 0) + decodes,
        **joined(None if before is None else to_json(before), surroundings()),
        command=list(call.command),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_stored(call.out / GENERATION_FILE, content)
    return content
