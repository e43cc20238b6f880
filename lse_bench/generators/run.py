"""Make a folder of videos from a manifest and a generator. A run can be resumed, and every job gets a row.

The folder holds `generation.json` (settings and counts), `manifest.json`, `generation.jsonl` (one row per job) and the
videos `ID.mp4`. `lse-bench score` accepts the folder directly.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from lse_bench.errors import UsageError
from lse_bench.execution.inline import Inline
from lse_bench.execution.interface import Executor, Watch
from lse_bench.generators.call import Call
from lse_bench.generators.redraw import SHORT_SOURCE, OnRow
from lse_bench.generators.work import GenerateWork, tasks_of
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
from lse_bench.storage import open_lines, refuse_another, remove_leftovers
from lse_bench.stored import to_json, write_stored
from lse_bench.versions import joined, surroundings

_FIRST = 5  # number of equal failures at the start after which a generation stops


def generate_run(
    call: Call,
    on_row: OnRow = lambda row: None,
    *,
    on_note: Callable[[str], None] = lambda text: None,
    retry_failed: bool = False,
    executor: Executor | None = None,
    load: Callable[[str], Call] | None = None,
    watch: Watch | None = None,
) -> Generation:
    """Make the videos of `call` and return the content of generation.json.

    A folder of an earlier call with the same key is continued. `on_row`: called with every row, including the rows of
    earlier calls. `on_note`: called with messages for the user. `retry_failed`: run the failed jobs of earlier calls
    again. `executor`: who generates, None for this process with `call`. `load`: loads the call of a worker for a
    device; needed with `executor`. `watch`: hears what the workers do. Raises UsageError if the folder holds another
    generation (the message names the difference), or if the first jobs all fail in the same way. Raises PlaceError if
    `out` cannot be written to.
    """
    _prepare(call)
    decodes = 0

    def still_counts(line: bytes) -> bool:
        """Return whether a row of an earlier call is kept: its video exists, or it failed and is not retried."""
        try:
            row = Row.model_validate_json(line)
        except ValidationError:
            return True  # read_rows reports the damaged line
        return video_path(call.out, row.id).exists() if row.status == "ok" else not retry_failed

    with open_lines(call.out / ROWS_FILE, still_counts) as append:
        if removed := remove_leftovers(call.out):
            on_note(f"removed {removed} incomplete files of a command that was killed")
        done = {row.id: row for row in read_rows(call.out)}
        for row in done.values():
            on_row(row)

        rest = [pair for pair in call.manifest.jobs if pair.id not in done]
        broken = _Broken(rest, any(row.status == "ok" for row in done.values()))

        def finish(row: Row) -> None:
            append(row.model_dump())
            on_row(row)
            broken.refuse(row)

        tasks = tasks_of(call, rest)
        by, work = executor or Inline(call.options.device), GenerateWork(load or (lambda device: call))
        for _, generated in by.run(work, tasks, watch or Watch()) if tasks else ():
            decodes += generated.decodes
            for row in generated.rows:
                if row.status == "ok" and not video_path(call.out, row.id).exists():
                    raise UsageError(
                        f"{call.out}: a worker wrote {row.id}.mp4, but it is not here. The workers have another folder "
                        "of this name; --out must lie on a file system that all nodes share"
                    )
                finish(row)
        if executor is not None:
            remove_leftovers(call.out)  # of workers that died
    return _write_description(call, read_rows(call.out), decodes)


class _Broken:
    """A check that stops a generation if its first jobs all fail in the same way, because the generator is broken.

    `rest`: the jobs still to run. `made`: whether an earlier call has made a video. The check is off if it has, or if
    no more than `_FIRST` jobs are left.
    """

    def __init__(self, rest: Sequence[Pair], made: bool) -> None:
        self._jobs = {pair.id: pair for pair in rest}
        self._alike: list[str] | None = None if made or len(rest) <= _FIRST else []

    def refuse(self, row: Row) -> None:
        """Check the next row. Raises UsageError if it completes the sequence of equal failures."""
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
                f"the first {_FIRST} jobs failed alike, so the other {left} were not tried: {reason}. Repair the "
                "generator and repeat the command with --retry-failed; without this option, the failed jobs are skipped"
            )


def _without_names(reason: str, pair: Pair) -> str:
    """Return a reason without the parts that differ between jobs: names, numbers and paths."""
    for name in (pair.id, Path(pair.video).stem, Path(pair.sound).stem):
        reason = reason.replace(name, "")
    return re.sub(r"\S*/\S*|\d+", "", reason)


def _prepare(call: Call) -> None:
    """Write generation.json and manifest.json, or check that the existing files are of the same generation.

    Raises UsageError if the folder holds something else, or if the generator's description is not valid JSON.
    """
    try:
        ours = json.loads(json.dumps(call.key))
    except TypeError as error:
        raise UsageError(
            f"the generator {call.generator.name} of {call.package} has a description that cannot be serialised to "
            f"JSON: {error}"
        ) from None
    earlier = read_generation(call.out)
    if earlier is not None:
        refuse_another(call.out, "a generation", earlier.key, ours)
        return
    names = {item.name for item in call.out.iterdir()} if call.out.is_dir() else set()
    if call.out.exists() and (not call.out.is_dir() or names - {MANIFEST_FILE}):  # a kill may leave the manifest only
        raise UsageError(f"{call.out}: already holds something else; choose a new folder")
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
