"""Lip movements from phonemes: viseme targets with coarticulation.

A lip track has seven parameters for each frame:

*jaw*, 0-1: the opening of the jaw.
*width*, -1 to 1: mouth corners drawn together (negative) or apart (positive).
*round*, 0-1: the protrusion of the lips.
*press*, 0-1: lips closed on each other (p, b, m).
*tuck*, 0-1: lower lip under the upper teeth (f, v).
*teeth*, 0-1: how much of the teeth the lips show.
*tongue*, 0-1: tip of the tongue raised towards the teeth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    from lse_bench.minilrs.speech import Timed

PARAMETERS = ("jaw", "width", "round", "press", "tuck", "teeth", "tongue")
JAW, WIDTH, ROUND, PRESS, TUCK, TEETH, TONGUE = range(7)
LipTrack = NDArray[np.float32]

_GRID = 200  # targets per second, before sampling at the frames
_LEAD = 0.02  # seconds by which lips are ahead of the sound
# The smoothing of each parameter: sigma in seconds. A lip closure is quick; rounding is slow.
_SIGMA = (0.030, 0.045, 0.045, 0.018, 0.022, 0.030, 0.028)
_PRESS_GAIN = 1.7  # so that a short closure still closes after smoothing

_REST = (0.01, 0.0, 0.0, 0.45, 0.0, 0.0, 0.0)
_TARGETS: dict[str, tuple[float, ...]] = {
    #          jaw   width round press tuck teeth tongue
    "pbm": (0.00, 0.00, 0.05, 1.0, 0.0, 0.0, 0.0),
    "fvβʋɸ": (0.10, 0.10, 0.00, 0.0, 1.0, 0.8, 0.0),
    "θð": (0.24, 0.15, 0.00, 0.0, 0.0, 0.7, 1.0),
    "tdnɾ": (0.20, 0.15, 0.00, 0.0, 0.0, 0.55, 0.6),
    "lɫʎɲ": (0.30, 0.12, 0.00, 0.0, 0.0, 0.5, 0.9),
    "sz": (0.08, 0.40, 0.00, 0.0, 0.0, 1.0, 0.1),
    "ʃʒ": (0.14, -0.25, 0.60, 0.0, 0.0, 0.9, 0.1),
    "kɡgŋxɣçqʔ": (0.26, 0.00, 0.00, 0.0, 0.0, 0.2, 0.1),
    "h": (0.36, 0.05, 0.00, 0.0, 0.0, 0.2, 0.1),
    "ɹrʁɻ": (0.20, -0.15, 0.45, 0.0, 0.0, 0.25, 0.2),
    "ɚɜɝ": (0.34, -0.15, 0.35, 0.0, 0.0, 0.25, 0.2),
    "wʍ": (0.10, -0.45, 1.00, 0.0, 0.0, 0.0, 0.0),
    "iɪjʝᵻ": (0.20, 0.60, 0.00, 0.0, 0.0, 0.6, 0.2),
    "eɛ": (0.48, 0.45, 0.00, 0.0, 0.0, 0.5, 0.15),
    "æ": (0.78, 0.42, 0.00, 0.0, 0.0, 0.5, 0.15),
    "aɑɐɒ": (0.95, 0.10, 0.00, 0.0, 0.0, 0.3, 0.1),
    "ʌə": (0.52, 0.08, 0.00, 0.0, 0.0, 0.3, 0.1),
    "ɔo": (0.62, -0.30, 0.70, 0.0, 0.0, 0.1, 0.0),
    "uʊʉyøœɵ": (0.22, -0.45, 0.95, 0.0, 0.0, 0.1, 0.0),
}
_BY_SYMBOL = {symbol: target for symbols, target in _TARGETS.items() for symbol in symbols}


def viseme_targets(phoneme: str) -> list[tuple[float, ...]]:
    """Return the lip targets of one IPA string, each for an equal share of its time.

    A diphthong or affricate has one target for each of its symbols. Stress and length marks have no target. A pause or
    unknown symbols give the rest position.
    """
    if phoneme.startswith("("):  # espeak-ng marks a change of language this way
        return [_REST]
    return [_BY_SYMBOL[symbol] for symbol in phoneme if symbol in _BY_SYMBOL] or [_REST]


def lip_track(phonemes: Sequence[Timed], frames: int, start: float = 0.0, fps: int = 25) -> LipTrack:
    """Return the lip parameters (frames, 7) float32 at the middle of each frame.

    `start`: the time in the utterance at which the clip begins, seconds.
    """
    margin = 0.5  # seconds on both sides, so that smoothing includes neighbouring phonemes
    grid = np.tile(np.array(_REST), (round((frames / fps + 2 * margin) * _GRID), 1))

    def cell(time: float) -> int:
        return int(np.clip(round((time - _LEAD - start + margin) * _GRID), 0, len(grid)))

    for phoneme in phonemes:
        targets = viseme_targets(phoneme.name)
        share = (phoneme.end - phoneme.start) / len(targets)
        for number, target in enumerate(targets):
            begin = phoneme.start + number * share
            grid[cell(begin) : cell(begin + share)] = target
    smooth = np.stack([gaussian_filter1d(grid[:, i], _SIGMA[i] * _GRID) for i in range(len(PARAMETERS))], axis=1)
    smooth[:, PRESS] = np.minimum(1, _PRESS_GAIN * smooth[:, PRESS])
    smooth[:, JAW] *= 1 - 0.95 * smooth[:, PRESS]
    smooth[:, TUCK] = np.minimum(1, 1.3 * smooth[:, TUCK])
    times = (np.arange(frames) + 0.5) / fps + margin
    at = np.minimum((times * _GRID).round().astype(int), len(grid) - 1)
    track: LipTrack = smooth[at].astype(np.float32)
    return track
