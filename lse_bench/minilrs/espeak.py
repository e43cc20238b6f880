"""A program that speaks one utterance with the espeak-ng library. It imports only the standard library.

espeak-ng's output depends on earlier utterances of the same process, so each utterance runs in a new process. Standard
input is one JSON object with library, data, voice, text, rate, pitch, range and seed. Standard output is one line of
JSON, with the sample rate and the first sample of each phoneme and word, followed by int16 little-endian samples.
"""

from __future__ import annotations

import ctypes
import json
import sys

_SYNCHRONOUS = 2  # espeak-ng passes samples to the callback
_PHONEME_EVENTS_IPA_DONT_EXIT = 1 | 2 | 0x8000
_UTF8, _END_PAUSE = 1, 0x1000
_RATE, _PITCH, _RANGE = 1, 3, 4  # values of espeak_PARAMETER
_WORD, _PHONEME, _LIST_END = 1, 7, 0  # values of espeak_EVENT_TYPE


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def main() -> None:
    """Read the request, speak and write the answer.

    On failure, write a line to standard error and exit with a non-zero status.
    """
    request = json.load(sys.stdin)
    library = ctypes.CDLL(request["library"])
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, request["data"].encode(), _PHONEME_EVENTS_IPA_DONT_EXIT)
    if sample_rate <= 0:
        sys.exit(f"espeak-ng cannot start with the data in {request['data']}")
    samples: list[bytes] = []
    phonemes: list[tuple[int, str]] = []
    words: list[tuple[int, int]] = []

    def collect(wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if wave and count > 0:
            samples.append(ctypes.string_at(wave, 2 * count))
        for event in iter(events):
            if event.type == _LIST_END:
                break
            if event.type == _PHONEME:
                phonemes.append((event.sample, event.id.string.decode("utf-8", "ignore")))
            elif event.type == _WORD:
                words.append((event.sample, event.text_position - 1))
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        print(f"espeak-ng has no voice {request['voice']}", file=sys.stderr)
        sys.exit(3)
    for parameter, name in ((_RATE, "rate"), (_PITCH, "pitch"), (_RANGE, "range")):
        library.espeak_SetParameter(parameter, request[name], 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(request["seed"]))
    text = request["text"].encode()
    library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8 | _END_PAUSE, None, None)
    library.espeak_Synchronize()
    header = {"sample_rate": sample_rate, "phonemes": phonemes, "words": words}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + b"".join(samples))


if __name__ == "__main__":
    main()
