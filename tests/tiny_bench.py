"""A benchmark of four pairs: a corpus, one method, scores with windows, fd-sync."""

from __future__ import annotations

import sys
from pathlib import Path

from commands import lse_bench_here

CONFIG = """
name = "tiny"
[[manifests]]
name = "mini"
minilrs = {{ speakers = 2, clips = 2, frames = 40, seed = 5, split = "test", style = "plain" }}
build = {{ pairs = 4, seed = 1 }}
[[protocols]]
protocol = "lrs-lossless@1"
weights = "syncnet-mini"
keep_windows = true
[fd_sync]
weights = "syncnet-mini"
[[methods]]
name = "{method}"
generator = "command"
options = {{ command = '"{python}" {program} {words}' }}
"""
PROGRAM = """
import sys, wave
import numpy as np
from pathlib import Path
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
with wave.open(sys.argv[2]) as file:
    sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
write_clip(Path(sys.argv[3]), read_frames(probe(sys.argv[1])), sound, quality=26)
"""


def config(method: str, program: Path, words: str) -> str:
    """bench.toml with one method: a Python program and what it is called with."""
    return CONFIG.format(method=method, python=sys.executable, program=program, words=words)


def make(folder: Path) -> None:
    """`folder/out`, and `bench.toml` beside it."""
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(PROGRAM)
    (folder / "bench.toml").write_text(config("mine", folder / "mine.py", "{video} {audio} {output}"))
    ended = lse_bench_here("benchmark", folder / "bench.toml", "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr


def copy(bench: Path, target: Path) -> Path:
    """A copy that may be edited, with clips of its own."""
    import shutil

    shutil.copytree(bench, target)
    for path in [*target.rglob("run.json"), *target.rglob("generation.json")]:
        path.write_text(path.read_text().replace(str(bench), str(target)))
    return target


def run_of(out: Path, method: str = "mine") -> Path:
    """The run directory of a method."""
    (run,) = (out / "scores" / "mini" / method).glob("lrs-lossless@1-*")
    return run


def videos_of(out: Path, method: str = "mine") -> Path:
    """The generation of a method."""
    (folder,) = (out / "videos" / "mini").glob(f"{method}-*")
    return folder
