"""What is drawn can be read: no label covers another, no method hides another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lse_bench.leaderboard.plots import _part


@pytest.mark.parametrize("gap", [0.0, 0.001, 1.0])
def test_no_label_covers_another(gap: float) -> None:
    axes = Figure(figsize=(6, 4), layout="constrained").add_subplot()
    points = {
        "Wav2Lip": (1.0, 1.0),
        "Wav2Lip+GAN": (1.0 + gap / 10, 1.0 + gap),
        "real": (3.0, 5.0),
        "LipGAN": (1.0, 0.99),
    }
    axes.plot(*zip(*points.values(), strict=True), "o")
    labels = [axes.annotate(name, point, xytext=(7, 5), textcoords="offset points") for name, point in points.items()]
    _part(axes, labels)
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    boxes = [Text.get_window_extent(label) for label in labels]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_each_method_has_a_strip_of_its_own() -> None:
    plot = (Path(__file__).parents[2] / "docs" / "miniature" / "plots" / "offsets-0.svg").read_text()
    heights = [float(found) for found in re.findall(r'id="ytick_\d+".*?y="([\d.]+)"', plot, re.DOTALL)]
    assert len(heights) == len(set(heights)) == 8
