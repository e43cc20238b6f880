"""Speech: the same samples from a seed whatever was said before, times that fit, voices kept apart."""

from __future__ import annotations

import numpy as np
import pytest

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.minilrs import speech, text, visemes
from lse_bench.minilrs.speech import Voice, draw_voice, speak
from lse_bench.rates import SAMPLE_RATE

VOICE = Voice("en-us+f2", 160, 50, 50)
SENTENCE = "The farmer bought five yellow boats at the top of the hill. Nobody showed them the other bridge."


@pytest.fixture(scope="module")
def spoken() -> speech.Utterance:
    return speak(SENTENCE, VOICE, seed=4)


def test_the_same_words_sound_the_same_after_other_words(spoken: speech.Utterance) -> None:
    speak("Something else before.", Voice("en-us+m3", 180, 30, 40), seed=1)
    assert np.array_equal(speak(SENTENCE, VOICE, seed=4).sound, spoken.sound)


@pytest.mark.parametrize("variant", ["klatt2", "Andrea", "m7"])
def test_voices_with_a_random_state_follow_the_seed(variant: str) -> None:
    voice = Voice(f"en-us+{variant}", 160, 50, 50)
    assert np.array_equal(speak("Six thick boats.", voice, 7).sound, speak("Six thick boats.", voice, 7).sound)


def test_every_word_is_timed_once_and_in_order(spoken: speech.Utterance) -> None:
    assert [word.name for word in spoken.words] == SENTENCE.replace(".", "").split()
    seconds = len(spoken.sound) / SAMPLE_RATE
    for first, second in zip(spoken.words, spoken.words[1:], strict=False):
        assert 0 <= first.start < first.end <= second.start + 1e-9 <= seconds


def test_phonemes_touch_each_other_and_the_loud_ones_are_vowels(spoken: speech.Utterance) -> None:
    ends = [phoneme.end for phoneme in spoken.phonemes[:-1]]
    assert ends == pytest.approx([phoneme.start for phoneme in spoken.phonemes[1:]])
    loudness: dict[bool, list[float]] = {True: [], False: []}
    for phoneme in spoken.phonemes:
        piece = spoken.sound[round(phoneme.start * SAMPLE_RATE) : round(phoneme.end * SAMPLE_RATE)]
        if phoneme.name and len(piece):
            loudness["ˈ" in phoneme.name].append(float(np.sqrt(np.mean(piece.astype(float) ** 2))))
    assert np.median(loudness[True]) > 2 * np.median(loudness[False])


def test_the_grammar_uses_every_viseme_and_no_unknown_symbol() -> None:
    rng = np.random.default_rng(0)
    utterance = speak(text.speech_of(rng, 150), VOICE, 0)
    names = {phoneme.name for phoneme in utterance.phonemes if phoneme.name}
    symbols = {symbol for name in names for symbol in name}
    for group in ("pbm", "fv", "θð", "tdn", "l", "sz", "ʃ", "kɡŋ", "ɹ", "w", "iɪ", "æ", "ɑ", "ə", "oɔ", "u"):
        assert symbols & set(group), group
    for name in names:
        assert visemes.viseme_targets(name) != visemes.viseme_targets(""), f"{name} has no shape"


def test_training_voices_are_never_those_of_the_other_splits() -> None:
    def variants(unseen: bool) -> set[str]:
        rng = np.random.default_rng(0)
        return {draw_voice(rng, "american", unseen).name for _ in range(400)}

    assert not variants(True) & variants(False)
    assert all(
        not name.startswith("en-us")
        for name in {draw_voice(np.random.default_rng(i), "foreign", True).name for i in range(20)}
    )


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(LseBenchError, match=r"en-xx.*no voice"):
        speak("Hello.", Voice("en-xx", 160, 50, 50), 0)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "espeakng_loader", None)
    speech._library.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'lse-bench\[minilrs\]'"):
        speak("Hello.", VOICE, 0)
    speech._library.cache_clear()
