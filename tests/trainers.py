"""Tiny versions of every trainer, on prepared clips of the shared small corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lse_bench.baselines.lipgan import train as lipgan
from lse_bench.baselines.speech2vid import train as speech2vid
from lse_bench.baselines.speech2vid.alignment import AlignedCropper
from lse_bench.baselines.wav2lip import expert
from lse_bench.baselines.wav2lip import train as wav2lip
from lse_bench.manifests.layouts import read_corpus
from lse_bench.training.config import RunConfig, load_config
from lse_bench.training.croppers import BoxCropper
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.loop import Method, train
from lse_bench.training.prepare import Preparation, prepare

METHODS = ("expert", "wav2lip", "wav2lip-gan", "lipgan", "speech2vid", "speech2vid-deblur")
WIDTH = 1 / 16
_PACKAGES = {"expert": "wav2lip", "wav2lip-gan": "wav2lip", "speech2vid-deblur": "speech2vid"}
_KINDS: dict[str, type[RunConfig]] = {
    "expert": expert.ExpertConfig,
    "wav2lip": wav2lip.GeneratorConfig,
    "wav2lip-gan": wav2lip.GeneratorConfig,
    "lipgan": lipgan.LipGanConfig,
    "speech2vid": speech2vid.Speech2VidConfig,
    "speech2vid-deblur": speech2vid.DeblurConfig,
}
_EXPORTS = {
    "expert": expert.export,
    "wav2lip": wav2lip.export,
    "wav2lip-gan": wav2lip.export,
    "lipgan": lipgan.export,
    "speech2vid": speech2vid.export,
    "speech2vid-deblur": speech2vid.export,
}


def truth_boxes(corpus: Path) -> Path:
    """Where the boxes and landmarks of an LRS2-flavoured MiniLRS lie."""
    return corpus / "minilrs" / "truth" / "mvlrs_v1" / "main"


def prepared(corpus: Path, out: Path) -> Path:
    """`out/box` and `out/aligned`, cropped by the corpus's own boxes."""
    _, clips = read_corpus(corpus)
    for cropper in (BoxCropper(), AlignedCropper()):
        preparation = Preparation(cropper, "boxes", boxes=truth_boxes(corpus))
        prepare(clips, corpus, out / cropper.name, preparation)
    return out


def config_of(method: str, name: str = "mini", **changes: Any) -> Any:
    """A packaged config, cut down to seconds."""
    short: dict[str, Any] = {"width": WIDTH, "steps": 3, "validate_every": 3, "save_every": 3, "validation_clips": 2}
    short |= {"precision": "fp32", "warm_up": 0}
    if method == "expert":
        short |= {"clips": 2, "windows": 2, "guide": {"weight": 1, "steps": 2}}
    else:
        short |= {"batch": 3 if method in ("lipgan", "speech2vid") else 2}
    if method in ("wav2lip", "wav2lip-gan"):
        short |= {"lse_clips": 0, "sync": {"weight": 0.03, "start": 1}}
    if method in ("lipgan", "speech2vid"):
        short |= {"lse_clips": 0}
    package = f"lse_bench.baselines.{_PACKAGES.get(method, method)}"
    return load_config(f"{method}-{name}", _KINDS[method], package).changed(short | changes)


def method_of(name: str, config: Any, data: Path, weights: dict[str, Path], **options: Any) -> Method:
    """A trainer; `weights`: files that `weights_for` made."""
    if name == "expert":
        return expert.ExpertTraining(config, data / "box", **options)
    if name in ("wav2lip", "wav2lip-gan"):
        return wav2lip.GeneratorTraining(config, data / "box", weights["expert"], **options)
    if name == "lipgan":
        return lipgan.LipGanTraining(config, data / "box", **options)
    if name == "speech2vid":
        return speech2vid.Speech2VidTraining(config, data / "aligned", **options)
    return speech2vid.DeblurTraining(config, data / "aligned", weights["speech2vid"], **options)


def weights_for(data: Path, out: Path) -> dict[str, Path]:
    """Untrained weights of what other methods need."""
    found = {}
    for name in ("expert", "speech2vid"):
        config = config_of(name)
        networks = method_of(name, config, data, {}).networks()
        found[name] = export_of(name, networks, config, out / name)
    return found


def export_of(name: str, networks: Any, config: Any, out: Path) -> Path:
    """The weights that a trainer writes."""
    files: list[Path] = _EXPORTS[name](networks, config, out)  # type: ignore[operator]
    return files[0]


def run(method: Method, config: Any, out: Path, **options: Any) -> dict[str, float]:
    """Train on the CPU, in this process."""
    fabric = launch(Hardware("cpu", precision=config.precision))
    nothing = options.pop("on_step", lambda step, row: None)
    return train(fabric, method, config.schedule(), out, config.seed, 0, nothing, **options)
