"""FID and KID of the scored clips against their originals, in the pass that scores them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.fidelity.fid import FidProtocol, compare, gathered
from lse_bench.fidelity.kid import SEED
from lse_bench.fidelity.results import FidResult
from lse_bench.fidelity.sources import FrameCount
from lse_bench.fidelity.work import ItemFeatures
from lse_bench.measures.interface import Features, MeasuredClip, Need, NoValueError, SetMeasure, SetMeter
from lse_bench.media.video import Frame
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import path_of, state_of
from lse_bench.weights.table import entry

if TYPE_CHECKING:
    from lse_bench.fidelity.inception import FidInception

_GROUPS = 5  # of the jackknife over clips


class Fid(SetMeasure):
    """Fréchet Inception distance of all frames to those of the originals, and KID."""

    name = "fid"
    needs: frozenset[Need] = frozenset({"frames", "source"})
    higher_is_better = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    licence = "Apache-2.0 (Inception of pytorch-fid, a download)"
    sources = ("Heusel and others, 2017", "pytorch-fid 0.3", "KID: Bińkowski and others, 2018")
    deviations = "Frames come 25 a second. Each clip brings the frames of its own source video, as often as it is used."
    packages: ClassVar[dict[str, str]] = {"pytorch_fid": "fid"}
    weights = ("inception",)

    def __init__(self) -> None:
        """Find the weights. Raises UsageError if they are not in the folder of weights."""
        (name,) = self.weights
        if state_of(entry(name)) != "ok":
            raise UsageError(f"the measure {self.name} needs Inception's weights: lse-bench weights fetch {name}")
        self._path = path_of(entry(name))

    @property
    def settings(self) -> dict[str, str]:
        return {"region": "frame", "resize": "bilinear", "net": f"inception-{file_digest(self._path)[:8]}"}

    def start(self, clip: MeasuredClip) -> SetMeter:
        return _FrameMeter(_network(self._path, clip.device))

    def combine(self, clips: Mapping[str, Features]) -> FidResult:
        protocol = FidProtocol(file_digest(self._path), reference_frames="matched")
        try:
            ours = gathered((_item(one.ours) for one in clips.values()), list(clips), _GROUPS)
            theirs = gathered((_item(one.theirs) for one in clips.values()), list(clips), _GROUPS)
        except UsageError as error:
            raise NoValueError(str(error)) from None
        return compare(ours, theirs, protocol, SEED)


class FidMini(Fid):
    """FID and KID by inception-mini, the small network of this project: never beside those of Inception."""

    name = "fid_mini"
    licence = "that of LSE-Bench (inception-mini, shipped)"
    weights = ("inception-mini",)


def _item(rows: NDArray[np.float32]) -> ItemFeatures:
    return ItemFeatures([rows], FrameCount(len(rows)))


@cache
def _network(path: Path, device: str) -> FidInception:
    from lse_bench.fidelity.inception import FidInception

    return FidInception.load(path, device)


class _FrameMeter(SetMeter):
    """Takes features of frames in batches, each picture once."""

    def __init__(self, network: FidInception) -> None:
        self._network = network
        self._frames: tuple[list[Frame], list[Frame]] = ([], [])
        self._rows: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])

    def frame(self, frame: Frame, original: Frame | None) -> None:
        assert original is not None
        for which, picture in enumerate((frame, original)):
            waiting = self._frames[which]
            if waiting and waiting[0].shape != picture.shape:
                self._flush(which)
            waiting.append(np.ascontiguousarray(picture[:, :, ::-1]))
            if len(waiting) == self._network.tile:
                self._flush(which)

    def _flush(self, which: int) -> None:
        self._rows[which].append(self._network.features(np.stack(self._frames[which])))
        self._frames[which].clear()

    def finish(self) -> Features:
        for which, waiting in enumerate(self._frames):
            if waiting:
                self._flush(which)
        if not self._rows[0]:
            raise NoValueError("no frames")
        ours, theirs = (np.concatenate(rows) for rows in self._rows)
        return Features(ours, theirs)
