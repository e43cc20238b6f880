"""The further measures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.fidelity import Fid
from lse_bench.measures.helpers import Helpers
from lse_bench.measures.interface import AnyMeasure, SetMeasure
from lse_bench.measures.originals import Originals
from lse_bench.measures.watch import ClipWatch
from lse_bench.runs.schema import MeasureAbout, Record

_TAKEN = {*Record.model_fields, "kid", "fd_sync"}


@dataclass(frozen=True)
class Measures:
    """Measures that watch each clip while it is scored.

    `measures`: the measures. `folder`: the untouched videos; None without any. `helpers`: the sources of landmarks,
    speech and phonemes. Raises UsageError if a source that a measure needs is missing, and if the folder holds no
    video, when it is first used.
    """

    measures: Sequence[AnyMeasure]
    folder: Path | None = None
    helpers: Helpers = field(default_factory=Helpers)

    def __post_init__(self) -> None:
        for one in self.measures:
            if one.name in _TAKEN:
                raise UsageError(
                    f"the measure {one.name} has the name of a field of every record; give it another name"
                )
        if len(names := [one.name for one in self.measures if isinstance(one, Fid)]) > 1:
            raise UsageError(f"{' and '.join(names)} both give the FID of a run; ask for one of them")
        self.helpers.refuse_missing(self.measures)

    @cached_property
    def originals(self) -> Originals | None:
        """The untouched videos by id."""
        return None if self.folder is None else Originals(self.folder)

    def about(self) -> dict[str, MeasureAbout]:
        """Return what run.json says of each measure."""
        return {
            one.name: MeasureAbout(
                id=self.helpers.id_of(one),
                unit=one.unit,
                higher_is_better=one.higher_is_better,
                licence=one.licence,
                deviations=one.deviations,
                of_sets=isinstance(one, SetMeasure),
            )
            for one in self.measures
        }

    def of_sets(self) -> dict[str, SetMeasure]:
        """Return the measures of the whole set, by name."""
        return {one.name: one for one in self.measures if isinstance(one, SetMeasure)}

    def fid_ids(self) -> set[str]:
        """Return the ids of the FIDs that these measures give."""
        return {one.protocol.id for one in self.measures if isinstance(one, Fid)}

    def watch(self, clip: ListedClip, device: str) -> ClipWatch:
        """Return what gets the frames and the sound of a clip. `device`: of the networks of measures."""
        return ClipWatch(self.measures, clip, self.originals, self.helpers, device)
