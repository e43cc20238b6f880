"""How fast MiniLRS is made: speech, faces, sidecars, compression and digests, everything included.

Run: python -m measurements.speed.minilrs
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from lse_bench.manifests.layouts import FLAVOURS
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.processor import usable_cores
from measurements.speed.figures import tell

FRAMES_WANTED = 120  # per second and core


def main() -> None:
    """Print frames per second and per core, with one worker and with one for each core."""
    cores = usable_cores()
    for flavour in FLAVOURS:
        for workers in sorted({1, cores}):
            with tempfile.TemporaryDirectory() as folder:
                spec = Spec(flavour=flavour, speakers=10 * workers, clips=4 if flavour != "lrw" else 10, seed=1)
                began = time.perf_counter()
                frames = make_corpus(spec, Path(folder) / "corpus", workers).frames or 0
                seconds = time.perf_counter() - began
            rate, unit = frames / seconds / workers, "frames a second and core"
            tell("minilrs", f"MiniLRS as {flavour}, {workers} processes", rate, unit, f"{FRAMES_WANTED} or more")


if __name__ == "__main__":
    main()
