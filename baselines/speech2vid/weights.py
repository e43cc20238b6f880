"""Speech2Vid's weights: the published MatConvNet files and the files of `lse-bench train`."""

from __future__ import annotations

from pathlib import Path

from lse_bench.baselines.speech2vid.graph import Graph
from lse_bench.baselines.speech2vid.model import DEBLURRED, PREDICTION, deblur_layers, generator_layers, net_of
from lse_bench.errors import WeightsError
from lse_bench.weights.matconvnet import read_dagnn
from lse_bench.weights.readers import read_metadata, read_torch

GENERATOR, DEBLUR = "speech2vid", "speech2vid-deblur"  # `lse_bench` in a trained file's metadata
_INPUTS = {"input_audio", "input_face"}


def load_network(path: Path | str) -> Graph:
    """Return the generator in a MatConvNet file or in a file of `lse-bench train speech2vid`.

    Raises WeightsError for another network or a layer that is not supported.
    """
    trained = _trained(path, GENERATOR)
    graph = trained or Graph(read_dagnn(path), PREDICTION, str(path))
    if set(graph.inputs) != _INPUTS:
        raise WeightsError(
            f"{path}: a MatConvNet network that takes {', '.join(graph.inputs)}. Speech2Vid's generator (v201.mat) "
            f"takes {' and '.join(sorted(_INPUTS))}"
        )
    return graph


def load_deblurring(path: Path | str) -> Graph:
    """Return the deblurring network (v114.mat) up to its last convolution, before any loss.

    Raises WeightsError for another network.
    """
    trained = _trained(path, DEBLUR)
    if trained is not None:
        return trained
    net = read_dagnn(path)
    last = [layer for layer in net.layers if layer.kind == "Conv"]
    if not last:
        raise WeightsError(f"{path}: a MatConvNet network without a convolution. Use v114.mat")
    graph = Graph(net, last[-1].outputs[0], str(path))
    if graph.inputs != ["input_lip"]:
        raise WeightsError(
            f"{path}: a MatConvNet network that takes {', '.join(graph.inputs)}. The deblurring network (v114.mat) "
            "takes input_lip"
        )
    return graph


def load_content(path: Path | str) -> tuple[Graph, tuple[str, ...]]:
    """Return the encoder of the content loss and the names of its ReLUs' variables.

    `path`: v201.mat or any MatConvNet network that takes `input_lip`. Raises WeightsError if no ReLU depends on
    `input_lip` alone.
    """
    net = read_dagnn(path)
    relus = []
    for layer in net.layers:
        if layer.kind == "ReLU":
            chain = net.ancestors(layer.outputs[0])
            made = {name for one in chain for name in one.outputs}
            if {name for one in chain for name in one.inputs} - made == {"input_lip"}:
                relus.append(layer.outputs[0])
    if not relus:
        raise WeightsError(f"{path}: no ReLU depends on input_lip alone, as the content loss needs; use v201.mat")
    return Graph(net, relus[-1], str(path)), tuple(relus)


def _trained(path: Path | str, kind: str) -> Graph | None:
    """Return the network in a file of `lse-bench train`, None if the file has no metadata.

    Raises WeightsError if the metadata are not of `kind`.
    """
    about = read_metadata(path)
    if not about:
        return None
    if about.get("lse_bench") != kind:
        what = about.get("lse_bench", "a network that lse-bench train did not make")
        raise WeightsError(f"{path}: safetensors of {what}, but {kind} is needed")
    layers = (generator_layers if kind == GENERATOR else deblur_layers)(float(about.get("width", 1)))
    entries = {name: value.float().numpy() for name, value in read_torch(path).items()}
    return Graph(net_of(layers, entries), PREDICTION if kind == GENERATOR else DEBLURRED, str(path))
