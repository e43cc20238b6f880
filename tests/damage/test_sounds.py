"""Damage of sound: each kind does what it says, as much as it says, and more of it contains less."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lse_bench.damage import sounds
from lse_bench.damage.sounds import Sound
from lse_bench.rates import SAMPLE_RATE

rng = np.random.default_rng(0)
NOISE = rng.normal(0, 3000, 2 * SAMPLE_RATE).astype(np.int16)
OTHER = rng.normal(0, 300, SAMPLE_RATE).astype(np.int16)


def fresh() -> np.random.Generator:
    return np.random.default_rng(7)


def test_a_delay_begins_with_silence_and_keeps_the_length() -> None:
    late = sounds.later(NOISE, 0.25)
    assert len(late) == len(NOISE) and not late[:4000].any() and (late[4000:] == NOISE[:-4000]).all()
    early = sounds.later(NOISE, -0.25)
    assert len(early) == len(NOISE) and not early[-4000:].any() and (early[:-4000] == NOISE[4000:]).all()
    assert (sounds.later(NOISE, 0.0) == NOISE).all()
    assert not sounds.later(NOISE, 5.0).any() and len(sounds.later(NOISE, -5.0)) == len(NOISE)


def test_drift_falls_behind_evenly() -> None:
    ramp = np.arange(16000, dtype=np.int16)  # the value tells the time
    slow = sounds.drifting(ramp, 0.1)
    behind = ramp.astype(float) - slow
    assert behind[0] == 0 and abs(behind[-1] - 1600) < 2 and abs(behind[8000] - 800) < 2
    assert (sounds.drifting(NOISE, 0.0) == NOISE).all()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 1.0])
def test_a_muted_piece_has_its_share(share: float) -> None:
    damaged = sounds.muted(NOISE, share, fresh())
    changed = damaged != NOISE
    assert abs(changed.mean() - share) < 0.001 and not damaged[changed].any()


def test_a_replaced_piece_is_the_other_sound_as_loud() -> None:
    damaged = sounds.replaced(NOISE, OTHER, 1.0, fresh())
    assert abs(np.corrcoef(damaged[: len(OTHER)], OTHER)[0, 1]) > 0.999
    assert abs(np.std(damaged) / np.std(NOISE) - 1) < 0.01
    with pytest.raises(ValueError, match="empty"):
        sounds.replaced(NOISE, OTHER[:0], 0.5, fresh())


@pytest.mark.parametrize(
    "damage",
    [
        lambda share: sounds.muted(NOISE, share, fresh()),
        lambda share: sounds.replaced(NOISE, OTHER, share, fresh()),
    ],
)
def test_more_damage_contains_less(damage: Callable[[float], Sound]) -> None:
    before = np.zeros(len(NOISE), bool)
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        changed = damage(share) != NOISE
        assert (changed | ~before).all(), "what less damage changes, more damage changes too"
        before = changed


def test_shuffled_words_are_the_same_words() -> None:
    damaged = sounds.shuffled(NOISE, 1.0, fresh())
    assert sorted(damaged) == sorted(NOISE) and (damaged != NOISE).mean() > 0.9
    half = sounds.shuffled(NOISE, 0.5, fresh())
    assert sorted(half) == sorted(NOISE) and 0.2 < (half != NOISE).mean() <= 1.0
    assert (sounds.shuffled(NOISE[:3000], 1.0, fresh()) == NOISE[:3000]).all()  # one word


def test_words_are_cut_where_it_is_quiet() -> None:
    loud = NOISE.copy()
    for place in (5200, 10_000, 15_000):
        loud[place - 200 : place + 200] = 0
    cuts = sounds._quiet_places(loud)
    assert all(min(abs(cut - place) for cut in cuts) < 300 for place in (5200, 10_000, 15_000))


def test_gain_noise_and_room_have_their_size() -> None:
    assert np.abs(sounds.louder(NOISE, -6) - NOISE / 10 ** (6 / 20)).max() <= 0.5 + 1e-9
    assert sounds.louder(np.array([30000], np.int16), 6)[0] == 32767
    added = sounds.noisy(NOISE, 20, fresh()).astype(float) - NOISE
    assert abs(10 * np.log10(np.mean(np.square(NOISE, dtype=float)) / np.mean(added**2)) - 20) < 0.2
    click = np.zeros(16000, np.int16)
    click[1000] = 20000
    echo = sounds.reverberant(click, 0.3, fresh()).astype(float)
    assert not echo[:1000].any() and echo[5900:].any() == 0 and np.abs(echo[1001:5800]).max() > 100
    assert np.sum(np.square(echo[5000:5800])) < np.sum(np.square(echo[1001:1801])) * 1e-3


def test_telephone_sound_loses_what_is_shrill() -> None:
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.int16)
    shrill = (8000 * np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000)).astype(np.int16)
    assert np.abs(sounds.through_8_khz(tone)[500:-500].astype(int) - tone[500:-500]).max() < 100
    assert np.abs(sounds.through_8_khz(shrill)[500:-500]).max() < 100
