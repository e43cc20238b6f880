"""`verify`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lse_bench.cli.common import (
    COMPARE,
    Device,
    Json,
    Offline,
    Trust,
    app,
    find_weights,
    make_console,
    progress_bar,
    working,
)
from lse_bench.cli.face_options import SFD_FACE, Boxes, find_detector
from lse_bench.errors import LseBenchError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from lse_bench.runs.read import Run
    from lse_bench.runs.verify import Verdict
    from lse_bench.sync.scorer import SyncScorer

_SHOWN = 20
_EXAMPLES = """
**Examples**

    lse-bench verify runs/mine

    lse-bench verify runs/mine --rescore 5

    lse-bench verify leaderboard/results/miniature --json

Computed again: scores from curves, curves from windows, summaries from records, tables from summaries; fid and fd-sync
are tied to the digests of the files they were computed from, clips at hand to the digests of the records. Numbers that
agree to 1e-9 are the same (windows: 1e-5; scored again: 1e-3). Exit status: 0 nothing differs, 1 something does.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=COMPARE)
def verify(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run directories, benchmarks or collections.")],
    rescore: Annotated[
        int, typer.Option(min=0, help="Score so many clips of each run again; only this finds a whole forgery.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Which clips are scored again.")] = 0,
    weights: Annotated[
        str | None, typer.Option(help="SyncNet's weights to score with; default: those that the run names.")
    ] = None,
    boxes: Boxes = None,
    device: Device = "auto",
    offline: Offline = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Check that results follow from what they were computed from, and name every difference."""
    from lse_bench.leaderboard.check import verify_all

    console = make_console()
    with working(console, "Reading, computing again, digesting clips"):
        verdicts = verify_all(runs)
    if rescore:
        for entry, verdict in verdicts.values():
            if entry is not None:
                _rescore(console, entry, verdict, rescore, seed, weights, boxes, device, offline, trust)
    if as_json:
        print(json.dumps({name: _as_json(verdict) for name, (_, verdict) in verdicts.items()}, indent=2))
    else:
        _print(verdicts, rescore)
    if any(verdict.differences for _, verdict in verdicts.values()):
        raise typer.Exit(1)


def _rescore(
    console: Console, entry: Run, verdict: Verdict, count: int, seed: int, weights: str | None, boxes: Path | None,
    device: str, offline: bool, trust: bool,
) -> None:  # fmt: skip
    from lse_bench.runs.rescore import rescore

    try:
        scorer = _scorer(console, entry, weights, boxes, device, offline, trust)
    except LseBenchError as error:
        verdict.unverified.append(f"nothing was scored again: {error}")
        return
    with progress_bar(console, "scoring again", min(count, entry.summary.scored)) as (_, advance):
        rescore(entry, scorer, count, seed, verdict, advance)


def _scorer(
    console: Console, entry: Run, weights: str | None, boxes: Path | None, device: str, offline: bool, trust: bool
) -> SyncScorer:
    """A scorer with the settings that the run's key names."""
    about = entry.description
    key: dict[str, Any] = dict(about.key)
    checkpoint = find_weights(
        console, weights or about.weights.name or about.weights.file or "syncnet_v2", offline, trust
    )
    from lse_bench.sync.scorer import SyncScorer

    options: dict[str, Any] = {"protocol": about.protocol.split(":")[0], "device": device}
    options |= {"fps_policy": key["fps_policy"], "precision": key["precision"]}
    if "detector" in key:
        from lse_bench.faces.detectors import name_of
        from lse_bench.faces.tracking import Tracking

        detector = find_detector(console, name_of(key["detector"]), boxes, SFD_FACE, device, offline, trust)
        if detector.id != key["detector"]:
            raise UsageError(f"{entry.folder}: faces were found by {key['detector']}; here there is {detector.id}")
        tracking = Tracking(detector, key["tracker"], int(key["min_track"]), int(key["stride"]))
        options |= {"tracking": tracking, "track_rule": key["track_rule"]}
    return SyncScorer.load(checkpoint, **options)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "differences": verdict.differences,
        "unverified": verdict.unverified,
        "checked": verdict.checked,
    }


def _print(verdicts: dict[str, tuple[Run | None, Verdict]], rescored: int) -> None:
    from rich.console import Console

    shown = Console(highlight=False, markup=False, soft_wrap=True)
    for name, (_, verdict) in verdicts.items():
        counts = ", ".join(f"{count} {what}" for what, count in verdict.checked.items())
        word = "differs" if verdict.differences else "nothing differs"
        shown.print(f"{name}: {word} ({counts})", style="red" if verdict.differences else "green")
        for told in verdict.differences[:_SHOWN]:
            shown.print(f"  {told}")
        if len(verdict.differences) > _SHOWN:
            shown.print(f"  … and {len(verdict.differences) - _SHOWN} more (--json lists all)")
        for told in verdict.unverified:
            shown.print(f"  not verified: {told}", style="yellow")
    if not rescored:
        shown.print(
            "not proved: that records, curves and windows were not forged together; --rescore N scores N clips again"
        )
