"""Score a list of clips into a run directory. A run can be resumed, or split into shards and merged.

A run directory holds `run.json` (a description of clips, scorer and settings), `records.jsonl` (one line per clip),
`usage.json` (time) and `summary.json` (rebuilt from the records). On request it also holds `windows/ID.npz` with the
distances of every window, and with set measures `features/` and `sets.json`. Whoever scores the clips, this process
alone writes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lse_bench.collecting import uncollected
from lse_bench.errors import UsageError
from lse_bench.execution.inline import Inline
from lse_bench.execution.interface import Executor, Task, Watch
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import ListedClip
from lse_bench.place import refuse_place
from lse_bench.runs.directory import (
    TIMELINES_FOLDER,
    WINDOWS_FOLDER,
    describe_run,
    prepare_directory,
    write_summary,
)
from lse_bench.runs.inputs import Inputs, work_in
from lse_bench.runs.outcomes import identity_of
from lse_bench.runs.publish import Publisher
from lse_bench.runs.records import doubled, iter_heads, iter_records, open_records
from lse_bench.runs.schema import Record, RecordHead, Summary
from lse_bench.runs.sets import write_features, write_sets
from lse_bench.runs.shards import Shard
from lse_bench.runs.usage import Session
from lse_bench.runs.work import Scored, ScoreWork
from lse_bench.storage import json_bytes, replacing, write_atomically

if TYPE_CHECKING:
    from lse_bench.runs.measured import Measures
    from lse_bench.sync.scorer import SyncScorer


OnRecord = Callable[[Record], None]
Load = Callable[[str], "SyncScorer"]


def score_run(
    scorer: SyncScorer,
    clips: Sequence[ListedClip],
    out: Path,
    *,
    weights: str = "",
    command: Sequence[str] = (),
    source: Source | None = None,
    shard: Shard | None = None,
    keep_windows: bool = False,
    overlay: Path | None = None,
    measures: Measures | None = None,
    verify_inputs: bool = False,
    executor: Executor | None = None,
    load: Load | None = None,
    watch: Watch | None = None,
    publisher: Publisher | None = None,
    on_record: OnRecord = lambda record: None,
    on_earlier: Callable[[RecordHead], None] = lambda head: None,
    on_begin: Callable[[], None] = lambda: None,
    on_problem: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Score `clips` into the run directory `out` and return its summary.

    Clips that are already recorded in `out` are not scored again. `weights`, `command`, `source`: stored in
    run.json, see `describe_run`. `shard`: the part of the list to score; None for all. `keep_windows`: store the
    distances of every window. `overlay`: a folder for copies of the scored clips with their face tracks drawn in;
    None for no copies. `measures`: further measures of each clip. `verify_inputs`: hash the file of every recorded
    clip; otherwise only files whose size or time differs are hashed. `executor`: who scores, None for this process
    with `scorer`. `load`: loads the scorer of a worker for a device; needed with `executor`. `watch`: hears what
    the workers do. `publisher`: copies the run directory to a store. `on_record`: called with every new record.
    `on_earlier`: called with the head of each record of earlier calls. `on_begin`: called after them. `on_problem`:
    called with a sentence if an overlay cannot be drawn; the score is kept.

    Raises UsageError if `out` holds a different run (the message names the difference), if a recorded file has changed,
    if an earlier call did not keep windows, or if `overlay` is set under a protocol without face tracks.
    """
    watch = watch or Watch()
    devices = None if executor is None else executor.devices
    description = describe_run(
        scorer,
        clips,
        weights=weights,
        command=command,
        source=source,
        shard=shard,
        device=devices,
        measures=measures,
    )
    if overlay is not None and scorer.tracking is None and scorer.offsets.timeline is None:
        raise UsageError(
            f"--overlay draws face tracks or the offset over time, but {scorer.protocol.id} has no tracks; use "
            "--protocol tracked or --timeline SECONDS"
        )
    prepare_directory(out, description)
    if publisher is not None:  # a store that refuses is named before hours of work
        publisher.publish()
    mine = shard.of(clips) if shard is not None else clips
    with open_records(out) as append:
        with uncollected():
            finished = _finished(out, Inputs(out, mine, verify_inputs), keep_windows, overlay, on_earlier, on_problem)
            rest = [clip for clip in mine if clip.id not in finished]
        on_begin()
        with Session(out, executor.devices if executor is not None else scorer.device, watch) as session:
            work = ScoreWork(load or (lambda device: scorer), keep_windows, overlay, measures)
            for scored in score_clips(scorer, rest, work, executor, watch):
                try:
                    record = _write_beside(out, scored)
                    append(record)
                except OSError as error:
                    refuse_place(error, out)
                    raise
                session.count(record)
                on_record(record)
                for problem in scored.problems:
                    on_problem(problem)
                if publisher is not None and (told := publisher.now_and_then()) is not None:
                    on_problem(told)
        if measures is not None and measures.of_sets():
            watch.on_note("all clips", "combining their features")
            write_sets(out, measures, mine)
        summary = write_summary(out, iter_records(out), len(mine), description)
        if publisher is not None:
            publisher.publish()
        return summary


def score_clips(
    scorer: SyncScorer,
    clips: Sequence[ListedClip],
    work: ScoreWork | None = None,
    executor: Executor | None = None,
    watch: Watch | None = None,
) -> Iterator[Scored]:
    """Yield the result of each clip, in the order in which they finish. Listed clips without a file come first.

    `work`, `executor`: how the clips are scored and by whom; None for this process with `scorer`. `watch`: hears what
    the workers do.
    """
    tasks = []
    sized = executor is not None
    for number, clip in enumerate(clips):
        if clip.absent is None:
            tasks.append(Task(number, clip.clip, clip, work_in(clip) if sized else 0.0))
        else:
            status, reason = clip.absent
            yield Scored(Record(status=status, reason=reason, **identity_of(clip)))
    if tasks:
        work, executor = work or ScoreWork(lambda device: scorer), executor or Inline(scorer.device)
        for _, scored in executor.run(work, tasks, watch or Watch()):
            yield scored


def _finished(
    out: Path,
    inputs: Inputs,
    keep_windows: bool,
    overlay: Path | None,
    on_earlier: Callable[[RecordHead], None],
    on_problem: Callable[[str], None],
) -> set[str]:
    """Return the ids of the recorded clips, after the checks of an earlier call's records."""
    finished = set[str]()
    for record in iter_heads(out):
        inputs.refuse_changed(record)
        scored = record.status == "ok"
        if keep_windows and scored and not (out / WINDOWS_FOLDER / f"{record.id}.npz").exists():
            raise UsageError(f"{out}: was begun without --keep-windows (none of {record.id}); choose another --out")
        if overlay is not None and scored and not (overlay / f"{record.id}.mp4").exists():
            on_problem(f"{record.clip}: no overlay, because it was scored before; draw it with another --out")
        if record.id in finished:
            raise doubled(out, record.id)
        finished.add(record.id)
        on_earlier(record)
    return finished


def _write_beside(out: Path, scored: Scored) -> Record:
    """Write distances to `windows/ID.npz`, offsets over time to `timelines/ID.json`, features to `features/`.

    Return the record, with the digests of the features.
    """
    if scored.windows:
        folder = out / WINDOWS_FOLDER
        folder.mkdir(exist_ok=True)
        with replacing(folder / f"{scored.record.id}.npz") as partial:
            np.savez_compressed(partial, **scored.windows)  # type: ignore[arg-type]
    if scored.timelines:
        write_atomically(out / TIMELINES_FOLDER / f"{scored.record.id}.json", json_bytes(scored.timelines))
    if not scored.features:
        return scored.record
    return scored.record.model_copy(update={"features": write_features(out, scored.record.id, scored.features)})
