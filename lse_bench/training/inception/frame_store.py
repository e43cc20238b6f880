"""Single frames of a MiniLRS corpus with what its renderer knows about them, decoded once into arrays.

`frames.u8` holds the frames, BGR uint8, memory-mapped. `facts.npz` holds the numbers of each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.manifests.layouts import CorpusClip
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.identity import Identity
from lse_bench.minilrs.plan import Spec, plan_clips, speaker_of, spec_of_json
from lse_bench.minilrs.summary import read_summary
from lse_bench.minilrs.truth import truth_path
from lse_bench.rates import FRAME_RATE
from lse_bench.storage import read_arrays, replacing

_WAY_OUT = "Make the corpus again in a new folder"
FACTS = 21  # numbers of a frame: 7 of the lips, 3 of the pose, 8 of the person, 3 of the light


class FrameStore:
    """The stored frames.

    `boxes` (N,4) float32: the face's box, pixels. `who` (N,): the number of the speaker. `facts` (N, FACTS) float32.
    """

    def __init__(self, folder: Path) -> None:
        arrays = read_arrays(folder / "facts.npz", "Delete this folder; it is then made again")
        self.boxes: NDArray[np.float32] = arrays["boxes"]
        self.who: NDArray[np.int64] = arrays["who"]
        self.facts: NDArray[np.float32] = arrays["facts"]
        size = int(arrays["size"])
        shape = (len(self.who), size, size, 3)
        self.frames: NDArray[np.uint8] = np.memmap(folder / "frames.u8", np.uint8, "r", shape=shape)


def corpus_spec(root: Path) -> Spec:
    """Return the specification of the MiniLRS corpus in `root`. Raises UsageError if there is none."""
    summary = read_summary(root)
    if summary is None:
        raise UsageError(f"{root}: holds no finished MiniLRS corpus. Only its renderer knows what Inception is told")
    return spec_of_json(summary.spec)


def store_frames(
    clips: Sequence[CorpusClip], folder: Path, root: Path, every: int, on_clip: Callable[[], None] = lambda: None
) -> None:
    """Decode every `every`-th frame of `clips`, clips of the MiniLRS corpus in `root`, into `folder`.

    A folder that is finished is kept. Raises UsageError if there are no clips, and ClipError if one cannot be read.
    """
    if (folder / "facts.npz").exists():
        return
    if not clips:
        raise UsageError(f"{root}: there are no clips for {folder.name}")
    folder.mkdir(parents=True, exist_ok=True)
    spec = corpus_spec(root)
    speakers = {plan.path: plan.speaker for plan in plan_clips(spec)}
    boxes, who, facts, size = [], [], [], 0
    with (folder / "frames.u8").open("wb") as file:
        for clip in clips:
            number = speakers[clip.path.relative_to(root)]
            person = _person(speaker_of(spec, number).face)
            truth = read_arrays(truth_path(clip.path, root), _WAY_OUT)
            for at, frame in enumerate(read_frames(probe(clip.path), FRAME_RATE)):
                if at % every or at >= len(truth["boxes"]):
                    continue
                file.write(np.ascontiguousarray(frame).tobytes())
                size = len(frame)
                boxes.append(truth["boxes"][at])
                who.append(number)
                light = _light(frame, truth["boxes"][at])
                facts.append(np.concatenate([truth["lips"][at], truth["poses"][at], person, light]))
            on_clip()
    with replacing(folder / "facts.npz") as partial:
        np.savez(
            partial,
            allow_pickle=False,
            boxes=np.stack(boxes).astype(np.float32),
            who=np.array(who, np.int64),
            facts=np.stack(facts).astype(np.float32),
            size=np.array(size),
        )


def _person(face: Identity) -> NDArray[np.float64]:
    """Return skin and hair colour, beard and glasses."""
    return np.concatenate([face.skin, face.hair_colour, [face.beard, face.glasses]])


def _light(frame: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean BGR of the face's box, 0-1: skin colour, light and camera together."""
    left, top, right, bottom = np.clip(np.rint(box).astype(int), 0, len(frame))
    mean: NDArray[np.float64] = frame[top:bottom, left:right].mean(axis=(0, 1)) / 255
    return mean
