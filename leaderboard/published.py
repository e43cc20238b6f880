"""Figures that others have published, each with its source. They are stored in `published.csv`.

Some cells of the Wav2Lip paper could not be read (LRW, LRS3, LipGAN, Speech2Vid, real, raters). They are not in the
file and are shown as not transcribed.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lse_bench.tables.table import Table

MEASURES = {"lse_d": "LSE-D", "lse_c": "LSE-C", "fid": "FID", "offset": "offset"}
PAPER = "paper"
_NOT_TRANSCRIBED, _NOT_COMPARABLE, _NOTHING = "not transcribed", "not comparable", "–"
_PAPERS_OWN = ("real", "Speech2Vid", "LipGAN", "Wav2Lip", "Wav2Lip+GAN")
_SCORED_AS = ("lrs@1", "syncnet_v2")  # protocol and weights of the published figures


@dataclass(frozen=True, slots=True)
class Figure:
    """One published number.

    `printed`: the number with the digits of the source. `kind`: who published it: the method's own `paper`, a `re-run`
    by others, an `other paper`, or the method's `authors` elsewhere.
    """

    corpus: str
    method: str
    measure: str
    printed: str
    kind: str
    source: str


def published() -> list[Figure]:
    """Return all published figures, in the order of the file."""
    text = files("lse_bench.leaderboard").joinpath("published.csv").read_text(encoding="utf-8")
    return [
        Figure(row["corpus"], row["method"], row["measure"], row["value"], row["kind"], row["source"])
        for row in csv.DictReader(text.splitlines())
    ]


def figure(corpus: str, method: str, measure: str) -> float:
    """Return the only published figure of a method on a corpus. Raises KeyError if there is none or more than one."""
    found = [
        float(one.printed) for one in published() if (one.corpus, one.method, one.measure) == (corpus, method, measure)
    ]
    if len(found) != 1:
        raise KeyError((corpus, method, measure))
    return found[0]


def beside_published(tables: Sequence[Table]) -> str:
    """Return a Markdown table of LSE-D, LSE-C and FID: the paper's, re-runs by others, and ours.

    It has a row for each corpus, method and measure. Published figures are only shown next to scores of their protocol
    and scorer; next to other scores the cells say "not comparable".
    """
    figures = published()
    head = ["corpus", "method", "measure", "paper", "re-runs by others", "ours", "scored as"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|---:|---:|---:|---|"]
    sources: dict[str, None] = {}
    for table in tables:
        comparable = (table.protocol, table.evaluator) == _SCORED_AS
        scored_as = f"{table.protocol}, {table.evaluator or 'other weights'}"
        for row in table.rows:
            for measure in ("lse_d", "lse_c", "fid"):
                ours = row.fid if measure == "fid" else row.metrics[measure].mean
                known = [one for one in figures if _same(one, table.corpus, row.method, measure)]
                paper = ", ".join(one.printed for one in known if one.kind == PAPER)
                others = ", ".join(one.printed for one in known if one.kind != PAPER) or _NOTHING
                if not comparable:
                    paper = others = _NOT_COMPARABLE
                elif row.method in _PAPERS_OWN:
                    paper = paper or _NOT_TRANSCRIBED
                cells = [table.corpus, row.method, MEASURES[measure], paper or _NOTHING, others]
                cells += [_NOTHING if ours is None else f"{ours:.3f}", scored_as]
                lines.append("| " + " | ".join(cells) + " |")
                sources |= {f"- {one.source}": None for one in known if comparable}
    return "\n".join([*lines, *(["", "Sources:", *sources] if sources else [])]) + "\n"


def _same(one: Figure, corpus: str, method: str, measure: str) -> bool:
    return (one.corpus.lower(), one.method.lower(), one.measure) == (corpus.lower(), method.lower(), measure)
