"""The generators on a device: pictures of the small trained networks against float64 on the CPU, and how many faces a
second the full-size ones draw. Networks filled by formula have learnt nothing and saturate: their errors mean little.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import checkout  # noqa: F401 - first
import torch
from parts import ROOT, Row, Setting, dtype_of, filled, relative, tf32, uniform, whole
from torch import Tensor, nn

from lse_bench.baselines.fused import ready
from lse_bench.baselines.lipgan import model as lipgan
from lse_bench.baselines.lipgan.weights import load_generator
from lse_bench.baselines.speech2vid.model import DEBLURRED, PREDICTION, deblur_layers, generator_layers
from lse_bench.baselines.speech2vid.passes import fresh
from lse_bench.baselines.speech2vid.weights import load_deblurring
from lse_bench.baselines.speech2vid.weights import load_network as load_speech2vid
from lse_bench.baselines.wav2lip import model as wav2lip
from lse_bench.baselines.wav2lip.weights import load_network as load_wav2lip

WEIGHTS = ROOT / "lse_bench" / "weights"
BRANCH: lipgan.Branch = "fully_pythonic"  # of the small trained network


@dataclass(frozen=True, slots=True)
class Kind:
    """A generator: the small trained network, the full-size one, `fast` to make it draw on a device, its inputs."""

    trained: Callable[[], nn.Module]
    whole: Callable[[], nn.Module]
    fast: Callable[[nn.Module, str], nn.Module]
    inputs: Callable[[int], tuple[Tensor, ...]]


class Speech2Vid(nn.Module):
    """The generator and what sharpens its pictures."""

    def __init__(self, generator: nn.Module, deblur: nn.Module) -> None:
        super().__init__()
        self.generator, self.deblur = generator, deblur

    def forward(self, sound: Tensor, face: Tensor) -> Tensor:
        """Pictures, 0-1."""
        drawn = self.generator({"input_audio": sound, "input_face": face})
        sharpened: Tensor = (drawn + self.deblur({"input_lip": drawn})).clamp(0, 1)
        return sharpened


KINDS = {
    "draw-wav2lip": Kind(
        lambda: load_wav2lip(WEIGHTS / "wav2lip-mini.safetensors"),
        lambda: filled(wav2lip.Generator()),
        wav2lip.fast,  # type: ignore[arg-type]
        lambda size: (uniform(size, 1, 80, 16, low=-4, high=4), uniform(size, 6, 96, 96)),
    ),
    "draw-lipgan": Kind(
        lambda: load_generator(WEIGHTS / "lipgan-mini.safetensors", BRANCH),
        lambda: filled(lipgan.Generator(BRANCH)),
        lipgan.fast,  # type: ignore[arg-type]
        lambda size: (uniform(size, 6, 96, 96), uniform(size, 1, *lipgan.SOUND_SHAPE[BRANCH], low=-4, high=4)),
    ),
    "draw-speech2vid": Kind(
        lambda: Speech2Vid(
            load_speech2vid(WEIGHTS / "speech2vid-mini.safetensors"),
            load_deblurring(WEIGHTS / "speech2vid-deblur-mini.safetensors"),
        ),
        lambda: Speech2Vid(fresh(generator_layers(), PREDICTION), fresh(deblur_layers(), DEBLURRED)),
        lambda network, device: network.to(device),
        lambda size: (uniform(size, 1, 12, 35, low=-5, high=5), whole(size, 15, 112, 112).float()),
    ),
}


def generator(name: str, setting: Setting) -> list[Row]:
    """Rows of a generator by its name."""
    kind = KINDS[name]
    trained = kind.trained().eval().requires_grad_(False)
    large = trained if setting.small else kind.whole().eval().requires_grad_(False)
    with torch.inference_mode():
        exact = ready(copy.deepcopy(trained).double(), "cpu")(*(value.double() for value in kind.inputs(2)))
    rows = []
    for precision in setting.precisions:
        dtype = dtype_of(precision)
        small, draw = (kind.fast(copy.deepcopy(one).to(dtype), setting.device) for one in (trained, large))
        with tf32(precision == "tf32"), torch.inference_mode():
            error = relative(small(*(value.to(setting.device, dtype) for value in kind.inputs(2))), exact)
            for size in setting.sizes(8, 64, on_cpu=8):
                load = [value.to(setting.device, dtype) for value in kind.inputs(size)]
                with setting.peak() as gib:
                    seconds = setting.seconds(lambda draw=draw, load=load: draw(*load))  # type: ignore[misc]
                    rows.append(Row(precision, size, size / seconds, "faces", error, gib()))
    return rows
