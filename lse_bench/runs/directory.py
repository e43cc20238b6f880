"""A run directory: what run.json says, how it is begun, gone on with and read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.generated import origin_of, read_generation
from lse_bench.manifests.listed import ListedClip, list_digest
from lse_bench.runs.schema import ClipList, Record, RunDescription, ScorerWeights, Summary
from lse_bench.runs.summary import summarise
from lse_bench.storage import json_bytes, read_object, write_atomically
from lse_bench.stored import parse_stored, to_json, write_stored
from lse_bench.versions import joined, surroundings, surroundings_of
from lse_bench.weights.table import name_of_digest

if TYPE_CHECKING:
    from lse_bench.sync.scorer import SyncScorer

READ_SCHEMAS = (1, 2)
_WAY_OUT = "Score into a new --out, or bring the file back"
RUN_FILE, SUMMARY_FILE, WINDOWS_FOLDER = "run.json", "summary.json", "windows"


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, counted from 1: every `count`-th clip of the list."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/5`. Raises UsageError for anything else."""
        index, _, count = text.partition("/")
        written = re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", text)
        if written is None or not 1 <= int(index) <= int(count):
            raise UsageError(f"--shard {text[:40]}: a shard is written i/n with 1 <= i <= n, as in 2/5")
        return cls(int(index), int(count))

    def of(self, clips: Sequence[ListedClip]) -> list[ListedClip]:
        """This shard's clips."""
        return list(clips[self.index - 1 :: self.count])


def describe_run(
    scorer: SyncScorer,
    clips: Sequence[ListedClip],
    *,
    weights: str,
    command: Sequence[str],
    source: Source | None = None,
    shard: Shard | None = None,
) -> RunDescription:
    """The content of run.json. `clips`: the whole list, of which `shard` is a part; `source`: where it came from."""
    generation = None if source is None or len(source.inputs) != 1 else read_generation(source.inputs[0])
    return RunDescription(
        protocol=scorer.key["protocol"],
        key=scorer.key,
        weights=ScorerWeights(file=weights, sha256=scorer.weights_sha256, name=name_of_digest(scorer.weights_sha256)),
        clip_list=ClipList(clips=len(clips), sha256=list_digest(clips)),
        source=None if source is None else source.as_json(),
        manifest_sha256=None if generation is None else generation.manifest.asked_sha256,
        generation=None if generation is None else origin_of(generation),
        shard=None if shard is None else f"{shard.index}/{shard.count}",
        **surroundings(),
        device=scorer.device,
        precision=scorer.precision,
        command=list(command),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def prepare_directory(out: Path, description: RunDescription) -> None:
    """Write run.json, or check that the one there is of the same run."""
    path = out / RUN_FILE
    if path.exists():
        there = read_description(out)
        refuse_difference(out, there, Path("this call"), description)
        if there.shard != description.shard:
            raise UsageError(f"{out}: holds shard {there.shard}, asked for {description.shard}; choose another --out")
        stored = to_json(there)
        whole = stored | joined(stored, surroundings_of(to_json(description)))
        if whole != stored:
            write_atomically(path, json_bytes(whole))
        return
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; --out names a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_stored(path, description)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from None


def read_description(run: Path) -> RunDescription:
    """The content of a run directory's run.json. Raises UsageError when it is not one that this version reads."""
    path = run / RUN_FILE
    if not path.is_file():
        raise UsageError(f"{run}: not a run directory (no {RUN_FILE} that can be read)")
    content = read_object(path, _WAY_OUT)
    if content.get("schema") not in READ_SCHEMAS:
        versions = content.get("versions")
        writer = versions.get("lse-bench") if isinstance(versions, dict) else None
        way = (
            f"lse-bench {writer} wrote it, and reads it: pip install 'lse-bench=={writer}'"
            if writer
            else "it does not say which version wrote it; is it a run directory of lse-bench score?"
        )
        known = " and ".join(map(str, READ_SCHEMAS))
        raise UsageError(f"{path}: schema {content.get('schema')}, this version reads schema {known}. {way}")
    return parse_stored(content, path, RunDescription, _WAY_OUT)


def key_differences(one: RunDescription, other: RunDescription) -> list[tuple[str, str | None, str | None]]:
    """The fields of the comparison key in which two runs differ, with both values."""
    fields = sorted({*one.key, *other.key})
    values = [(name, one.key.get(name), other.key.get(name)) for name in fields]
    return [value for value in values if value[1] != value[2]]


def refuse_difference(first: Path, one: RunDescription, second: Path, other: RunDescription) -> None:
    """Raise UsageError, naming the field, for runs whose scores may not be averaged together."""
    differing = key_differences(one, other)
    if one.clip_list.sha256 != other.clip_list.sha256:
        differing.append(("list", one.clip_list.sha256, other.clip_list.sha256))
    for name, here, there in differing:
        raise UsageError(
            f"{first} and {second} cannot be joined: {name} differs ({here} and {there}). Scores that differ in it are "
            "never averaged together; choose another --out"
        )


def write_summary(out: Path, records: Sequence[Record], listed: int, description: RunDescription) -> Summary:
    """Write summary.json, and return its content."""
    summary = summarise(records, listed, description)
    write_stored(out / SUMMARY_FILE, summary)
    return summary
