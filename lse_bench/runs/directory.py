"""Begin, continue and read a run directory. run.json describes the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.generated import ManifestOrigin, origin_of, read_generation
from lse_bench.manifests.listed import ListedClip, list_digest
from lse_bench.runs.schema import Adopted, ClipList, Record, RunDescription, ScorerWeights, Summary
from lse_bench.runs.set_values import read_sets
from lse_bench.runs.shards import Shard
from lse_bench.runs.summary import summarise
from lse_bench.runs.usage import read_usage
from lse_bench.storage import json_bytes, read_object, write_atomically
from lse_bench.stored import parse_stored, to_json, write_stored
from lse_bench.versions import joined, surroundings, surroundings_of
from lse_bench.weights.table import name_of_digest

if TYPE_CHECKING:
    from lse_bench.runs.measured import Measures
    from lse_bench.sync.scorer import SyncScorer

READ_SCHEMAS = (1, 2)
_WAY_OUT = "Score into a new --out, or restore the file"
RUN_FILE, SUMMARY_FILE = "run.json", "summary.json"
WINDOWS_FOLDER, TIMELINES_FOLDER = "windows", "timelines"


def describe_run(
    scorer: SyncScorer,
    clips: Sequence[ListedClip],
    *,
    weights: str,
    command: Sequence[str],
    source: Source | None = None,
    shard: Shard | None = None,
    device: str | None = None,
    measures: Measures | None = None,
) -> RunDescription:
    """Return the content of run.json for scoring `clips` with `scorer`.

    `clips`: the whole list, also if only a shard of it is scored. `weights`: the checkpoint as it was given, a path or
    a name. `command`: the command line. `source`: where the clips were found; None if unknown. If it is a single folder
    that a generator wrote, the description of that generation is included. If it names a manifest, the clips are
    adopted. `shard`: None for the whole list. `device`: the devices of the workers; None for that of `scorer`.
    `measures`: the further measures; None without any.
    """
    adopted = _adopted(source)
    alone = source is not None and len(source.inputs) == 1 and adopted is None
    generation = read_generation(source.inputs[0]) if source is not None and alone else None
    asked = None if generation is None else generation.manifest.asked_sha256
    return RunDescription(
        protocol=scorer.key["protocol"],
        key=scorer.key,
        weights=ScorerWeights(file=weights, sha256=scorer.weights_sha256, name=name_of_digest(scorer.weights_sha256)),
        clip_list=ClipList(clips=len(clips), sha256=list_digest(clips)),
        source=None if source is None else source.as_json(),
        manifest_sha256=asked if adopted is None else adopted.manifest.sha256,
        adopted=adopted,
        calibration=scorer.offsets.calibration,
        measures={} if measures is None else measures.about(),
        originals=None if measures is None or measures.folder is None else str(measures.folder.absolute()),
        search=scorer.offsets.search,
        timeline=scorer.offsets.timeline,
        generation=None if generation is None else origin_of(generation),
        shard=None if shard is None else f"{shard.index}/{shard.count}",
        **surroundings(),
        device=device or scorer.device,
        precision=scorer.precision,
        command=list(command),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _adopted(source: Source | None) -> Adopted | None:
    found = None if source is None else source.adoption()
    if found is None:
        return None
    about = found.manifest
    origin = ManifestOrigin(name=about.name, corpus=about.corpus, sha256=about.sha256, asked_sha256=about.sha256)
    return Adopted(manifest=origin, rule=found.rule)


def prepare_directory(out: Path, description: RunDescription) -> None:
    """Write run.json, or check that the existing run.json belongs to the same run.

    If an existing run continues with other versions or on another machine, run.json lists these as well. Raises
    UsageError if the comparison key, the list of clips or the shard differs, or if `out` cannot be written.
    """
    path = out / RUN_FILE
    if path.exists():
        there = read_description(out)
        refuse_difference(out, there, Path("this call"), description)
        if there.shard != description.shard:
            raise UsageError(
                f"{out}: holds shard {there.shard}, but shard {description.shard} is given; choose another --out"
            )
        if there.originals is not None and there.originals != description.originals:
            now = "none is given" if description.originals is None else f"{description.originals} is given"
            raise UsageError(
                f"{out}: was begun with --originals {there.originals}, but now {now}. Give the same folder, or choose "
                "another --out"
            )
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
        raise UsageError(f"{out}: cannot be written: {error.strerror}. Choose another --out") from None


def read_description(run: Path) -> RunDescription:
    """Return the content of a run directory's run.json.

    Raises UsageError if the file is missing, damaged or of a schema that this version does not read.
    """
    path = run / RUN_FILE
    if not path.is_file():
        raise UsageError(f"{run}: not a run directory, because it has no file {RUN_FILE}")
    content = read_object(path, _WAY_OUT)
    if content.get("schema") not in READ_SCHEMAS:
        versions = content.get("versions")
        writer = versions.get("lse-bench") if isinstance(versions, dict) else None
        way = (
            f"lse-bench {writer} wrote it and can read it: pip install 'lse-bench=={writer}'"
            if writer
            else "It does not name the version that wrote it; check that lse-bench score made it"
        )
        known = " and ".join(map(str, READ_SCHEMAS))
        raise UsageError(f"{path}: has schema {content.get('schema')}, but this version reads schema {known}. {way}")
    return parse_stored(content, path, RunDescription, _WAY_OUT)


def key_differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[tuple[str, str | None, str | None]]:
    """Return (field, value in `one`, value in `other`) for each field of two comparison keys that differs.

    The fields are sorted. None as a value means that the key lacks the field.
    """
    fields = sorted({*one, *other})
    values = [(name, one.get(name), other.get(name)) for name in fields]
    return [value for value in values if value[1] != value[2]]


def refuse_difference(first: Path, one: RunDescription, second: Path, other: RunDescription) -> None:
    """Raise UsageError if the scores of two runs must not be averaged together. The message names the field.

    The comparison key, the list of clips and what is said about offsets must be equal. `first`, `second`: the runs'
    names in the message.
    """
    differing = key_differences(one.key, other.key)
    if one.clip_list.sha256 != other.clip_list.sha256:
        differing.append(("list", one.clip_list.sha256, other.clip_list.sha256))
    ids = [{name: about.id for name, about in held.measures.items()} for held in (one, other)]
    if ids[0] != ids[1]:
        differing.append(("measures", ", ".join(ids[0].values()) or "none", ", ".join(ids[1].values()) or "none"))
    for field in ("manifest_sha256", "calibration", "search", "timeline"):
        if (here := getattr(one, field)) != (there := getattr(other, field)):
            differing.append((field, str(here), str(there)))
    for name, here, there in differing:
        raise UsageError(
            f"{first} and {second} cannot be joined: {name} differs ({here} and {there}). Such scores are never "
            "averaged together; choose another --out"
        )


def write_summary(out: Path, records: Iterable[Record], listed: int, description: RunDescription) -> Summary:
    """Write summary.json and return its content. `listed`: number of clips that were to be scored."""
    summary = summarise(records, listed, description, read_usage(out), read_sets(out))
    write_stored(out / SUMMARY_FILE, summary)
    return summary
