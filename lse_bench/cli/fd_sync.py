"""`fd-sync`: Fréchet distance between SyncNet's lip embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.choices import FpsPolicy
from lse_bench.cli.common import (
    SCORE,
    Device,
    Json,
    Offline,
    Trust,
    app,
    find_weights,
    make_console,
    progress_bar,
    tell_passed,
    warn_of_weights,
    working,
)
from lse_bench.errors import UsageError

_EXAMPLES = """
**Examples**

    lse-bench fd-sync outputs/ originals/

    lse-bench fd-sync runs/mine originals/ --weights syncnet-mini --json
"""


@app.command("fd-sync", epilog=_EXAMPLES, rich_help_panel=SCORE)
def fd_sync(
    generated: Annotated[Path, typer.Argument(help="Folder of videos or run directory.")],
    reference: Annotated[Path, typer.Argument(help="The same, of real clips.")],
    weights: Annotated[
        str, typer.Option(help="SyncNet: a file, or a name of `lse-bench weights list`.")
    ] = "syncnet_v2",
    protocol: Annotated[str, typer.Option(help="How frames are prepared: lrs@1 or lrs-lossless@1.")] = "lrs-lossless@1",
    fps_policy: Annotated[FpsPolicy, typer.Option(help="require-25, resample or as-is.")] = "require-25",
    out: Annotated[Path | None, typer.Option(help="Write the result to this JSON file too.")] = None,
    device: Device = "auto",
    max_failed: Annotated[int, typer.Option(min=0, help="How many clips may fail before the exit status is 1.")] = 0,
    offline: Offline = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """How far mouths move from those of real clips, in SyncNet's eyes. Not FID: it says nothing of image quality."""
    from lse_bench.manifests.search import Passed
    from lse_bench.runs.scored_clips import items_to_compare

    if out is not None and not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: its folder does not exist")
    console = make_console()
    passed = Passed()
    sets = {"generated": items_to_compare(generated, passed), "reference": items_to_compare(reference, passed)}
    tell_passed(console, passed)
    checkpoint = find_weights(console, weights, offline, trust)
    with working(console, "Loading torch and the weights"):
        from lse_bench.fidelity.fd_sync import compare_lips, measure_lips
        from lse_bench.fidelity.sources import files_digest
        from lse_bench.sync.scorer import SyncScorer
        from lse_bench.weights.table import name_of_digest

        scorer = SyncScorer.load(
            checkpoint,
            protocol=protocol,
            fps_policy=fps_policy,
            device=device,
        )
    measured = {}
    for name, items in sets.items():
        with progress_bar(console, name, len(items)) as (_, advance):
            measured[name] = measure_lips(scorer, items, lambda item, name=name: advance(name))  # type: ignore[misc]
    key = scorer.key | {"weights": name_of_digest(scorer.weights_sha256) or "unknown"}
    result = compare_lips(measured["generated"], measured["reference"], key)
    for which, items in sets.items():
        result[which]["files_sha256"] = files_digest(items)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        print(text)
    else:
        console.print(f"fd-sync {result['fd_sync']:.4f} (lower is nearer to the reference)", highlight=False)
        for name in sets:
            counts = result[name]
            console.print(f"{name}: {counts['windows']} windows of {counts['clips']} clips", highlight=False)
        for warning in result["warnings"]:
            console.print(warning, style="yellow", highlight=False)
        warn_of_weights(console, scorer.weights_sha256)
    failed = sum(len(lips.failed) for lips in measured.values())
    if failed > max_failed:
        console.print(f"{failed} clips failed, --max-failed allows {max_failed}", style="red", highlight=False)
        raise typer.Exit(1)
