"""The file `minilrs/corpus.json` of a MiniLRS corpus."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from lse_bench.stored import Surroundings, read_stored

FOLDER, SUMMARY_FILE = "minilrs", "corpus.json"
SCHEMA = 2
WAY_OUT = "Make the corpus in a new folder"


class CorpusSummary(Surroundings):
    """A corpus: its specification and, if it is finished, counts and digests."""

    newest_schema: ClassVar[int] = SCHEMA
    schema_version: int | None = None
    """Version of this format; null in files of version 1."""
    kind: Literal["minilrs"] = "minilrs"
    """A MiniLRS corpus."""
    spec: dict[str, int | str | None]
    """Every field of the specification, and the version of the generator."""
    clips: int | None = None
    """Number of clips."""
    frames: int | None = None
    """Number of frames of all clips."""
    splits: dict[str, int] | None = None
    """Number of clips of each split."""
    digest: str | None = None
    """SHA-256 over the pixels before compression, samples, transcripts and truth of all clips."""
    files_digest: str | None = None
    """SHA-256 over the video files, which also depend on the version of FFmpeg."""

    @property
    def finished(self) -> bool:
        """Whether all clips were made."""
        return self.digest is not None


def summary_path(root: Path) -> Path:
    """Return where the summary of the corpus in `root` is."""
    return root / FOLDER / SUMMARY_FILE


def read_summary(root: Path) -> CorpusSummary | None:
    """Return the summary, or None if `root` holds no finished MiniLRS corpus. Raises UsageError if it is damaged."""
    path = summary_path(root)
    summary = read_stored(path, CorpusSummary, WAY_OUT) if path.is_file() else None
    return summary if summary is not None and summary.finished else None
