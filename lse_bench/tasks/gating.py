"""The task that accepts or rejects the clips of a run, and moves the sound of clips that are out of sync."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lse_bench.errors import ClipError, UsageError
from lse_bench.manifests.listed import ListedClip, list_digest
from lse_bench.media.remux import move_sound
from lse_bench.reporting import Report
from lse_bench.runs.gate import Condition, parse, reasons, value_of
from lse_bench.runs.outcomes import identity_of
from lse_bench.runs.read import Run
from lse_bench.runs.schema import Record
from lse_bench.runs.verify import listed_clips, refuse_edited
from lse_bench.storage import json_bytes, read_object, write_atomically
from lse_bench.stored import write_stored
from lse_bench.sync.offsets import MS_PER_FRAME, Calibration, calibrate
from lse_bench.tables.histogram import histogram_svg
from lse_bench.tasks.declared import GateOptions

ACCEPTED, REJECTED, GATE_FILE, FIXED = "accepted.csv", "rejected.csv", "gate.json", "fixed"
HISTOGRAM = "histogram.svg"
_UNSURE = (None, "unknown", "not calibrated")
_LEAST = MS_PER_FRAME / 2  # ms: a smaller offset is not moved


@dataclass(slots=True)
class Gated:
    """The result of a gate.

    `accepted`, `rejected`: numbers of clips. `kinds`: number of rejected clips by the condition or status. `fixed`:
    paths of copies with moved sound, by id. `unfixed`: why a clip out of sync could not be moved, by id.
    """

    accepted: int
    rejected: int
    kinds: dict[str, int]
    fixed: dict[str, str] = field(default_factory=dict)
    unfixed: dict[str, str] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of rejected clips, 0-1."""
        return self.rejected / max(1, self.accepted + self.rejected)


def gate_into(out: Path, entry: Run, options: GateOptions, report: Report) -> Gated:
    """Write the accepted and the rejected clips of a run to `out`, with reasons, counts and a histogram.

    Raises UsageError if there is no condition, if one is wrong, if the run was edited, or if `out` already holds files
    of another gate.
    """
    if not options.require and not options.fix:
        raise UsageError("give at least one condition with --require, or --fix, --suggest or --calibrate")
    conditions = [parse(text, entry.description.clip_measures) for text in options.require]
    refuse_edited([entry])
    known = listed_clips(entry)
    if isinstance(known, str):
        raise UsageError(f"{entry.name}: {known}")
    if list_digest(known) != entry.description.clip_list.sha256:
        raise UsageError(f"{entry.name}: the list of clips has changed since the run. Score it again")
    asked = {"run": str(entry.folder.absolute()), "require": list(options.require), "fix": options.fix}
    _refuse_another(out, asked)
    clips = {clip.id: clip for clip in known}
    found = reasons(entry.records, conditions)
    for name, wanted in ((ACCEPTED, True), (REJECTED, False)):
        rows = [record for record in entry.records if (found[record.id] is None) == wanted]
        write_atomically(out / name, _list_of(rows, clips, found, not wanted).encode("utf-8", "surrogateescape"))
    gated = Gated(
        sum(reason is None for reason in found.values()),
        sum(reason is not None for reason in found.values()),
        dict(Counter(_kind(record, found[record.id]) for record in entry.records if found[record.id]).most_common()),
    )
    if options.fix:
        _fix(out / FIXED, entry, clips, gated, report)
    about = asked | {"signature": entry.signature}
    counts = {"accepted": gated.accepted, "rejected": gated.rejected, "kinds": gated.kinds}
    write_atomically(
        out / GATE_FILE,
        json_bytes({"schema": 1, "kind": "gate", **about, **counts, "fixed": gated.fixed, "unfixed": gated.unfixed}),
    )
    if conditions:
        _draw(out / HISTOGRAM, entry.records, conditions, report)
    return gated


def _kind(record: Record, reason: str | None) -> str:
    """Return the condition or the status that rejected a clip."""
    if record.status != "ok" or reason is None:
        return record.status
    return reason.rpartition("; ")[2].removesuffix(" is required")


def _list_of(
    records: Sequence[Record], clips: Mapping[str, ListedClip], why: Mapping[str, str | None], with_reason: bool
) -> str:
    """Return clips as a CSV list that `score`, `prepare` and `manifest build` read."""
    groups = sorted({name for record in records for name in record.groups})
    more = [name for name in ("sound", "start", "end") if any(getattr(record, name) is not None for record in records)]
    head = ["clip", "id", *more, *(f"group_{name}" for name in groups), *(["reason"] if with_reason else [])]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(head)
    for record in records:
        clip = clips.get(record.id)
        path = record.clip if clip is None else str(clip.path.absolute())
        beside = {
            "sound": "" if clip is None or clip.sound is None else str(clip.sound.absolute()),
            "start": record.start,
            "end": record.end,
        }
        row = [path, record.id, *(beside[name] for name in more), *(record.groups.get(name, "") for name in groups)]
        rows.writerow([*row, *([why[record.id]] if with_reason else [])])
    return text.getvalue()


def _refuse_another(out: Path, asked: Mapping[str, object]) -> None:
    """Raise UsageError if `out` holds the files of another gate, because the two would mix."""
    path = out / GATE_FILE
    if not path.is_file():
        return
    there = read_object(path, "Choose another --out")
    for name, now in asked.items():
        if there.get(name) != now:
            raise UsageError(
                f"{out}: holds a gate with another {name} ({there.get(name)}, now {now}); choose another --out"
            )


def _fix(folder: Path, entry: Run, clips: Mapping[str, ListedClip], gated: Gated, report: Report) -> None:
    stream = entry.description.key.get("sound_stream")
    wanted = [
        record
        for record in entry.records
        if record.offset_grade not in _UNSURE and record.offset_ms is not None and abs(record.offset_ms) >= _LEAST
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with report.counting("moving sounds", len(wanted)) as counter:
        for record in wanted:
            clip = clips.get(record.id)
            if clip is None or not clip.files.whole:
                gated.unfixed[record.id] = "a part of a file" if clip is not None else "no longer listed"
            elif any(identity_of(clip)[name] != getattr(record, name) for name in ("sha256", "sound_sha256")):
                gated.unfixed[record.id] = "the file has changed since it was scored"
                counter.fail(record.clip, gated.unfixed[record.id])
            else:
                assert record.offset_ms is not None
                target = folder / f"{record.id}.mp4"
                try:
                    target = move_sound(clip.path, clip.files.heard, record.offset_ms, target, stream)
                    gated.fixed[record.id] = str(target)
                except ClipError as error:
                    gated.unfixed[record.id] = f"{error.status}: {error.reason}"
                    counter.fail(record.clip, gated.unfixed[record.id])
            counter.advance()


def _draw(path: Path, records: Sequence[Record], conditions: Sequence[Condition], report: Report) -> None:
    """Draw a histogram of every field of a condition, with its thresholds. Without matplotlib it is left out."""
    fields: dict[str, tuple[list[float], list[float]]] = {}
    for condition in conditions:
        if isinstance(condition.value, str):
            continue
        label = f"abs({condition.field})" if condition.magnitude else condition.field
        values = [value_of(record, condition.field) for record in records if record.status == "ok"]
        numbers = [abs(v) if condition.magnitude else v for v in values if isinstance(v, float)]
        fields.setdefault(label, (numbers, []))[1].append(condition.value)
    if not fields:
        return
    try:
        write_atomically(path, histogram_svg(fields).encode())
    except UsageError as error:
        report.warn(f"no histogram was drawn: {error}")


def calibrate_from(real: Run, unsynced: Run, out: Path, report: Report) -> Calibration:
    """Make the calibration of offsets from runs of clips with their own and with foreign sound, and write it to `out`.

    Raises UsageError if the runs are of different scorers or protocols, if there are too few clips, or if the two kinds
    cannot be told apart.
    """
    refuse_edited([real, unsynced])
    keys = [(run.description.key["weights_sha256"], run.description.protocol) for run in (real, unsynced)]
    if keys[0] != keys[1]:
        raise UsageError(f"{real.name} and {unsynced.name} are of different scorers or protocols: {keys[0]}, {keys[1]}")
    margins = [
        [record.offset_margin for record in run.records if record.offset_margin is not None] for run in (real, unsynced)
    ]
    made = calibrate(margins[0], margins[1], *keys[0], f"{real.name}, {unsynced.name}")
    write_stored(out, made)
    report.say(
        f"an offset is clear from a margin of {made.margin:g} on: {made.missed:.1%} of {made.real} clips with their "
        f"own sound lie below, {made.false_alarms:.1%} of {made.unsynced} with foreign sound above: {out}"
    )
    return made
