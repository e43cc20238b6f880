"""Writes `lipgan_tensorflow.json`: LipGAN's generator alone, trained for three steps by TensorFlow in float64.

From the folder `tests`, in an environment with TensorFlow (2.21) beside the project: `python
golden/generators/write_tensorflow.py`. The network is put together from the layer lists of the published code by
functions of TensorFlow, which also computes the gradients. Keras 2.2.4's Adam is written out.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))
from checkpoints import lipgan_inputs, write_lipgan  # noqa: E402 - of the tests

RATE, FIRST, SECOND, EPSILON, NORM = 1e-3, 0.9, 0.999, 1e-7, 1e-3


def forward(layers: list[dict[str, Any]], weights: dict[str, Any], inputs: dict[str, Any]) -> Any:
    """The picture that a network draws in training; channels last, as Keras has them."""
    made: dict[str, Any] = {}
    for layer in layers:
        name, kind = layer["layer"], layer["class"]
        given = [made[one] for one in layer["inputs"]]
        if kind == "InputLayer":
            y = inputs[name]
        elif kind == "Conv2D":
            y = tf.nn.conv2d(given[0], weights[f"{name}.weight"], layer["strides"], layer["padding"].upper())
            y = y + weights[f"{name}.bias"]
            y = tf.sigmoid(y) if layer["activation"] == "sigmoid" else y
        elif kind == "Conv2DTranspose":
            shape = [given[0].shape[0], *layer["output_shape"][1:]]
            where = (shape, layer["strides"], layer["padding"].upper())
            y = tf.nn.conv2d_transpose(given[0], weights[f"{name}.weight"], *where) + weights[f"{name}.bias"]
        elif kind == "BatchNormalization":
            mean, variance = tf.nn.moments(given[0], [0, 1, 2])
            scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
            y = tf.nn.batch_normalization(given[0], mean, variance, shift, scale, NORM)
        elif kind == "Activation":
            y = tf.nn.relu(given[0]) if layer["activation"] == "relu" else tf.sigmoid(given[0])
        elif kind == "Add":
            y = given[0] + given[1]
        elif kind == "Concatenate":
            y = tf.concat(given, -1)
        elif kind == "ZeroPadding2D":
            y = tf.pad(given[0], [[0, 0], *layer["padding"], [0, 0]])
        else:
            raise ValueError(f"no rule for a layer of class {kind}")
        made[name] = y
    return y


def errors(branch: str) -> list[float]:
    """Mean absolute errors at three steps."""
    layers = json.loads((FOLDER / f"lipgan_{branch}_residual_layers.json").read_text())["layers_in_file_order"]
    with tempfile.TemporaryDirectory() as folder:
        path = write_lipgan(Path(folder) / "weights.h5", f"{branch}_residual", tempered=False)
        with h5py.File(path) as file:
            weights = {
                weight["formula_name"]: tf.Variable(np.array(file[layer["layer"]][weight["name"]]), dtype=tf.float64)
                for layer in layers
                for weight in layer["weights"]
                if "moving" not in weight["name"]
            }
    given = {name: tf.constant(value.permute(0, 2, 3, 1).double().numpy()) for name, value in lipgan_inputs().items()}
    inputs = {"input_face": given["face"], "input_audio": given[branch]}
    mean = {name: tf.zeros_like(value) for name, value in weights.items()}
    square = dict(mean)
    found = []
    for step in (1, 2, 3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(forward(layers, weights, inputs) - given["target"]))
        found.append(float(loss))
        rate = RATE * (1 - SECOND**step) ** 0.5 / (1 - FIRST**step)
        for name, gradient in zip(weights, tape.gradient(loss, list(weights.values())), strict=True):
            mean[name] = FIRST * mean[name] + (1 - FIRST) * gradient
            square[name] = SECOND * square[name] + (1 - SECOND) * gradient**2
            weights[name].assign_sub(rate * mean[name] / (square[name] ** 0.5 + EPSILON))
    return found


def main() -> None:
    """Rewrite the figures; the words beside them stay."""
    path = FOLDER / "lipgan_tensorflow.json"
    content = json.loads(path.read_text())
    content["mae"] = {branch: errors(branch) for branch in ("master", "fully_pythonic")}
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
