"""FID, KID and FVD of the scored clips against their source videos, in the pass that scores them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.measures.interface import Features, MeasuredClip, Need, NoValueError, SetMeasure, SetMeter, SetValue
from lse_bench.media.video import Frame
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import path_of, state_of
from lse_bench.weights.table import entry

if TYPE_CHECKING:  # torch is imported when a measure begins, not when measures are listed
    from lse_bench.fidelity.fid import FidProtocol, FrameSet
    from lse_bench.fidelity.i3d import I3d
    from lse_bench.fidelity.inception import FidInception
    from lse_bench.fidelity.results import FidResult
    from lse_bench.fidelity.work import ItemFeatures

GROUPS = 5  # of the jackknife over clips
_PIECE = 16  # frames: I3D's


class _OfSets(SetMeasure):
    """A distance between the frames of clips and those of their source videos, by one network."""

    needs: frozenset[Need] = frozenset({"frames", "source"})
    higher_is_better = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    network: ClassVar[str]
    """The name of the network in the id."""

    def __init__(self) -> None:
        """Find the weights. Raises UsageError if they are not in the folder of weights."""
        (name,) = self.weights
        if state_of(entry(name)) != "ok":
            raise UsageError(f"the measure {self.name} needs weights: lse-bench weights fetch {name}")
        self._path = path_of(entry(name))

    @property
    def settings(self) -> dict[str, str]:
        return {"region": "frame", "resize": "bilinear", "net": f"{self.network}-{file_digest(self._path)[:8]}"}

    def rounding(self, clips: Mapping[str, Features]) -> float:
        """Return 2e-7 of the traces of both covariances.

        The zero eigenvalues of a set with few frames move a distance by about 1e-7 of the traces (`fidelity.frechet`).
        The jackknife's error is at most the root of 4 times the largest of its distances' errors, with five groups.
        """
        sides = ([one.ours for one in clips.values()], [one.theirs for one in clips.values()])
        return 2e-7 * sum(float(np.concatenate(rows).astype(np.float64).var(axis=0, ddof=1).sum()) for rows in sides)


class Fid(_OfSets):
    """Fréchet Inception distance of all frames to those of the source videos, and KID."""

    name = "fid"
    licence = "Apache-2.0 (Inception of pytorch-fid, a download)"
    sources = ("Heusel and others, 2017", "pytorch-fid 0.3", "KID: Bińkowski and others, 2018")
    deviations = "Frames come 25 a second. Each clip brings the frames of its source video, as often as it is used."
    packages: ClassVar[dict[str, str]] = {"pytorch_fid": "fid"}
    weights = ("inception",)
    network = "inception"

    def start(self, clip: MeasuredClip) -> SetMeter:
        return _FrameMeter(_inception(self._path, clip.device))

    @property
    def protocol(self) -> FidProtocol:
        """The settings of the FID."""
        from lse_bench.fidelity.fid import FidProtocol

        return FidProtocol(file_digest(self._path), reference_frames="matched")

    def combine(self, clips: Mapping[str, Features]) -> FidResult:
        from lse_bench.fidelity.fid import compare
        from lse_bench.fidelity.kid import SEED

        return compare(*_sets(clips, "frames"), self.protocol, SEED)


class FidMini(Fid):
    """FID and KID by inception-mini, the small network of this project: never beside those of Inception."""

    name = "fid_mini"
    licence = "that of LSE-Bench (inception-mini, shipped)"
    weights = ("inception-mini",)


class Fvd(_OfSets):
    """Fréchet distance of pieces of 16 frames to those of the source videos, by I3D."""

    name = "fvd"
    licence = "not stated with the file (I3D, a download)"
    sources = ("Unterthiner and others, 2018", "docs/score.md")
    deviations = "Frames come 25 a second. Each clip brings the pieces of its source video, as often as it is used."
    weights = ("i3d",)
    network = "i3d"

    def start(self, clip: MeasuredClip) -> SetMeter:
        return _PieceMeter(_i3d(self._path, clip.device))

    def combine(self, clips: Mapping[str, Features]) -> SetValue:
        from lse_bench.fidelity.fvd import compare_videos

        found = compare_videos(*_sets(clips, f"pieces of {_PIECE} frames"), file_digest(self._path))
        assert found.fvd is not None
        return SetValue(found.fvd, found.fvd_standard_error, found.fvd_error_method, tuple(found.warnings))


def _sets(clips: Mapping[str, Features], what: str) -> tuple[FrameSet, FrameSet]:
    """Return the statistics of the clips and of their source videos. Raises NoValueError if there are too few."""
    from lse_bench.fidelity.fid import gathered
    from lse_bench.fidelity.sources import FrameCount
    from lse_bench.fidelity.work import ItemFeatures

    def items(rows: Iterable[NDArray[np.float32]]) -> Iterator[ItemFeatures]:
        return (ItemFeatures([one], FrameCount(len(one))) for one in rows)

    try:
        return (
            gathered(items(one.ours for one in clips.values()), list(clips), GROUPS, what),
            gathered(items(one.theirs for one in clips.values()), list(clips), GROUPS, what),
        )
    except UsageError as error:
        raise NoValueError(str(error)) from None


@cache
def _inception(path: Path, device: str) -> FidInception:
    from lse_bench.fidelity.inception import FidInception

    return FidInception.load(path, device)


@cache
def _i3d(path: Path, device: str) -> I3d:
    from lse_bench.fidelity.i3d import I3d

    return I3d.load(path, device)


class _BatchMeter(SetMeter):
    """Collects the frames of a clip and of its source until there is a batch, RGB."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._frames: tuple[list[Frame], list[Frame]] = ([], [])
        self._rows: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])

    @abstractmethod
    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (n,D) of a batch (N,H,W,3)."""

    def frame(self, frame: Frame, original: Frame | None) -> None:
        assert original is not None
        for which, picture in enumerate((frame, original)):
            waiting = self._frames[which]
            if waiting and waiting[0].shape != picture.shape:
                self.changed(which)
            waiting.append(np.ascontiguousarray(picture[:, :, ::-1]))
            if len(waiting) == self._size:
                self.flush(which)

    def changed(self, which: int) -> None:
        """End a batch early, because the pictures change their size."""
        self.flush(which)

    def flush(self, which: int) -> None:
        """Compute the features of what waits."""
        self._rows[which].append(self.features(np.stack(self._frames[which])))
        self._frames[which].clear()

    def finish(self) -> Features:
        if not all(self._rows):
            raise NoValueError("no frames")
        ours, theirs = (np.concatenate(rows) for rows in self._rows)
        return Features(ours, theirs)


class _FrameMeter(_BatchMeter):
    """Takes the features of frames."""

    def __init__(self, network: FidInception) -> None:
        super().__init__(network.tile)
        self._network = network

    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._network.features(frames)

    def finish(self) -> Features:
        for which, waiting in enumerate(self._frames):
            if waiting:
                self.flush(which)
        return super().finish()


class _PieceMeter(_BatchMeter):
    """Takes the features of pieces of 16 frames, one after the other. The rest is left out."""

    def __init__(self, network: I3d) -> None:
        super().__init__(_PIECE)
        self._network = network

    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(self._network.features(frames)[None], np.float32)

    def changed(self, which: int) -> None:
        raise NoValueError("its pictures change their size")

    def finish(self) -> Features:
        if not all(self._rows):
            raise NoValueError(f"too short: a feature needs {_PIECE} frames")
        return super().finish()
