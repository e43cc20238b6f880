"""Lips follow phonemes, faces follow lips, and nothing but the mouth does."""

from __future__ import annotations

import numpy as np
import pytest

from lse_bench.choices import Style
from lse_bench.minilrs.identity import draw_identity
from lse_bench.minilrs.plan import Spec, speaker_of, stream
from lse_bench.minilrs.render import Head, Truth
from lse_bench.minilrs.scene import draw_scene
from lse_bench.minilrs.speech import Timed
from lse_bench.minilrs.visemes import JAW, PRESS, ROUND, TEETH, TONGUE, TUCK, WIDTH, lip_track

FRAMES = 12


def said(*phonemes: tuple[str, float]) -> np.ndarray:
    """The lip track of phonemes with their lengths in seconds."""
    start, timed = 0.0, []
    for name, length in phonemes:
        timed.append(Timed(name, start, start + length))
        start += length
    return lip_track(timed, int(start * 25))


def clip(style: Style, lips: np.ndarray, seed: int = 3) -> tuple[np.ndarray, list[Truth]]:
    """A clip of one person in one scene; only the lips are the caller's."""
    rng = np.random.default_rng(seed)
    who, scene = draw_identity(rng, style), draw_scene(rng, style, len(lips))
    pairs = list(Head(who, 160).clip(scene, lips.astype(np.float32), np.random.default_rng(1)))
    return np.stack([frame for frame, _ in pairs]), [truth for _, truth in pairs]


@pytest.mark.parametrize("closing", ["p", "b", "m"])
def test_lips_close_fully_on_p_b_m_even_when_short(closing: str) -> None:
    track = said(("ˈɑː", 0.2), (closing, 0.08), ("ˈɑː", 0.2))
    assert track[:, PRESS].max() > 0.9
    assert track[track[:, PRESS].argmax(), JAW] < 0.12
    assert track[2, JAW] > 0.75


@pytest.mark.parametrize(
    ("phoneme", "parameter"),
    [("f", TUCK), ("v", TUCK), ("w", ROUND), ("uː", ROUND), ("s", TEETH), ("θ", TONGUE), ("iː", WIDTH)],
)
def test_each_sound_has_its_shape(phoneme: str, parameter: int) -> None:
    held = said(("", 0.3), (phoneme, 0.3), ("", 0.3))
    assert held[11, parameter] > held[2, parameter] + 0.4


def test_lips_lead_the_sound_a_little_and_move_smoothly() -> None:
    track = said(("", 0.5), ("ˈɑː", 0.5))
    assert track[11, JAW] > 0.05  # the frame before the vowel's
    assert np.abs(np.diff(track[:, JAW])).max() < 0.75


def test_diphthongs_pass_through_both_vowels() -> None:
    track = said(("ˈaʊ", 0.4))
    assert track[2, JAW] > 0.6
    assert track[8, ROUND] > 0.6


@pytest.mark.parametrize("style", ["plain", "marked"])
@pytest.mark.parametrize("parameter", range(7))
def test_only_the_lower_face_tells_the_phoneme(parameter: int, style: Style) -> None:
    """The same person, scene and noise with two different lip tracks: nothing from the eyes upwards may differ."""
    silent, talking = np.zeros((FRAMES, 7)), np.zeros((FRAMES, 7))
    talking[:, JAW] = silent[:, JAW] = 0.2
    talking[:, parameter] = 0.9
    still, truths = clip(style, silent)
    moving, _ = clip(style, talking)
    for before, after, truth in zip(still, moving, truths, strict=True):
        eyes = int(truth.landmarks[36:48, 1].max())
        assert np.array_equal(before[:eyes], after[:eyes])
        assert (before[eyes:] != after[eyes:]).mean() > 0.001
        assert np.array_equal(before[:, :6], after[:, :6])  # the room beside the head


def test_the_drawn_mouth_opens_with_the_jaw_and_the_chin_drops() -> None:
    lips = np.zeros((FRAMES, 7))
    lips[:, JAW] = np.linspace(0, 1, FRAMES)
    frames, truths = clip("plain", lips)
    gaps = np.array([truth.landmarks[66, 1] - truth.landmarks[62, 1] for truth in truths])
    chins = np.array([truth.landmarks[8, 1] - truth.landmarks[27, 1] for truth in truths])
    assert gaps[0] < 2.5
    assert gaps[-1] > 10
    assert chins[-1] - chins[0] > 5

    def darkness(number: int) -> float:
        x, y = truths[number].landmarks[60:68].mean(axis=0).astype(int)
        return float(frames[number][y - 1 : y + 2, x - 2 : x + 3].mean())

    assert darkness(-1) < 0.7 * darkness(0)


def test_teeth_show_when_lips_bare_them() -> None:
    lips = np.zeros((2, 7))
    lips[1, TEETH], lips[1, WIDTH] = 1, 0.5
    frames, truths = clip("plain", lips)

    def brightest(number: int) -> float:
        low, high = (
            truths[number].landmarks[60:68].min(axis=0).astype(int),
            truths[number].landmarks[60:68].max(axis=0).astype(int),
        )
        return float(frames[number][low[1] : high[1] + 1, low[0] : high[0] + 1].astype(float).min(axis=2).max())

    assert brightest(1) > brightest(0) + 20


def test_truth_fits_the_picture() -> None:
    for number in range(6):
        spec = Spec(seed=9, speakers=6, split="test")
        rng = stream(spec, number, 0)
        scene = draw_scene(rng, "mixed", 3)
        head = Head(speaker_of(spec, number).face, 160)
        for frame, truth in head.clip(scene, np.zeros((3, 7), np.float32), rng):
            assert frame.shape == (160, 160, 3)
            left, top, right, bottom = truth.box
            assert -10 < left < right < 170
            assert 0 < top < bottom < 175
            points = truth.landmarks
            assert points.shape == (68, 2)
            # Viewer's left to right, top to bottom, in the usual numbering.
            assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
            assert points[19, 1] < points[37, 1] < points[33, 1] < points[51, 1] < points[57, 1] < points[8, 1]
            assert points[48, 0] < points[54, 0]


def test_people_differ_and_marked_ones_wear_what_training_never_sees() -> None:
    people = [draw_identity(np.random.default_rng(i), "plain") for i in range(40)]
    assert len({who.hair for who in people}) >= 5
    assert np.std([who.skin.mean() for who in people]) > 0.1
    assert all(not who.beard and not who.glasses for who in people)
    marked = [draw_identity(np.random.default_rng(i), "marked") for i in range(40)]
    assert all(who.beard or who.glasses for who in marked)
    dark = [draw_scene(np.random.default_rng(i), "marked", 2).tone.max() for i in range(10)]
    light = [draw_scene(np.random.default_rng(i), "plain", 2).tone.max() for i in range(10)]
    assert max(dark) < min(light)


def test_some_heads_are_seen_from_the_side() -> None:
    sides = [draw_scene(np.random.default_rng(i), "mixed", 10).side_view for i in range(200)]
    assert 4 <= sum(sides) <= 40
