"""Speech2Vid's weights: the published MatConvNet files, and those that `train` writes."""

from __future__ import annotations

from pathlib import Path

from lse_bench.baselines.speech2vid.graph import Graph
from lse_bench.baselines.speech2vid.model import DEBLURRED, PREDICTION, deblur_layers, generator_layers, net_of
from lse_bench.errors import WeightsError
from lse_bench.weights.matconvnet import read_dagnn
from lse_bench.weights.readers import read_metadata, read_torch

GENERATOR, DEBLUR = "speech2vid", "speech2vid-deblur"  # what a trained file says it is
_INPUTS = {"input_audio", "input_face"}


def load_network(path: Path | str) -> Graph:
    """The generator in a MatConvNet file, or one of `train speech2vid`. Raises WeightsError for another network or a
    layer it does not know.
    """
    trained = _trained(path, GENERATOR)
    graph = trained or Graph(read_dagnn(path), PREDICTION, str(path))
    if set(graph.inputs) != _INPUTS:
        raise WeightsError(
            f"{path}: a MatConvNet network of {', '.join(graph.inputs)}; Speech2Vid's generator (v201.mat) takes "
            f"{' and '.join(sorted(_INPUTS))}"
        )
    return graph


def load_deblurring(path: Path | str) -> Graph:
    """The deblurring network (v114.mat): its last convolution, before any loss."""
    trained = _trained(path, DEBLUR)
    if trained is not None:
        return trained
    net = read_dagnn(path)
    last = [layer for layer in net.layers if layer.kind == "Conv"]
    if not last:
        raise WeightsError(f"{path}: a MatConvNet network without a convolution")
    graph = Graph(net, last[-1].outputs[0], str(path))
    if graph.inputs != ["input_lip"]:
        raise WeightsError(
            f"{path}: a MatConvNet network of {', '.join(graph.inputs)}; the deblurring one (v114.mat) takes input_lip"
        )
    return graph


def load_content(path: Path | str) -> tuple[Graph, tuple[str, ...]]:
    """The encoder of the content loss in v201.mat, or any MatConvNet network of `input_lip`, and its ReLUs' names."""
    net = read_dagnn(path)
    relus = []
    for layer in net.layers:
        if layer.kind == "ReLU":
            chain = net.ancestors(layer.outputs[0])
            made = {name for one in chain for name in one.outputs}
            if {name for one in chain for name in one.inputs} - made == {"input_lip"}:
                relus.append(layer.outputs[0])
    if not relus:
        raise WeightsError(f"{path}: no ReLU in it follows from input_lip alone; the content loss compares those")
    return Graph(net, relus[-1], str(path)), tuple(relus)


def _trained(path: Path | str, kind: str) -> Graph | None:
    """The network in a file of `lse-bench train`, None for other files."""
    about = read_metadata(path)
    if not about:
        return None
    if about.get("lse_bench") != kind:
        what = about.get("lse_bench", "no network of lse-bench train")
        raise WeightsError(f"{path}: safetensors, but {what}; {kind} is wanted")
    layers = (generator_layers if kind == GENERATOR else deblur_layers)(float(about.get("width", 1)))
    entries = {name: value.float().numpy() for name, value in read_torch(path).items()}
    return Graph(net_of(layers, entries), PREDICTION if kind == GENERATOR else DEBLURRED, str(path))
