"""How much of the damage in a file its decoder reports, codec by codec.

    python -m measurements.precision.damage [--files 30] [--seed 1]

Each codec's clip of 25 frames is copied with one wrong byte in its middle half. `reported`: copies whose reading fails
or gives a warning. `log only`: those of them that are reported only because FFmpeg's log is read. The whole clip must
give no warning. Codecs that the ffmpeg program cannot encode are left out.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
from pathlib import Path
from unittest.mock import patch

import imageio_ffmpeg

from lse_bench.errors import ClipError
from lse_bench.media import video
from lse_bench.media.probe import probe

# Encoder, suffix, options.
CODECS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    *((name, "mkv", ()) for name in ("ffv1", "snow", "huffyuv", "ffvhuff", "utvideo", "magicyuv")),
    *((name, "avi", ()) for name in ("mjpeg", "mpeg4", "msmpeg4v2", "msmpeg4", "zmbv", "asv1", "rawvideo")),
    *((name, "mov", ()) for name in ("prores_ks", "png", "jpeg2000", "qtrle", "svq1", "hap")),
    *((name, "mov", ("-s", "512x512")) for name in ("dnxhd", "cfhd")),
    *((name, "wmv", ()) for name in ("wmv1", "wmv2")),
    *((name, "flv", ()) for name in ("flv1", "flashsv")),
    *((name, "mp4", ()) for name in ("libx264", "libx265", "libaom-av1")),
    *((name, "webm", ()) for name in ("libvpx", "libvpx-vp9")),
    ("dvvideo", "avi", ("-s", "720x576", "-pix_fmt", "yuv420p")),
    ("ffv1", "mkv", ("-level", "1")),
    ("mpeg2video", "mpg", ()),
    ("libtheora", "ogv", ()),
    ("gif", "gif", ()),
    ("h263", "3gp", ("-s", "352x288")),
)
MORE = {"dnxhd": ("-profile:v", "dnxhr_lb"), "libaom-av1": ("-cpu-used", "8")}


def main() -> None:
    """Print a row for each codec."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"| encoder | whole clip | reported of {given.files} | log only |\n|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary:
        for encoder, suffix, options in CODECS:
            whole = Path(temporary) / f"{encoder}.{suffix}"
            if not encoded(whole, encoder, options):
                continue
            content, dice = whole.read_bytes(), random.Random(given.seed)
            damaged = whole.with_stem(f"{encoder}-damaged")
            reported = by_log = 0
            for _ in range(given.files):
                place = dice.randrange(len(content) // 4, len(content) * 3 // 4)
                damaged.write_bytes(content[:place] + bytes([content[place] ^ 0x5A]) + content[place + 1 :])
                if is_reported(damaged):
                    reported += 1
                    with patch.object(video, "_ONLY_LOG", set()):
                        by_log += not is_reported(damaged)
            clean = "a warning" if is_reported(whole) else "no warning"
            print(f"| {' '.join([encoder, *options])} | {clean} | {reported} | {by_log} |", flush=True)


def encoded(path: Path, encoder: str, options: tuple[str, ...]) -> bool:
    """Encode a test picture of 25 frames; returns whether the program could."""
    source = ("-f", "lavfi", "-i", "testsrc2=s=96x96:r=25:d=1")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, "-c:v", encoder]
    return subprocess.run([*command, *MORE.get(encoder, ()), *options, str(path)], capture_output=True).returncode == 0


def is_reported(path: Path) -> bool:
    """Whether reading a file's picture fails or gives a warning."""
    report = video.DecodeReport()
    try:
        info = probe(path)
        if info.video is None:
            return True
        for _ in video.decode(info, report):
            pass
    except ClipError:
        return True
    return bool(report.damage())


if __name__ == "__main__":
    main()
