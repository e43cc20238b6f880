"""The command `lse-bench gate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import SCORE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.errors import UsageError
from lse_bench.tasks.declared import GateOptions

_EXAMPLES = """
**Examples**

    lse-bench gate runs/mine --require "lse_c >= 3" --require "abs(offset_ms) <= 80" --out checked

    lse-bench gate runs/mine --require "offset_grade == not detectable" --max-rejected 0.05 --out checked

    lse-bench gate runs/mine --require "speech_seconds >= 1" --out checked

    lse-bench gate runs/mine --suggest --anchors runs/real runs/unsynced

    lse-bench gate runs/mine --fix --out checked

    lse-bench gate --calibrate runs/real runs/unsynced --out calibration.json

OUT gets accepted.csv and rejected.csv, which `score`, `prepare` and `manifest build` read, gate.json and
histogram.svg. A rejected clip has one reason. A value that is not known passes no condition.
Exit status: 0 success, 1 the share of rejected clips is above --max-rejected, 2 wrong usage.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=SCORE)
@offers(GateOptions)
def gate(
    options: GateOptions,
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run directory.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the lists; with --calibrate, the file of the calibration.")
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Print thresholds that follow from the run or from --anchors, and exit.")
    ] = False,
    anchors: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="REAL UNSYNCED", help="For --suggest: runs of clips with their own and foreign sound."),
    ] = None,
    calibrate: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="REAL UNSYNCED",
            help="Make the calibration for grades of offsets from runs of clips with their own and foreign sound.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Accept or reject the clips of a run by conditions, and move sounds that are out of sync."""
    report = ConsoleReport()
    with report.importing():
        from lse_bench.benchmark.summary import read_cell
        from lse_bench.tasks.gating import REJECTED, calibrate_from, gate_into

    if calibrate is not None:
        if out is None or run is not None or options.require or options.fix or suggest:
            raise UsageError("--calibrate needs --out FILE and stands alone")
        made = calibrate_from(read_cell(calibrate[0]), read_cell(calibrate[1]), out, report)
        if as_json:
            print(made.model_dump_json(indent=2))
        return
    if run is None:
        raise UsageError("give a run directory of lse-bench score")
    entry = read_cell(run)
    if suggest:
        _suggest(report, run, anchors, as_json)
        return
    if anchors is not None:
        raise UsageError("--anchors belongs to --suggest")
    if out is None:
        raise UsageError("give the folder for the lists with --out")
    gated = gate_into(out, entry, options, report)
    if as_json:
        print((out / "gate.json").read_text(encoding="utf-8"), end="")
    for kind, count in gated.kinds.items():
        report.say(f"{count} rejected: {kind}")
    if options.fix:
        report.say(f"{len(gated.fixed)} sounds moved, {len(gated.unfixed)} could not be: {out / 'fixed'}")
    report.say(f"{gated.accepted} accepted, {gated.rejected} rejected ({gated.share:.1%}): {out}")
    if gated.share > options.max_rejected:
        report.fail(f"{gated.share:.1%} rejected, --max-rejected allows {options.max_rejected:.1%}: {out / REJECTED}")
        raise typer.Exit(1)


def _suggest(report: ConsoleReport, run: Path, anchors: tuple[Path, Path] | None, as_json: bool) -> None:
    from dataclasses import asdict

    with ConsoleReport().importing():
        from lse_bench.benchmark.summary import read_cell
        from lse_bench.runs import gate as conditions
        from lse_bench.tables.paired import refuse_mixed

    entry, others = read_cell(run), [read_cell(path) for path in anchors or ()]
    for other in others:
        refuse_mixed([entry, other], lists=None)
    real, unsynced = (other.records for other in others) if others else (None, None)
    found = conditions.suggest(entry.records, real, unsynced)
    digest = entry.description.key.get("weights_sha256", "")
    if as_json:
        print(json.dumps({"weights_sha256": digest, "suggestions": [asdict(one) for one in found]}, indent=2))
        return
    for one in found:
        drops = "" if one.drops is None else f", drops {one.drops:.1%} of unsynced"
        print(f"{one.text}: keeps {one.keeps:.1%} of {'real' if others else 'the run'}{drops}")
    report.say(f"for weights {digest[:12]}… under {entry.description.protocol} only")
