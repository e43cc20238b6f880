"""Non-maximum suppression against the rule written out, for crowds of boxes and for odd ones."""

from __future__ import annotations

import numpy as np
import pytest

from lse_bench.faces.face import suppress


def written_out(boxes: np.ndarray, scores: np.ndarray, limit: float, pixel: float) -> list[int]:
    waiting = sorted(range(len(boxes)), key=lambda place: (scores[place], place), reverse=True)
    kept: list[int] = []
    while waiting:
        best = waiting.pop(0)
        kept.append(best)
        waiting = [other for other in waiting if share(boxes[best], boxes[other], pixel) <= limit]
    return kept


def share(one: np.ndarray, other: np.ndarray, pixel: float) -> float:
    sides = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]) + pixel, 0)
    areas = [np.prod(box[2:] - box[:2] + pixel) for box in (one, other)]
    both = areas[1] - np.prod(sides) + areas[0]
    return float(np.prod(sides) / both) if both else float("nan")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("limit", "pixel"), [(0.3, 0.0), (0.1, 1.0)])
def test_boxes_are_kept_by_the_rule(seed: int, limit: float, pixel: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 100, (150, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 30, (150, 2))], axis=1)
    boxes[:5] = boxes[5]  # equal boxes
    boxes[10:14, 2:] = boxes[10:14, :2]  # without area
    scores = np.round(rng.uniform(0, 1, 150), 1)  # many are equal
    wanted = written_out(boxes, scores, limit, pixel)
    assert suppress(boxes, scores, limit, pixel).tolist() == wanted
    assert suppress(boxes, scores, limit, pixel, most=20).tolist() == wanted[:20]
    assert suppress(boxes[:0], scores[:0], limit).tolist() == []
