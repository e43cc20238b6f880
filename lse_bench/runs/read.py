"""Read a run directory into one object: description, records, summary, and FID and fd-sync of the same videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lse_bench.collecting import uncollected
from lse_bench.errors import UsageError
from lse_bench.fidelity.results import FdSyncResult, FidResult
from lse_bench.runs.directory import SUMMARY_FILE, read_description
from lse_bench.runs.records import read_records
from lse_bench.runs.schema import MetricSummary, Record, RunDescription, Scores, Summary
from lse_bench.runs.set_values import Sets, read_sets
from lse_bench.runs.summary import summarise
from lse_bench.runs.usage import RunUsage, read_usage
from lse_bench.storage import read_object
from lse_bench.stored import read_stored
from lse_bench.weights.table import name_of_digest

if TYPE_CHECKING:
    import pandas as pd

Extra = FidResult | FdSyncResult
EXTRAS = {"fid": "fid.json", "fd_sync": "fd_sync.json"}  # files of other commands that a run directory may hold
_NO_COLUMNS = {
    "curve",
    "tracks",
    "warnings",
    "groups",
    "search",
    "timeline",
    "measures",
    "missing",
}  # fields without a column of the same name in a data frame


@dataclass(frozen=True, slots=True)
class Run:
    """The result of scoring a list of clips.

    `method`, `corpus`: names in tables. `path`: the run directory; None if nothing was stored. `extras`: the contents
    of fid.json and fd_sync.json of the same videos, by name in `EXTRAS`. `extra_files`: the paths of these files.
    """

    method: str
    corpus: str
    path: Path | None
    description: RunDescription
    records: Sequence[Record]
    summary: Summary
    extras: Mapping[str, Extra] = field(default_factory=dict)
    extra_files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the run in messages: its folder, or its method if nothing was stored."""
        return self.method if self.path is None else str(self.path)

    @property
    def folder(self) -> Path:
        """The run directory. Raises UsageError if nothing was stored."""
        if self.path is None:
            raise UsageError(f"{self.method}: the run was not stored; pass out= to evaluate")
        return self.path

    @property
    def table(self) -> tuple[str, str]:
        """The table that the run belongs to: corpus and protocol."""
        return self.corpus, self.description.protocol

    @property
    def lse_d(self) -> MetricSummary:
        """The mean LSE-D with its 95 % interval. Lower is better."""
        return self.summary.lse_d

    @property
    def lse_c(self) -> MetricSummary:
        """The mean LSE-C with its 95 % interval. Higher is better."""
        return self.summary.lse_c

    @property
    def offset(self) -> MetricSummary:
        """The mean AV offset in frames of 40 ms, with its 95 % interval. Positive: the sound comes early."""
        return self.summary.offset

    @property
    def fid(self) -> float | None:
        """The FID against the original videos. Lower is better. None if it was not computed."""
        return one.fid if isinstance(one := self.extras.get("fid"), FidResult) else None

    @property
    def fid_id(self) -> str | None:
        """Every setting that changes the FID, as one text. None if the FID was not computed."""
        return one.fid_id if isinstance(one := self.extras.get("fid"), FidResult) else None

    @property
    def inception(self) -> str | None:
        """The name of the weights behind FID and KID. None without a FID, and for a file that is not in the table."""
        one = self.extras.get("fid")
        return name_of_digest(one.weights_sha256 or "") if isinstance(one, FidResult) else None

    @property
    def kid(self) -> float | None:
        """The KID against the original videos. Lower is better. None if it was not computed."""
        return one.kid if isinstance(one := self.extras.get("fid"), FidResult) else None

    @property
    def fd_sync(self) -> float | None:
        """The Fréchet distance of SyncNet's lip embeddings. Lower is better. None if it was not computed."""
        return one.fd_sync if isinstance(one := self.extras.get("fd_sync"), FdSyncResult) else None

    @property
    def signature(self) -> str:
        """The comparison key and the version in one line, for a paper."""
        return self.summary.signature or ""

    def with_extras(self, extras: Mapping[str, Extra]) -> Run:
        """Return the same run with the results `extras` of other measures, by name in `EXTRAS`."""
        return replace(self, extras=extras)

    def to_frame(self, curves: bool = False) -> pd.DataFrame:
        """Return a pandas data frame with one row per clip, including the failed ones.

        The columns are `method`, `corpus` and the fields of `Record` except `tracks`. `warnings` is one text. Each
        group (`video`, `sound`, `speaker`) is a column `group_…`. `curves`: add `curve_-15` to `curve_+15`. Missing
        values are `NA`.
        """
        import pandas as pd

        rows = []
        for record in self.records:
            row: dict[str, Any] = {"method": self.method, "corpus": self.corpus}
            row |= record.model_dump(exclude=_NO_COLUMNS)
            row["warnings"] = "; ".join(record.warnings)
            row |= {name: record.measures.get(name) for name in self.description.clip_measures}
            if record.search is not None:
                row["search_offset_ms"] = record.search.offset_ms
            if record.timeline is not None:
                row |= {"trend": record.timeline.trend, "ms_per_minute": record.timeline.ms_per_minute}
            row |= {f"group_{name}": value for name, value in record.groups.items()}
            if curves and record.curve is not None:
                row |= {f"curve_{place - 15:+d}": value for place, value in enumerate(record.curve)}
            rows.append(row)
        columns = ["method", "corpus", *(name for name in Record.model_fields if name not in _NO_COLUMNS), "warnings"]
        found = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
        frame = pd.DataFrame(rows, columns=found)
        numbers = {*Scores.model_fields, "frames", "fps", "seconds", "sound_stream", "sound_seconds", "start", "end"}
        numbers |= {"conversion_ms"}
        numbers |= set(self.description.clip_measures)
        numbers = numbers - {"curve", "offset_grade", "search", "timeline"} | {"search_offset_ms", "ms_per_minute"}
        return frame.astype({name: _dtype_of(name) for name in found if name in numbers}).convert_dtypes()


def _dtype_of(name: str) -> str:
    if name == "offset_r37":
        return "boolean"
    return "Int64" if name in ("offset", "offset_valid", "windows", "frames", "sound_stream") else "Float64"


def run_of(
    description: RunDescription,
    records: Sequence[Record],
    listed: int,
    path: Path | None = None,
    method: str | None = None,
    corpus: str | None = None,
    extra_files: Mapping[str, Path] | None = None,
    usage: RunUsage | None = None,
    sets: Sets | None = None,
) -> Run:
    """Make a run from its parts. The summary is computed from the records.

    `listed`: number of clips that were to be scored. `path`: the run directory; None if nothing is stored. `method`,
    `corpus`: names in tables; by default the generator's and the manifest's, if the clips were generated or adopted,
    else the folder's name (or `clips`) and `clips`. `extra_files`: by name in `EXTRAS`. `usage`: how long the run took.
    `sets`: the values of set measures. Raises UsageError if an extra file is damaged.
    """
    origin = description.generation
    made_of = origin or description.adopted
    fallback = "clips" if path is None else path.name
    files = dict(extra_files or {})
    return Run(
        method or (origin.generator if origin is not None else fallback),
        corpus or (made_of.manifest.name if made_of is not None else "clips"),
        path,
        description,
        records,
        summarise(records, listed, description, usage, sets),
        {name: _read_extra(name, file) for name, file in files.items()},
        files,
    )


@uncollected()
def read_run(
    run: Path | str,
    method: str | None = None,
    corpus: str | None = None,
    extra_files: Mapping[str, Path] | None = None,
) -> Run:
    """Read a run directory.

    `method`, `corpus`: names in tables; by default the generator's and the manifest's, if the clips were generated,
    else the folder's name and `clips`. `extra_files`: by name in `EXTRAS`; by default those in the run directory.

    Raises UsageError if `run` is not a run directory, is damaged, or was written by a version with another schema.
    """
    run = Path(run)
    description, records = read_description(run), read_records(run)
    again = "Run the same lse-bench score command again to finish it"
    if not (run / SUMMARY_FILE).is_file():
        raise UsageError(f"{run}: scoring has not ended, so there is no {SUMMARY_FILE}. {again}")
    listed = read_object(run / SUMMARY_FILE, again).get("listed")
    if not isinstance(listed, int):
        raise UsageError(f"{run / SUMMARY_FILE}: damaged: listed is {listed!r}. {again}")
    if extra_files is None:
        extra_files = extras_in(run)
    return run_of(description, records, listed, run, method, corpus, extra_files, read_usage(run), read_sets(run))


def extras_in(run: Path) -> dict[str, Path]:
    """Return the files of other results in a run directory, by name in `EXTRAS`."""
    return {name: run / file for name, file in EXTRAS.items() if (run / file).exists()}


def _read_extra(name: str, path: Path) -> Extra:
    """Read a fid.json or fd_sync.json. Raises UsageError if it is damaged."""
    if name == "fid":
        return read_stored(path, FidResult, "Run lse-bench fid again")
    return read_stored(path, FdSyncResult, "Run lse-bench fd-sync again")
