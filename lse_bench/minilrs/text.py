"""The sentences of the speakers, from a small grammar whose words use every viseme."""

from __future__ import annotations

import numpy as np


def _options(text: str, between: str = "|") -> tuple[str, ...]:
    return tuple(text.split(between))


_WHO = _options(
    "the farmer|my brother|a young woman|the old fisherman|our neighbour|the minister|every painter|this doctor|"
    "the weather|a famous singer|the government|somebody|the prime minister|your father|the whole family|that boy|"
    "the captain|a former champion|the village baker|nobody|the chef|his mother|a good friend|the judge"
)
_DOES = _options(
    "bought|could never find|is watching|was pushing|promised|followed|will move|painted|should measure|began with|"
    "forgot|has chosen|threw away|always loved|is looking for|has been saving|wanted|brought|discovered|would keep|"
    "gave up|put together|worries about|showed"
)
_WHAT = _options(
    "five yellow boats|a better question|the blue umbrella|some warm bread|the other bridge|a beautiful garden|"
    "both of the pictures|a very large fish|the bathroom door|two thousand pounds|an open window|the first chapter|"
    "a small puppy|your favourite music|the football match|a cup of coffee|the paper factory|wooden furniture|"
    "a moving speech|the broken camera|a huge wave|the winter coat|apple juice|the usual problem"
)
_WHERE = _options(
    "in the middle of the afternoon|before the meeting|near the river|for about a month|with both hands|"
    "at the top of the hill|every single evening|behind the church|on the way home|after breakfast|"
    "because of the weather|without any reason|from the beach|across the valley|over the weekend|in public|"
    "under the table|for the very first time|by the harbour|before we go|as far as we know|this summer"
)
_OPENING = _options(
    "and so|but now|perhaps|you see|they say that|I believe|of course|we all know that|as usual|"
    "from what I hear|this morning|maybe|however|in fact|years ago"
)

# The LRW flavour speaks one of these words within running speech. Real LRW has 500 words of five or more letters.
WORDS = _options(
    "about affair afternoon always amount around becoming before behind better birth bring business capital "
    "chance change chief company could death different difficult during economy election enough europe every "
    "family father figure final follow football forward found future general giving global government group "
    "happen health history house human image impact issue judge large leader little living major market matter "
    "meeting member middle million minister money month morning moving nothing office other paper party people "
    "perhaps person place point police power press price private problem process promise public question reason "
    "result right round schools season serve seven should shows society something south speech spring "
    "support system there these thing think thought three through tomorrow twelve usual value victims violence "
    "voice wales watching water weather welcome whether where while without women words worked world would "
    "young",
    between=" ",
)


def sentence(rng: np.random.Generator) -> str:
    """Return one random sentence without an initial capital and a full stop."""
    parts = [_pick(rng, _WHO), _pick(rng, _DOES), _pick(rng, _WHAT)]
    if rng.random() < 0.7:
        parts.append(_pick(rng, _WHERE))
    if rng.random() < 0.4:
        parts.insert(0, _pick(rng, _OPENING))
    return " ".join(parts)


def speech_of(rng: np.random.Generator, words: int) -> str:
    """Return random sentences with at least `words` words in total."""
    text: list[str] = []
    while sum(len(part.split()) for part in text) < words:
        text.append(sentence(rng))
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in text)


def around_word(rng: np.random.Generator, word: str, words: int) -> tuple[str, int]:
    """Return a text with `word` between at least `words` words on each side, and the word's position in it.

    The position counts words from 0.
    """
    before = speech_of(rng, words).replace(".", "").split()
    after = speech_of(rng, words).replace(".", "")
    return f"{' '.join(before)} {word} {after}.", len(before)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]
