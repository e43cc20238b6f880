"""The option `--robustness` of `lse-bench score`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from lse_bench.cli.console import ConsoleReport, warn_of_weights

if TYPE_CHECKING:
    from lse_bench.manifests.listed import ListedClip
    from lse_bench.sync.scorer import SyncScorer


def measure_robustness(
    report: ConsoleReport, scorer: SyncScorer, clips: list[ListedClip], count: int, out: Path, as_json: bool
) -> None:
    """Score `count` of the clips before and after small changes. Print the table and write `out`/robustness.json."""
    from rich.table import Table

    from lse_bench.runs.robustness import METRICS
    from lse_bench.runs.robustness import robustness as measure
    from lse_bench.storage import json_bytes, write_atomically

    some = clips[:: max(1, len(clips) // count)][:count]
    with report.counting("changing and scoring", len(some)) as counter:
        result = measure(scorer, some, counter.advance)
    write_atomically(out / "robustness.json", json_bytes(result))
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    table = Table(title=f"Changed minus original, mean ± standard deviation over {result['clips']} clips")
    for heading in ("change", "LSE-D", "LSE-C", "offset"):
        table.add_column(heading, justify="left" if heading == "change" else "right")
    for name, row in result["changes"].items():
        cells = [f"{row[one]['mean']:+.3f} ± {row[one]['sd'] or 0:.3f}" for one in METRICS]
        table.add_row(name, *cells)
    report.console.print(table)
    warn_of_weights(report, scorer.weights_sha256)
    report.say(f"intervals and largest changes: {out / 'robustness.json'}")
