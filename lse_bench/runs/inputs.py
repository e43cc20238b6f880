"""The files of clips: whether they are those that were recorded, and how much work is in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.listed import ListedClip, state_of
from lse_bench.runs.outcomes import digest_or_none
from lse_bench.runs.schema import RecordHead


class Inputs:
    """The files of the clips of a run, to be compared with its records.

    `out`: the run directory, for messages. `clips`: the clips to score. `hash_all`: hash every file. Otherwise a file
    with the recorded size and time counts as unchanged, because hashing terabytes would take longer than scoring.
    """

    def __init__(self, out: Path, clips: Sequence[ListedClip], hash_all: bool) -> None:
        self._out, self._hash_all = out, hash_all
        self._clips = {clip.id: clip for clip in clips}

    def refuse_changed(self, record: RecordHead) -> None:
        """Raise UsageError if a file of a recorded clip has changed. The record would not belong to the new file."""
        clip = self._clips.get(record.id)
        if clip is None:
            return
        kept = (record.bytes, record.changed) == clip.state
        if kept and not self._hash_all and clip.sound is None and record.sound_sha256 is None:
            return  # nearly every record of a run with millions
        files = [(record.clip, clip.path, record.sha256, (record.bytes, record.changed), clip.state)]
        if clip.sound is not None:
            recorded = (record.sound_bytes, record.sound_changed)
            files.append((record.sound or clip.sound.name, clip.sound, record.sound_sha256, recorded, None))
        elif record.sound_sha256 is not None:
            self._refuse(record.sound or record.clip, record)
        for name, path, digest, recorded, listed in files:
            if not self._hash_all and recorded == (listed or state_of(path)):
                continue
            if digest_or_none(path) != digest:
                self._refuse(name, record)

    def _refuse(self, name: str, record: RecordHead) -> None:
        raise UsageError(
            f"{self._out}: {name} has changed since this run recorded it ({record.status}). The old result is "
            "not one of the new file; choose another --out"
        )


def work_in(clip: ListedClip) -> float:
    """Return how much work a clip is: the size of its file in bytes, 0 if it is not known.

    Clips of one kind have much the same bytes a second, so the longest ones can be handed out first.
    """
    state = clip.state or state_of(clip.path)
    return 0.0 if state is None else float(state.bytes)
