"""Whether anything hangs, ends in a traceback, is lost or is wrong: damaged clips, signals, hostile files, odd places.

    python measurements/campaign [--only media stops hostile surroundings] [--media 740] [--stops 200] [--seed 1]

An hour on two cores, most of it signals. `media`: clips of every kind damaged in every way, through `score`; a row
that is ok without a new warning is decoded by the ffmpeg programs too. `stops`: SIGKILL, SIGTERM and SIGINT at random
moments of every command; then the command is finished, and its results compared with those of one without signals.
`hostile`: files of weights and arrays that lie. `surroundings`: odd variables, limits, folders and streams.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from hostile import hostile
from media import media
from stops import stops
from surroundings import surroundings

PARTS = {"media": media, "stops": stops, "hostile": hostile, "surroundings": surroundings}


def main() -> int:
    """Parse and run; 1 where anything counts against the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--media", type=int, default=740, help="Damaged clips, at least.")
    parser.add_argument("--stops", type=int, default=200, help="Signals, at least.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="A folder that is kept; a temporary one by default.")
    given = parser.parse_args()
    counts = {"media": given.media, "stops": given.stops}
    bad = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.only:
            began = time.monotonic()
            folder = (given.work or Path(temporary)) / name
            folder.mkdir(parents=True)
            found = PARTS[name](folder, counts.get(name, 0), given.seed)
            ended = ", ".join(f"{count} {what}" for what, count in found.ended.most_common())
            kinds = Counter(kind for kind, _ in found.faults)
            against = ", ".join(f"{kinds[kind]} {kind}" for kind in ("hang", "traceback", "lost", "wrong", "left"))
            print(f"{name}: {found.tried} tried in {time.monotonic() - began:.0f} s: {against} ({ended})", flush=True)
            bad += len(found.faults)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
