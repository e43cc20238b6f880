"""The command `lse-bench generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench.cli.common import MAKE, Json, app, command_line
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.errors import UsageError
from lse_bench.tasks.declared import GenerateOptions
from lse_bench.tasks.declared_execution import ExecutionOptions

if TYPE_CHECKING:
    from lse_bench.generators.interface import Generator
    from lse_bench.manifests.generated import Generation
    from lse_bench.plugins import Plugin

_EXAMPLES = """
**Examples**

    lse-bench generate --list

    lse-bench generate wav2lip --manifest lrs2-test.json --root LRS2 --weights wav2lip.pth --out videos/wav2lip

    lse-bench generate wav2lip --manifest lrs2-test.json --root LRS2 --devices all --out videos/wav2lip

    lse-bench generate command --command "python infer.py {video} {audio} {output}" --manifest pairs.json --out mine

    lse-bench score videos/wav2lip --out runs/wav2lip

Run the same command with the same --out again to continue a stopped generation.
Exit status: 0 success, 1 more jobs failed than --max-failed, 2 wrong usage.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=MAKE)
@offers(GenerateOptions)
@offers(ExecutionOptions, "execution")
def generate(
    options: GenerateOptions,
    execution: ExecutionOptions,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The name of a generator from `generate --list`.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="The list of pairs: a file from `lse-bench manifest`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the videos and their records.")] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder with the files of the manifest. Default: the folder that the manifest names."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the generators with their packages, weights and settings.")
    ] = False,
    max_failed: Annotated[
        int, typer.Option(min=0, help="Number of jobs that may fail before the exit status is 1.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Generate a video for each pair of a manifest. `lse-bench score` can score the result."""
    report = ConsoleReport()
    if list_:
        _print_list(report, as_json)
        return
    if name is None or manifest is None or out is None:
        raise UsageError("generate needs NAME, --manifest and --out. --list shows the generators")
    with report.importing():
        from lse_bench.tasks.generating import generate_into
    try:
        summary = generate_into(
            out, name, manifest, options, report, root=root, execution=execution, command=command_line()
        )
    except KeyboardInterrupt:
        report.say(f"stopped; run the same command with --out {out} again to continue")
        raise typer.Exit(130) from None
    _finish(report, summary, out, as_json, max_failed)


def _print_list(report: ConsoleReport, as_json: bool) -> None:
    from lse_bench.generators.registry import load, names

    with report.importing("Importing the generators"):
        plugins = [load(name) for name in names()]
    if as_json:
        rows = [
            {
                "name": plugin.name,
                "package": plugin.package,
                "what": plugin.what,
                "broken": plugin.broken,
                "weights": _weights_of(plugin),
                "settings": dict(plugin.make.settings) if plugin.make else {},
            }
            for plugin in plugins
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    shown = Console()
    for plugin in plugins:
        line = plugin.what if plugin.broken is None else f"broken: {plugin.broken}"
        shown.print(f"{plugin.name} ({plugin.package}): {line}", highlight=False, markup=False, soft_wrap=True)
        if (weights := _weights_of(plugin)) is not None:
            shown.print(f"    weights: {weights}", highlight=False, markup=False, soft_wrap=True)
        for setting, what in (plugin.make.settings if plugin.make else {}).items():
            shown.print(f"    --set {setting}=…: {what}", highlight=False, markup=False, soft_wrap=True)


def _weights_of(plugin: Plugin[Generator]) -> str | None:
    return None if plugin.make is None else plugin.make.weights


def _finish(report: ConsoleReport, summary: Generation, out: Path, as_json: bool, max_failed: int) -> None:
    from lse_bench.manifests.generated import FAULTS
    from lse_bench.stored import to_json

    if as_json:
        print(json.dumps(to_json(summary), indent=2, ensure_ascii=False))
    failed = sum(summary.failed.values())
    report.say(f"{summary.made} of {summary.listed} videos made from {summary.videos} sources: {out}")
    for reason, count in summary.reasons.items():
        report.warn(f"without a video: {count}, {reason}")
    for fault, count in (summary.looked or {}).items():
        told = FAULTS.get(fault, "not checked, because an older version made them")
        report.warn(f"not as asked: {count}, {told}")
    if summary.warnings:
        report.warn(f"made with a warning: {summary.warnings} (see generation.jsonl)")
    if failed > max_failed:
        report.fail(f"{failed} jobs failed, --max-failed allows {max_failed}")
        raise typer.Exit(1)
