"""Decoding is the ffmpeg program's, to the pixel and the sample, for whatever it writes."""

from __future__ import annotations

from pathlib import Path

import against_ffmpeg
import imageio_ffmpeg
import pytest

CASES = [*against_ffmpeg.STORED, *against_ffmpeg.TURNED, *against_ffmpeg.OTHERS]
# FFmpeg 9 leaves out samples that every earlier version gives, and does not put silence before late sound in mp4.
# What is asked of ours then is the earlier number.
CHANGED_IN_9 = {"WMV and WMA, asf", "late sound, mp4"}
AAC_FRAME = 1024  # samples: what FFmpeg 9 may leave out at the end of an mp4


@pytest.mark.command
@pytest.mark.parametrize("name", CASES)
def test_decoding_is_the_ffmpeg_programs(tmp_path: Path, name: str) -> None:
    program = imageio_ffmpeg.get_ffmpeg_exe()
    found = against_ffmpeg.compare(program, against_ffmpeg.makers(program, tmp_path)[name]())
    assert found.frames[0] == found.frames[1]
    assert found.pixel == 0
    if name in CHANGED_IN_9:
        return
    ours, theirs = found.samples
    padded = name.endswith("mp4") or name in against_ffmpeg.TURNED or "fps" in name
    assert ours == theirs or (padded and theirs < ours <= theirs + AAC_FRAME)
    assert found.sample == 0
