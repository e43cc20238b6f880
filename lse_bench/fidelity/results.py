"""The contents of fid.json, fd_sync.json and results of FVD. Fields that an older version did not write are null."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from lse_bench.stored import Stored, Surroundings

SCHEMA = 2


class Counts(Stored):
    """The counts of one of the two sets."""

    clips: int | None = None
    """Number of clips that were read to their end."""
    failed: dict[str, str] = {}
    """Clips that could not be read to their end, id to reason."""
    files_sha256: str | None = None
    """SHA-256 of the digests of all files; null for saved statistics."""


class FrameCounts(Counts):
    """The counts of a set of frames."""

    frames: int | None = None
    """Number of frames that were used; null for pytorch-fid's statistics, which do not give it."""
    without_face: int | None = None
    """Number of frames that were left out because no face was found."""
    sizes: dict[str, int] = {}
    """Number of frames of each size, by WIDTHxHEIGHT."""


class WindowCounts(Counts):
    """The counts of a set of SyncNet's windows."""

    windows: int | None = None
    """Number of windows of five frames."""


class PieceCounts(Counts):
    """The counts of a set of pieces of video."""

    pieces: int | None = None
    """Number of pieces of 16 frames."""


class Distance(Surroundings):
    """A distance between two sets."""

    newest_schema: ClassVar[int] = SCHEMA
    schema_version: int | None = None
    """Version of this format; null in files of versions that did not say."""
    generated: Counts | None = None
    """The first set."""
    reference: Counts | None = None
    """The second set."""
    warnings: list[str] = []
    """What makes the number uncertain."""

    def of_files(self, generated: str | None, reference: str | None) -> Self:
        """Return the result, tied to the digests of the files that it was computed from."""
        return self.model_copy(
            update={
                "generated": _with_digest(self.generated, generated),
                "reference": _with_digest(self.reference, reference),
            }
        )


class FidResult(Distance):
    """The FID and KID between two sets of frames."""

    kind: Literal["fid"] = "fid"
    """Kind of this file."""
    fid_id: str | None = None
    """The FID id: everything that changes the value."""
    weights_sha256: str | None = None
    """SHA-256 of Inception's weights."""
    fid: float | None = None
    """Fréchet distance of Inception's features. Lower is better."""
    fid_standard_error: float | None = None
    """Standard error of FID; null with fewer than three groups of clips."""
    fid_error_method: str | None = None
    """Method of the standard error."""
    kid: float | None = None
    """Kernel Inception distance. Lower is better. Null if a set has no sample of features."""
    kid_ci95: tuple[float, float] | None = None
    """95 % interval of KID."""
    kid_ci_method: str | None = None
    """Method of KID's interval."""
    seed: int | None = None
    """Random seed of KID's subsets."""
    generated: FrameCounts | None = None
    """The first set, the generated frames."""
    reference: FrameCounts | None = None
    """The second set, the reference frames."""


class FdSyncResult(Distance):
    """The fd-sync between two sets of clips."""

    kind: Literal["fd-sync"] = "fd-sync"
    """Kind of this file."""
    fd_sync: float | None = None
    """Fréchet distance of SyncNet's lip embeddings. Lower is better."""
    key: dict[str, str] = {}
    """The comparison key: everything that changes the value."""
    generated: WindowCounts | None = None
    """The first set, the generated clips."""
    reference: WindowCounts | None = None
    """The second set, the reference clips."""


class FvdResult(Distance):
    """The FVD between two sets of videos."""

    kind: Literal["fvd"] = "fvd"
    """Kind of this file."""
    fvd_id: str | None = None
    """The FVD id: everything that changes the value."""
    weights_sha256: str | None = None
    """SHA-256 of I3D's weights."""
    fvd: float | None = None
    """Fréchet distance of I3D's features. Lower is better."""
    fvd_standard_error: float | None = None
    """Standard error of FVD; null with fewer than three groups of clips."""
    fvd_error_method: str | None = None
    """Method of the standard error."""
    generated: PieceCounts | None = None
    """The first set, the generated videos."""
    reference: PieceCounts | None = None
    """The second set, the reference videos."""


def _with_digest(counts: Counts | None, digest: str | None) -> Counts | None:
    return None if counts is None else counts.model_copy(update={"files_sha256": digest})
