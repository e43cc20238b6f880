"""Combine the features of a run's clips into the values of set measures, such as FID.

The features of a clip lie in `features/MEASURE/ID.npz`, so that a run can be resumed, and joined from shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lse_bench.fidelity.results import FidResult
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.interface import Features, NoValueError, SetMeasure, SetValue
from lse_bench.naming import natural_key
from lse_bench.runs.read import EXTRAS
from lse_bench.runs.records import iter_records
from lse_bench.runs.schema import Record
from lse_bench.runs.set_values import SETS_FILE, Sets, StoredSetValue
from lse_bench.storage import read_arrays, replacing
from lse_bench.stored import read_stored, write_stored
from lse_bench.weights.readers import digest_of_digests, file_digest

if TYPE_CHECKING:
    from lse_bench.runs.measured import Measures

FEATURES_FOLDER = "features"
_WAY_OUT = "Restore it, or score the clips into a new --out"


def features_file(run: Path, measure: str, clip_id: str) -> Path:
    """Return the file with the features of a clip by a set measure."""
    return run / FEATURES_FOLDER / measure / f"{clip_id}.npz"


def write_features(run: Path, clip_id: str, features: Mapping[str, Features]) -> dict[str, str]:
    """Write the features of a clip, by set measure. Return the SHA-256 of each file."""
    digests = {}
    for name, one in features.items():
        path = features_file(run, name, clip_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            np.savez(partial, ours=one.ours, theirs=one.theirs)
        digests[name] = file_digest(path)
    return digests


class _OnDisk(Mapping[str, Features]):
    """The features of clips by one measure, which are read when they are asked for. `digests`: of their files."""

    def __init__(self, run: Path, measure: str, digests: Mapping[str, str]) -> None:
        self._run, self._measure, self._digests = run, measure, digests

    def __getitem__(self, clip_id: str) -> Features:
        path = features_file(self._run, self._measure, clip_id)
        digest = self._digests[clip_id]
        if not path.is_file():
            raise NoValueError(f"{path}: missing. {_WAY_OUT}")
        if file_digest(path) != digest:
            raise NoValueError(f"{path}: not the file that was written when the clip was scored. {_WAY_OUT}")
        arrays = read_arrays(path, _WAY_OUT)
        return Features(arrays["ours"], arrays["theirs"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)


def kept_features(run: Path, measure: str, records: Iterable[Record]) -> Mapping[str, Features]:
    """Return the features of scored clips by one measure that a run directory keeps, in natural order of the ids.

    A clip without features has its reason in the record. NoValueError is raised where a file is asked for that is
    missing or another than the record says.
    """
    digests = {one.id: one.features[measure] for one in records if one.status == "ok" and measure in one.features}
    return _OnDisk(run, measure, {one: digests[one] for one in sorted(digests, key=natural_key)})


def digests_of(records: Iterable[Record]) -> dict[str, str | None]:
    """Return the SHA-256 of the file of each scored clip, by id."""
    return {record.id: record.sha256 for record in records if record.status == "ok"}


def write_sets(run: Path, measures: Measures, clips: Sequence[ListedClip]) -> None:
    """Combine the features in a run directory, and write sets.json, and fid.json if there is a FID.

    `clips`: those that were to be scored. A FID of an earlier call is removed if it no longer follows from the run.
    """
    features = {name: kept_features(run, name, iter_records(run)) for name in measures.of_sets()}
    sets, fid = combined(measures, clips, digests_of(iter_records(run)), features)
    write_stored(run / SETS_FILE, sets)
    path = run / EXTRAS["fid"]
    if fid is not None:
        write_stored(path, fid)
    elif path.exists() and read_stored(path, FidResult, _WAY_OUT).fid_id in measures.fid_ids():
        path.unlink()


def combined(
    measures: Measures,
    clips: Sequence[ListedClip],
    scored: Mapping[str, str | None],
    features: Mapping[str, Mapping[str, Features]],
) -> tuple[Sets, FidResult | None]:
    """Return the values of set measures, and the FID if one of them is that.

    `clips`: those that were to be scored. `scored`: the SHA-256 of each scored clip's file, by id. `features`: by
    measure and by the id of the clip, in natural order.
    """
    values: dict[str, StoredSetValue] = {}
    missing: dict[str, str] = {}
    fid: FidResult | None = None
    for name, measure in measures.of_sets().items():
        held = features.get(name, {})
        try:
            found = value_of(measure, held)
        except NoValueError as error:
            missing[name] = str(error)
            continue
        if isinstance(found, FidResult) and fid is not None:
            missing[name] = "a run has one FID, and another measure gives it"
        elif isinstance(found, FidResult):
            fid = found.of_files(
                digest_of_digests(digest for digest in scored.values() if digest is not None),
                digest_of_digests(file_digest(path) for path in _sources(measures, clips, set(held))),
            )
        else:
            values[name] = found
    return Sets(values=values, missing=missing), fid


def value_of(measure: SetMeasure, features: Mapping[str, Features]) -> StoredSetValue | FidResult:
    """Return the value of a measure. Raises NoValueError, with a reason, if it has none."""
    if not features:
        raise NoValueError("no clip has features; missing in records.jsonl says why")
    try:
        found = measure.combine(features)
        return found if isinstance(found, FidResult) else _stored(found, len(features))
    except NoValueError:
        raise
    except Exception as error:  # noqa: BLE001 - a measure can raise anything, and return anything
        raise NoValueError(f"{type(error).__name__}: {error}") from None


def _stored(found: SetValue, clips: int) -> StoredSetValue:
    """Return a value as it is stored. Raises NoValueError if it is not finite or its error is negative."""
    value, error = float(found.value), found.standard_error
    if not np.isfinite(value):
        raise NoValueError(f"the value is {value}")
    if error is not None and not 0 <= float(error) < np.inf:
        raise NoValueError(f"the standard error is {error}")
    warnings = [found.warnings] if isinstance(found.warnings, str) else list(found.warnings)
    return StoredSetValue(
        value=value,
        standard_error=None if error is None else float(error),
        error_method=found.error_method,
        clips=clips,
        warnings=warnings,
    )


def _sources(measures: Measures, clips: Sequence[ListedClip], ids: set[str]) -> Iterator[Path]:
    """Yield the source videos of some clips, each once."""
    originals = measures.originals
    assert originals is not None
    yield from dict.fromkeys(originals.source(clip) for clip in clips if clip.id in ids)
