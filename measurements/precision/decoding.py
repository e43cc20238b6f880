"""Our decoding beside ffmpeg programs: frames, samples and the largest differences, for clips of every kind.

    python -m measurements.precision.decoding [--ffmpeg PROGRAM ...]

The clips are made by the ffmpeg program of the imageio-ffmpeg wheel, which is compared with too; so is `ffmpeg` where
there is one. A row in which two programs differ says so. Two minutes on two cores.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import imageio_ffmpeg
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import against_ffmpeg


def version_of(program: str) -> str:
    """`5.1.9` of an ffmpeg program."""
    told = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout
    return told.split()[2].split("-")[0]


def main() -> int:
    """Parse and run; 1 where no program agrees with ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffmpeg", nargs="*", default=[name for name in [shutil.which("ffmpeg")] if name])
    maker = imageio_ffmpeg.get_ffmpeg_exe()
    programs = {version_of(program): program for program in [maker, *parser.parse_args().ffmpeg]}
    console = Console(width=160)
    ours = ".".join(map(str, av.ffmpeg_version_info.split(".")[:3]))
    table = Table("clip", *(f"{what}, ffmpeg {name}" for name in programs for what in ("frames", "pixel", "samples",
                  "sample")), "", box=None, title=f"PyAV {av.__version__} with FFmpeg {ours}")  # fmt: skip
    alone = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, make in against_ffmpeg.makers(maker, Path(folder)).items():
            path = make()
            found = [against_ffmpeg.compare(program, path) for program in programs.values()]
            cells = []
            for one in found:
                cells += [f"{one.frames[0]} / {one.frames[1]}", str(one.pixel)]
                cells += [f"{one.samples[0]:,} / {one.samples[1]:,}", str(one.sample)]
            agreeing = [one.frames[0] == one.frames[1] and not one.pixel and one.sample <= 3 for one in found]
            alone += not any(agreeing)
            theirs = {(one.frames[1], one.samples[1]) for one in found}
            table.add_row(name, *cells, "the programs differ" if len(theirs) > 1 else "")
    console.print(table)
    console.print(f"{len(table.rows)} clips; {alone} agree with none of the programs")
    return int(bool(alone))


if __name__ == "__main__":
    sys.exit(main())
