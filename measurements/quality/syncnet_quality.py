"""How good syncnet-mini is: the table of its model card, on clips that no training run has seen.

Makes four MiniLRS test sets of 200 clips (seed 1000: other people, voices and words than in training), embeds every
window once and measures, for each weights file given: how often the offset of a shifted clip is found within one frame;
AUC of LSE-C, real against unsynced; how often a window's own sound beats one 5 to 15 frames away. Shifted clips are cut
out of longer ones, so that both streams hold real content. Cutting whole frames cuts whole windows, so cut clips are
slices of the embeddings; `tests/sync/test_quality.py` compares such slices with files that were really cut.

Run by `bootstrap.py quality`, or: `python -m measurements.quality.syncnet_quality
[WEIGHTS...] [--clips 200] [--out FOLDER]`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lse_bench.manifests.layouts import read_corpus
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.minilrs.summary import FOLDER
from lse_bench.sync.embed import embed_clip
from lse_bench.sync.quality import auc, lse, shifted_offset, window_wins
from lse_bench.sync.scorer import SyncScorer

MARGIN = 10  # frames on both sides: the largest shift
SEED = 1000
# name: specification beyond seed, split and length; frames of a cut clip; the thresholds
SETS = {
    "unseen": ({}, 75, (0.97, 0.985, 0.86)),
    "style": ({"style": "marked"}, 75, (0.93, 0.95, None)),
    "voices": ({"voices": "mismatched"}, 75, (0.97, None, None)),
    "lrw": ({"flavour": "lrw"}, 29, (0.85, None, None)),
}


def main() -> None:
    """Print the table; exit status 1 when a threshold is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", nargs="*", default=["syncnet-mini"])
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("quality"))
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    chosen = parser.parse_args()
    console = Console(width=150)
    missed, rows = 0, []
    table = Table(title=f"SyncNet on MiniLRS, {chosen.clips} clips a set, seed {SEED}")
    for heading in (
        "weights",
        "set",
        "offset ±1",
        "AUC of LSE-C",
        "window",
        "LSE-D",
        "LSE-C",
        "LSE-C unsynced",
        "wanted",
    ):
        table.add_column(heading)
    for name in chosen.sets:
        extra, frames, wanted = SETS[name]
        fields = {"style": "plain"} | extra
        spec = Spec(
            speakers=max(2, chosen.clips // 8), clips=8, seed=SEED, split="test", frames=frames + 2 * MARGIN, **fields
        )
        root = chosen.out / name
        corpus = make_corpus(spec, root)
        _, clips = read_corpus(root)
        for weights in chosen.weights:
            scorer = SyncScorer.load(weights, protocol="lrs-lossless@1")
            embedded = [
                embed_clip(scorer, clip.path)
                for clip in track(clips[: chosen.clips], f"{name}, {weights}", console=console)
            ]
            people = speakers(root)
            figures = measure(embedded, [people[clip.id] for clip in clips[: chosen.clips]], frames - 5)
            values = (figures["within_1"], figures["auc"], figures["window"])
            good = [limit is None or value >= limit for value, limit in zip(values, wanted, strict=True)]
            missed += good.count(False)
            shown = [f"{value:.4f}" + ("" if ok else " MISSED") for value, ok in zip(values, good, strict=True)]
            levels = [f"{figures[key]:.2f}" for key in ("lse_d", "lse_c", "lse_c_unsynced")]
            limits = " ".join("-" if limit is None else f"{limit:g}" for limit in wanted)
            row = (Path(weights).parent.name or weights, name, *shown, *levels, limits)
            table.add_row(*row)
            console.print(*row, highlight=False)  # at once: the whole takes a while
            rows.append(
                {"weights": weights, "sha256": scorer.weights_sha256, "set": name, "corpus": corpus.digest} | figures
            )
            (chosen.out / "quality.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    console.print(table)
    raise SystemExit(1 if missed else 0)


def speakers(root: Path) -> dict[str, int]:
    """Who speaks in each clip."""
    rows = (root / FOLDER / "clips.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: row["speaker"] for row in map(json.loads, rows)}


def measure(embedded: list[tuple[np.ndarray, np.ndarray]], people: list[int], windows: int) -> dict[str, float]:
    """The figures over clips with `windows` windows each and a margin of 10 on both sides; `people`: who speaks."""
    rng = np.random.default_rng(SEED)
    hits, wins, pairs = [], 0, 0
    own, mismatched = [], []
    for number, (lip, sound) in enumerate(embedded):
        shift = int(rng.integers(-MARGIN, MARGIN + 1))
        hits.append(abs(shifted_offset(lip, sound, shift, windows, MARGIN) - shift) <= 1)
        won, out_of = window_wins(lip, sound)
        wins, pairs = wins + won, pairs + out_of
        piece = slice(MARGIN, MARGIN + windows)
        own.append(lse(lip[piece], sound[piece]))
        others = (i % len(embedded) for i in range(number + 1, number + len(embedded)))
        other = next(i for i in others if people[i] != people[number])
        mismatched.append(lse(lip[piece], embedded[other][1][piece]))
    return {
        "clips": len(embedded),
        "within_1": float(np.mean(hits)),
        "auc": auc([score.lse_c for score in own], [score.lse_c for score in mismatched]),
        "window": wins / pairs,
        "lse_d": float(np.mean([score.lse_d for score in own])),
        "lse_c": float(np.mean([score.lse_c for score in own])),
        "lse_c_unsynced": float(np.mean([score.lse_c for score in mismatched])),
    }


if __name__ == "__main__":
    main()
