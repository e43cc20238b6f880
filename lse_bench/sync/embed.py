"""Compute the embeddings of whole clips, for measures that need more than the score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.media.clip_files import ClipFiles, files_of
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.syncnet import FastSyncNet
from lse_bench.sync.windows import Chunk, fill_lips, read_windows, sound_windows

Embeddings = NDArray[np.float64]


def embed_clip(scorer: SyncScorer, clip: ClipFiles | Path) -> tuple[Embeddings, Embeddings]:
    """Return the lip and the sound embeddings of a clip under the scorer's protocol, both (windows, D), float64.

    Raises ClipError if the clip cannot be scored, and UsageError if the protocol tracks faces.
    """
    if scorer.tracking is not None:
        raise UsageError(
            f"{scorer.protocol.id} can find several faces in a clip; embeddings need a protocol of whole frames"
        )
    lips, sounds = [], []
    for chunk in read_windows(files_of(clip), scorer.protocol, scorer.fps_policy, ClipFacts(), scorer.sound_stream):
        lip, sound = embed_chunk(scorer.network, chunk)
        lips.append(lip)
        sounds.append(sound)
    return np.concatenate(lips), np.concatenate(sounds)


def embed_chunk(network: FastSyncNet, chunk: Chunk) -> tuple[Embeddings, Embeddings]:
    """Return the lip and the sound embeddings of the n windows of a chunk, both (n, D), float64."""
    rows = network.empty_lips(len(chunk))
    fill_lips(rows, chunk)
    return network.lip(rows).numpy(), network.sound(sound_windows(chunk)).numpy()
