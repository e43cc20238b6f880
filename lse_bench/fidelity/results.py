"""What fid.json and fd_sync.json hold. Fields that an older version did not write are null."""

from __future__ import annotations

from typing import Literal

from lse_bench.stored import Stored, Surroundings

SCHEMA = 2


class Counts(Stored):
    """What one of the two sets held."""

    clips: int | None = None
    """Clips that were read."""
    failed: dict[str, str] = {}
    """Clips that could not be read to their end, by id, and why."""
    files_sha256: str | None = None
    """Digest of the digests of all files; null for saved statistics."""


class FrameCounts(Counts):
    """A set of frames."""

    frames: int | None = None
    """Frames that were used; null for pytorch-fid's statistics, which do not say."""
    without_face: int | None = None
    """Frames that were left out, since no face was found."""
    sizes: dict[str, int] = {}
    """Clips of each size, as WIDTHxHEIGHT."""


class WindowCounts(Counts):
    """A set of SyncNet's windows."""

    windows: int | None = None
    """Windows of five frames."""


class FidResult(Surroundings):
    """FID and KID between two sets of frames."""

    schema_version: int | None = SCHEMA
    """Version of this format."""
    kind: Literal["fid"] = "fid"
    """FID."""
    fid_id: str | None = None
    """Everything that moves the number."""
    weights_sha256: str | None = None
    """Digest of Inception's weights."""
    fid: float | None = None
    """Fréchet distance of Inception's features; lower is better."""
    fid_standard_error: float | None = None
    """Its standard error; null with fewer than three groups of clips."""
    fid_error_method: str | None = None
    """How the standard error was found."""
    kid: float | None = None
    """Kernel distance; lower is better; null where a sample of features is missing."""
    kid_ci95: tuple[float, float] | None = None
    """Its 95 % interval."""
    kid_ci_method: str | None = None
    """How the interval was found."""
    seed: int | None = None
    """Of KID's subsets."""
    generated: FrameCounts | None = None
    """The first set."""
    reference: FrameCounts | None = None
    """The second set."""
    warnings: list[str] = []
    """What makes the number uncertain."""

    def of_files(self, generated: str | None, reference: str | None) -> FidResult:
        """The result, tied to the digests of the files that it was computed from."""
        return self.model_copy(
            update={
                "generated": _with_digest(self.generated, generated),
                "reference": _with_digest(self.reference, reference),
            }
        )


class FdSyncResult(Surroundings):
    """fd-sync between two sets of clips."""

    schema_version: int | None = SCHEMA
    """Version of this format."""
    kind: Literal["fd-sync"] = "fd-sync"
    """fd-sync."""
    fd_sync: float | None = None
    """Fréchet distance of SyncNet's lip embeddings; lower is better."""
    key: dict[str, str] = {}
    """Everything that moves the number."""
    generated: WindowCounts | None = None
    """The first set."""
    reference: WindowCounts | None = None
    """The second set."""
    warnings: list[str] = []
    """What makes the number uncertain."""

    def of_files(self, generated: str | None, reference: str | None) -> FdSyncResult:
        """The result, tied to the digests of the files that it was computed from."""
        return self.model_copy(
            update={
                "generated": _with_digest(self.generated, generated),
                "reference": _with_digest(self.reference, reference),
            }
        )


def _with_digest(counts: Counts | None, digest: str | None) -> Counts | None:
    return None if counts is None else counts.model_copy(update={"files_sha256": digest})
