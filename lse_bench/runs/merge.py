"""Join the shards of one list of clips into one run directory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.runs.directory import (
    TIMELINES_FOLDER,
    WINDOWS_FOLDER,
    prepare_directory,
    read_description,
    refuse_difference,
    write_summary,
)
from lse_bench.runs.follows import refuse_edited_records
from lse_bench.runs.records import iter_records, once_each, open_records
from lse_bench.runs.schema import RunDescription, Summary
from lse_bench.runs.sets import FEATURES_FOLDER
from lse_bench.runs.usage import USAGE_FILE, usage_of
from lse_bench.storage import write_atomically
from lse_bench.stored import to_json, write_stored
from lse_bench.versions import joined, surroundings_of


def merge_runs(runs: Sequence[Path], out: Path, command: Sequence[str] = ()) -> Summary:
    """Join the shards of one list of clips into the new run directory `out` and return its summary.

    `command`: the command line, for run.json. Kept windows, timelines and features are copied
    as well. Set measures have no value until the same `score` command is run on `out`. Raises UsageError if the
    runs differ in the comparison key or the list (the message names the field), if two of them recorded the same clip,
    if a record was edited, or if `out` is not empty.
    """
    if not runs:
        raise UsageError("no runs to merge; give at least one run directory")
    descriptions = [read_description(run) for run in runs]
    for run, description in zip(runs, descriptions, strict=True):
        refuse_difference(runs[0], descriptions[0], run, description)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: already holds files; merge into a new folder")
    _check(runs, out, descriptions[0])
    whole = to_json(descriptions[0])
    for description in descriptions[1:]:
        for one in (surroundings_of(to_json(description)), *(description.continued_with or [])):
            whole |= joined(whole, one) if one else {}
    whole |= {"shard": None, "merged_from": [one.shard for one in descriptions], "command": list(command)}
    merged = RunDescription.model_validate(whole)
    prepare_directory(out, merged)
    with open_records(out) as append:
        for run in runs:
            for record in iter_records(run):
                append(record)
    if (usage := usage_of(runs)) is not None:
        write_stored(out / USAGE_FILE, usage)
    for run in runs:
        for folder, suffix in ((WINDOWS_FOLDER, ".npz"), (TIMELINES_FOLDER, ".json"), (FEATURES_FOLDER, ".npz")):
            for kept in (run / folder).rglob(f"[!.]*{suffix}"):
                write_atomically(out / kept.relative_to(run), kept.read_bytes())
    return write_summary(out, iter_records(out), merged.clip_list.clips, merged)


def _check(runs: Sequence[Path], out: Path, about: RunDescription) -> None:
    """Raise UsageError if a clip is recorded twice, or if a record does not follow from its curves."""
    everything = chain.from_iterable(map(iter_records, runs))
    for _ in once_each(everything, out):
        pass
    for run in runs:
        refuse_edited_records(str(run), iter_records(run), about)
