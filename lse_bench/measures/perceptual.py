"""LPIPS: the distance of two pictures in the features of a network, weighed as people judge."""

from __future__ import annotations

import math
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lse_bench.errors import UsageError
from lse_bench.measures.interface import Measure, MeasuredClip, Meter, Need, NoValueError, needs_original
from lse_bench.media.video import Frame
from lse_bench.weights.readers import file_digest, read_torch
from lse_bench.weights.store import path_of, state_of
from lse_bench.weights.table import entry

if TYPE_CHECKING:
    import torch

BACKBONE = "alexnet"
_TAPS = (1, 4, 7, 9, 11)  # the layers of AlexNet behind which features are compared, each a ReLU
_MIDDLE, _SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of RGB from -1 to 1


class Lpips(Measure):
    """Learned perceptual distance of the whole frame to the original, by AlexNet: the mean over frames."""

    name = "lpips"
    needs: frozenset[Need] = frozenset({"frames", "original"})
    higher_is_better = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    licence = "BSD-3-Clause (AlexNet of torchvision, a download); BSD-2-Clause (the heads, in torchmetrics)"
    sources = ("Zhang and others, 2018, version 0.1, AlexNet", "lpips 0.1.4")
    packages: ClassVar[dict[str, str]] = {"torchmetrics": "measures", "torchvision": "fid"}
    weights = (BACKBONE,)

    def __init__(self) -> None:
        """Find the weights. Raises UsageError if the backbone is not in the folder of weights."""
        if state_of(entry(BACKBONE)) != "ok":
            raise UsageError(f"the measure lpips needs AlexNet's weights: lse-bench weights fetch {BACKBONE}")
        self._backbone, self._heads = path_of(entry(BACKBONE)), _heads_path()

    @property
    def settings(self) -> dict[str, str]:
        return {"region": "frame", "net": f"alex-{file_digest(self._backbone)[:8]}-{file_digest(self._heads)[:8]}"}

    def start(self, clip: MeasuredClip) -> Meter:
        needs_original(clip)
        return _LpipsMeter(self._network)

    @cached_property
    def _network(self) -> PerceptualDistance:
        return PerceptualDistance(read_torch(self._backbone), read_torch(self._heads))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the network, which other processes load themselves."""
        return {name: value for name, value in self.__dict__.items() if name != "_network"}


class PerceptualDistance:
    """The network. `backbone`: AlexNet's state dict, with torchvision's names. `heads`: the weights of the features."""

    def __init__(self, backbone: dict[str, torch.Tensor], heads: dict[str, torch.Tensor]) -> None:
        import torch
        import torchvision

        network = torchvision.models.alexnet(weights=None).features
        wanted = network.state_dict()
        network.load_state_dict({name: backbone[f"features.{name}"] for name in wanted})
        self._layers = network.eval().requires_grad_(False)
        self._heads = [heads[f"lin{number}.model.1.weight"] for number in range(len(_TAPS))]
        self._middle, self._spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MIDDLE, _SPREAD))

    def __call__(self, frame: Frame, original: Frame) -> float:
        """Return the distance of two BGR frames (H,W,3) uint8."""
        import torch

        with torch.inference_mode():
            pair = np.stack([frame, original])[..., ::-1].transpose(0, 3, 1, 2)
            x = (torch.from_numpy(np.ascontiguousarray(pair)).float() / 127.5 - 1 - self._middle) / self._spread
            total = 0.0
            heads = iter(self._heads)
            for number, layer in enumerate(self._layers):
                x = layer(x)
                if number in _TAPS:
                    unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
                    weighed = (unit[:1] - unit[1:]).square() * next(heads)
                    total += float(weighed.sum(dim=1).mean())
            return total


class _LpipsMeter(Meter):
    def __init__(self, network: PerceptualDistance) -> None:
        self._network = network
        self._values: list[float] = []

    def frame(self, frame: Frame, original: Frame | None) -> None:
        assert original is not None
        if frame.shape != original.shape:
            raise NoValueError("the picture has another size than the original")
        if min(frame.shape[:2]) < 32:
            raise NoValueError("the picture is smaller than 32 pixels")
        self._values.append(self._network(frame, original))

    def finish(self) -> float:
        if not self._values:
            raise NoValueError("no frames")
        return math.fsum(self._values) / len(self._values)


def _heads_path() -> Path:
    """Return the file of the heads in the package torchmetrics."""
    spec = find_spec("torchmetrics")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / "alex.pth"
