"""Read a media file to its end, picture and sound, in a process of its own: `python -m lse_bench.media.alone FILE`.

The exit status shows the caller whether the file kills the process that reads it.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque

from lse_bench.errors import ClipError
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames

if __name__ == "__main__":
    with contextlib.suppress(ClipError):
        info = probe(sys.argv[1])
        if info.video is not None:
            with contextlib.suppress(ClipError):
                deque(read_frames(info, info.video.rate), maxlen=0)
        if info.sound is not None:
            deque(read_sound(info), maxlen=0)
