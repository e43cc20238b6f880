"""A stored run as one object: description, records, summary, and what other measures say of the same videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lse_bench.errors import UsageError
from lse_bench.fidelity.results import FdSyncResult, FidResult
from lse_bench.runs.directory import SUMMARY_FILE, read_description
from lse_bench.runs.records import read_records
from lse_bench.runs.schema import MetricSummary, Record, RunDescription, Scores, Summary
from lse_bench.runs.summary import summarise
from lse_bench.storage import read_object
from lse_bench.stored import read_stored

if TYPE_CHECKING:
    import pandas as pd

Extra = FidResult | FdSyncResult
EXTRAS = {"fid": "fid.json", "fd_sync": "fd_sync.json"}  # results of other commands that may lie in a run directory
_NO_COLUMNS = {"curve", "tracks", "warnings", "groups"}  # of a data frame; groups become columns of their own


@dataclass(frozen=True, slots=True)
class Run:
    """The result of scoring a list of clips.

    `method`, `corpus`: names in tables. `path`: the run directory, None where nothing was stored. `extras`: what
    fid.json and fd_sync.json say of the same videos, where there are; `extra_files`: the files that hold them.
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
        """What a message calls it: its folder, or its method."""
        return self.method if self.path is None else str(self.path)

    @property
    def folder(self) -> Path:
        """The run directory. Raises UsageError where nothing was stored."""
        if self.path is None:
            raise UsageError(f"{self.method}: was not stored; pass out= to evaluate")
        return self.path

    @property
    def table(self) -> tuple[str, str]:
        """Which table it stands in: corpus and protocol."""
        return self.corpus, self.description.protocol

    @property
    def lse_d(self) -> MetricSummary:
        """Mean LSE-D with its interval; lower is better."""
        return self.summary.lse_d

    @property
    def lse_c(self) -> MetricSummary:
        """Mean LSE-C with its interval; higher is better."""
        return self.summary.lse_c

    @property
    def offset(self) -> MetricSummary:
        """Mean AV offset in frames of 40 ms; positive: the sound comes early."""
        return self.summary.offset

    @property
    def fid(self) -> float | None:
        """FID against the originals; lower is better; None where it was not computed."""
        return one.fid if isinstance(one := self.extras.get("fid"), FidResult) else None

    @property
    def fid_id(self) -> str | None:
        """Everything that moves the FID; None where it was not computed."""
        return one.fid_id if isinstance(one := self.extras.get("fid"), FidResult) else None

    @property
    def kid(self) -> float | None:
        """KID against the originals; lower is better; None where it was not computed."""
        return one.kid if isinstance(one := self.extras.get("fid"), FidResult) else None

    @property
    def fd_sync(self) -> float | None:
        """Fréchet distance of SyncNet's lip embeddings; lower is better; None where it was not computed."""
        return one.fd_sync if isinstance(one := self.extras.get("fd_sync"), FdSyncResult) else None

    @property
    def signature(self) -> str:
        """Protocol, scorer, frame rate, precision and version in one line for a paper."""
        return self.summary.signature or ""

    def with_extras(self, extras: Mapping[str, Extra]) -> Run:
        """The same run with these results of other measures, by name in `EXTRAS`."""
        return replace(self, extras=extras)

    def to_frame(self, curves: bool = False) -> pd.DataFrame:
        """A pandas data frame with a row for each clip, failures included.

        Columns: `method`, `corpus`, then the fields of `Record`; `warnings` as one text; each group (`video`, `sound`,
        `speaker`) as `group_…`. `curves`: also `curve_-15` to `curve_+15`. Missing values are `NA`.
        """
        import pandas as pd

        rows = []
        for record in self.records:
            row: dict[str, Any] = {"method": self.method, "corpus": self.corpus}
            row |= record.model_dump(exclude=_NO_COLUMNS)
            row["warnings"] = "; ".join(record.warnings)
            row |= {f"group_{name}": value for name, value in record.groups.items()}
            if curves and record.curve is not None:
                row |= {f"curve_{place - 15:+d}": value for place, value in enumerate(record.curve)}
            rows.append(row)
        columns = ["method", "corpus", *(name for name in Record.model_fields if name not in _NO_COLUMNS), "warnings"]
        found = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
        frame = pd.DataFrame(rows, columns=found)
        numbers = {name for name in Scores.model_fields if name != "curve"} | {"frames", "fps", "seconds"}
        return frame.astype({name: _dtype_of(name) for name in found if name in numbers}).convert_dtypes()


def _dtype_of(name: str) -> str:
    return "Int64" if name in ("offset", "offset_valid", "windows", "frames") else "Float64"


def run_of(
    description: RunDescription,
    records: Sequence[Record],
    listed: int,
    path: Path | None = None,
    method: str | None = None,
    corpus: str | None = None,
    extra_files: Mapping[str, Path] | None = None,
) -> Run:
    """A run of its parts; the summary is computed from the records."""
    origin = description.generation
    fallback = "clips" if path is None else path.name
    files = dict(extra_files or {})
    return Run(
        method or (origin.generator if origin is not None else fallback),
        corpus or (origin.manifest.name if origin is not None else "clips"),
        path,
        description,
        records,
        summarise(records, listed, description),
        {name: _read_extra(name, file) for name, file in files.items()},
        files,
    )


def read_run(
    run: Path | str,
    method: str | None = None,
    corpus: str | None = None,
    extra_files: Mapping[str, Path] | None = None,
) -> Run:
    """Read a run directory. `method`, `corpus`: names in tables; by default the generator's and the manifest's.
    `extra_files`: by name in `EXTRAS`; by default those that lie in the run directory.

    Raises UsageError for what is no run directory, is damaged, or was written by a version with another schema.
    """
    run = Path(run)
    description, records = read_description(run), read_records(run)
    again = "the command that made it goes on with it"
    listed = read_object(run / SUMMARY_FILE, again).get("listed")
    if not isinstance(listed, int):
        raise UsageError(f"{run / SUMMARY_FILE}: damaged: listed is {listed!r}; {again}")
    if extra_files is None:
        extra_files = {name: run / file for name, file in EXTRAS.items() if (run / file).exists()}
    return run_of(description, records, listed, run, method, corpus, extra_files)


def _read_extra(name: str, path: Path) -> Extra:
    """A fid.json or fd_sync.json. Raises UsageError when it is damaged."""
    if name == "fid":
        return read_stored(path, FidResult, "lse-bench fid makes it again")
    return read_stored(path, FdSyncResult, "lse-bench fd-sync makes it again")
