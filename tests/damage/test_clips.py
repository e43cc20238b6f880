"""Damage of pictures, and the table of all damage."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lse_bench.damage import motion
from lse_bench.damage.clips import AGAIN, NUISANCES, ORACLE, Damage, Facts, darker, enlarged, moved, tighter
from lse_bench.damage.pictures import Box, Picture

BOX: Box = (8.0, 8.0, 40.0, 40.0)
COUNT = 50


def numbered() -> list[Picture]:
    """Frames whose grey level tells their number, with a pattern that a codec keeps."""
    return [np.full((48, 48, 3), 4 * number, np.uint8) for number in range(COUNT)]


def levels(frames: object) -> list[int]:
    return [int(frame[0, 0, 0]) // 4 for frame in frames]  # type: ignore[attr-defined]


def fresh() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_lost_frames_are_replaced_by_the_one_before(share: float) -> None:
    shown = levels(motion.dropped(numbered(), COUNT, share, fresh()))
    kept = [number for number, level in enumerate(shown) if number == level]
    assert len(shown) == COUNT and len(kept) == COUNT - round(share * (COUNT - 1)) and shown[0] == 0
    assert all(level == max(one for one in kept if one <= number) for number, level in enumerate(shown))


def test_more_lost_frames_contain_fewer() -> None:
    lost = [
        {n for n, level in enumerate(levels(motion.dropped(numbered(), COUNT, share, fresh()))) if n != level}
        for share in (0.1, 0.25, 0.5, 0.75)
    ]
    assert all(fewer < more for fewer, more in pairwise(lost))


def test_a_faster_picture_keeps_its_middle_and_its_length() -> None:
    shown = levels(motion.hastened(numbered(), COUNT, 0.4))
    assert len(shown) == COUNT and shown == sorted(shown) and shown[0] == 0 and shown[-1] == COUNT - 1
    assert abs(shown[25] - 25) <= 1 and shown[30] - shown[20] in (13, 14, 15)
    assert levels(motion.hastened(numbered(), COUNT, 0.0)) == list(range(COUNT))


def test_the_film_rate_loses_and_repeats_one_frame_a_second() -> None:
    shown = levels(motion.through_film_rate(numbered(), COUNT))
    assert len(shown) == COUNT and COUNT - 3 <= len(set(shown)) <= COUNT - 1


def test_a_frozen_mouth_stands_still_and_the_rest_moves() -> None:
    frames = list(motion.frozen_mouth(numbered(), COUNT, BOX, 1.0, fresh()))
    assert levels(frames) == list(range(COUNT))  # above the face
    inside = [int(frame[32, 24, 0]) for frame in frames]
    assert inside == [0] * COUNT
    some = [int(frame[32, 24, 0]) // 4 for frame in motion.frozen_mouth(numbered(), COUNT, BOX, 0.5, fresh())]
    still = [number for number in range(1, COUNT) if some[number] == some[number - 1]]
    assert len(still) == 24 and still[-1] - still[0] == 23  # one piece


def test_another_codec_changes_pictures_a_little() -> None:
    rows = np.random.default_rng(0).integers(0, 255, (6, 7, 3))
    picture = np.kron(rows, np.ones((8, 7, 1))).astype(np.uint8)  # 48 x 49: an odd side
    frames = list(motion.through_codec([picture] * 5, "mpeg4", 200_000))
    assert len(frames) == 5 and all(frame.shape == picture.shape for frame in frames)
    assert 0 < np.abs(frames[2].astype(int) - picture).mean() < 12
    assert list(motion.through_codec([], "mpeg4", 200_000)) == []


def test_crops_scale_and_light_are_known() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[50, 50] = 255
    assert np.argwhere(moved(frame)[:, :, 0])[0].tolist() == [53, 53]
    assert tighter(frame).shape == frame.shape and tighter(frame)[48:53, 48:53].any()
    assert enlarged(frame).shape == (150, 150, 3) and enlarged(np.zeros((99, 101, 3), np.uint8)).shape == (148, 152, 3)
    assert darker(np.full((4, 4, 3), 200, np.uint8))[0, 0, 0] == 150


@pytest.mark.parametrize("damage", [*ORACLE.values(), *NUISANCES.values()], ids=lambda damage: damage.name)
def test_each_damage_touches_what_it_says_and_nothing_else(damage: Damage) -> None:
    sound = np.random.default_rng(1).normal(0, 2000, COUNT * 640).astype(np.int16)
    pattern = np.random.default_rng(2).integers(0, 200, (48, 48, 3)).astype(np.uint8)
    frames = [np.roll(pattern, number, axis=1) for number in range(COUNT)]
    facts = Facts(COUNT, BOX, np.roll(sound, 9000))
    for amount in damage.steps:
        shown = frames
        if damage.pictures is not None:
            shown = list(damage.pictures(iter(frames), facts, amount, damage.rng("clip")))
        heard = sound if damage.sound is None else damage.sound(sound, facts, amount, damage.rng("clip"))
        assert len(shown) == COUNT and len(heard) == len(sound) and heard.dtype == np.int16
        differs = any(a.shape != b.shape or (a != b).any() for a, b in zip(frames, shown, strict=True))
        assert differs == (damage.pictures is not None) and (heard != sound).any() == (damage.sound is not None)
        assert damage.pictures is None or "picture" in damage.touches
        assert damage.sound is None or "sound" in damage.touches
    assert list(damage.steps) == sorted(damage.steps) and len(damage.what) > 5


def test_nothing_is_done_without_a_name() -> None:
    assert AGAIN in NUISANCES and not set(ORACLE) & set(NUISANCES)
    assert len({damage.rng("a").integers(2**62) for damage in ORACLE.values()}) == len(ORACLE)
