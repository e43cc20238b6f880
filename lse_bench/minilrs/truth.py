"""The ground truth of MiniLRS clips: boxes, landmarks, lips, head pose, phonemes and words, one .npz file per clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.minilrs.render import Truth
from lse_bench.minilrs.speech import Timed
from lse_bench.minilrs.summary import FOLDER
from lse_bench.minilrs.visemes import PARAMETERS, LipTrack
from lse_bench.storage import replacing


def truth_path(clip: Path, root: Path) -> Path:
    """Return the path of the truth file of `clip`, a file of the corpus in `root`."""
    return root / FOLDER / "truth" / clip.relative_to(root).with_suffix(".npz")


def write_truth(
    path: Path,
    truths: list[Truth],
    lips: LipTrack,
    poses: NDArray[np.float32],
    phonemes: list[Timed],
    words: list[Timed],
) -> bytes:
    """Write the truth file and return its numbers as bytes, for the digest."""
    arrays: dict[str, NDArray[Any]] = {
        "boxes": np.round(np.stack([truth.box for truth in truths]), 2),
        "landmarks": np.round(np.stack([truth.landmarks for truth in truths]), 2),
        "lips": np.round(lips, 4),
        "poses": np.round(poses, 4),
        "phoneme_times": np.round([(item.start, item.end) for item in phonemes], 4).reshape(-1, 2),
        "word_times": np.round([(item.start, item.end) for item in words], 4).reshape(-1, 2),
    }
    names: dict[str, NDArray[Any]] = {
        "lip_parameters": np.array(PARAMETERS),
        "phonemes": np.array([item.name for item in phonemes], dtype=np.str_),
        "words": np.array([item.name for item in words], dtype=np.str_),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays, **names)
    return b"".join(array.tobytes() for array in arrays.values())
