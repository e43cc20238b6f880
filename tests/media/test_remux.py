"""New sound under a copied picture: every frame of the source, at its time, in whatever it is stored."""

from __future__ import annotations

from pathlib import Path

import against_ffmpeg
import clips
import imageio_ffmpeg
import numpy as np
import pytest

from lse_bench.errors import ClipError
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import _decoding_times, replace_sound
from lse_bench.media.video import at_constant_rate, decode

ENCODED_AGAIN = {"VP8 and Vorbis, webm", "ProRes, mov", "Theora, ogv", "WMV and WMA, asf"}
COPIED = [
    name for name in (*against_ffmpeg.STORED, *against_ffmpeg.TURNED, *against_ffmpeg.OTHERS)
    if name not in ENCODED_AGAIN
]  # fmt: skip


def pictures(path: Path) -> list[np.ndarray]:
    """What is shown, at the clip's own rate."""
    info = probe(path)
    assert info.video is not None
    return [against_ffmpeg.frame_bytes(picture) for picture in at_constant_rate(decode(info), info.video.rate)]


@pytest.mark.command
@pytest.mark.parametrize("name", COPIED)
def test_the_picture_is_copied_frame_for_frame(tmp_path: Path, name: str) -> None:
    path = against_ffmpeg.makers(imageio_ffmpeg.get_ffmpeg_exe(), tmp_path)[name]()
    sound = clips.speech(2, seed=3)
    assert replace_sound(path, sound, tmp_path / "new.mp4") == []
    before, after = pictures(path), pictures(tmp_path / "new.mp4")
    # A late first frame and a gap are places in time; how the last frame's length is stored depends on the container.
    assert abs(len(before) - len(after)) <= 1
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=False))
    heard = np.concatenate(list(read_sound(probe(tmp_path / "new.mp4"))))[: len(sound)]
    assert np.corrcoef(heard, sound)[0, 1] > 0.99, "the new sound begins where the file begins"


@pytest.mark.command
@pytest.mark.parametrize("name", sorted(ENCODED_AGAIN))
def test_what_mp4_cannot_hold_is_encoded_again_and_said(tmp_path: Path, name: str) -> None:
    path = against_ffmpeg.makers(imageio_ffmpeg.get_ffmpeg_exe(), tmp_path)[name]()
    told = replace_sound(path, clips.speech(2), tmp_path / "new.mp4")
    assert len(told) == 1 and told[0].startswith("the picture was re-encoded: mp4 cannot hold")
    assert len(pictures(tmp_path / "new.mp4")) == len(pictures(path))


def test_decoding_times_rise_and_none_is_late() -> None:
    shown = [0, 3, 1, 2, 6, 4, 5, 7]
    found = _decoding_times(shown)
    assert found == sorted(set(found)) and all(a <= b for a, b in zip(found, shown, strict=True))
    assert _decoding_times([0, 1, 2]) == [0, 1, 2]


def test_no_picture_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "heard.mp4", sound=clips.speech(1))
    with pytest.raises(ClipError, match="no picture for the sound"):
        replace_sound(path, clips.speech(1), tmp_path / "new.mp4")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["heard.mp4"]
