"""The command `lse-bench`.

This package may import every other package. Each command imports heavy modules inside its function, so that `--help`
is fast.
"""

from __future__ import annotations

import io
import json
import signal
import sys
from typing import Annotated

import typer

from lse_bench.cli import (
    benchmark,
    cite,
    compare,
    demo,
    fd_sync,
    fid,
    fvd,
    gate,
    generate,
    leaderboard,
    manifest,
    measures,
    minilrs,
    prepare,
    reliability,
    score,
    study,
    train,
    verify,
    weights,
)
from lse_bench.cli.common import SET_UP, Json, app, explain
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.stops import Terminated, heard

__all__ = [
    "app",
    "benchmark",
    "cite",
    "compare",
    "demo",
    "fd_sync",
    "fid",
    "fvd",
    "gate",
    "generate",
    "leaderboard",
    "main",
    "manifest",
    "measures",
    "minilrs",
    "prepare",
    "reliability",
    "score",
    "study",
    "train",
    "verify",
    "weights",
]


def _print_version(asked: bool) -> None:
    if asked:
        from lse_bench import __version__

        print(f"lse-bench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Accept the options of `lse-bench` itself."""


_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


@app.command(rich_help_panel=SET_UP)
def doctor(
    check: Annotated[
        bool,
        typer.Option(
            "--selfcheck", help="Score SyncNet's example clip too and compare the scores with the published ones."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Report which libraries, codecs and devices this machine has, and how to install what is missing."""
    from dataclasses import asdict

    from lse_bench.doctor import examine, selfcheck_published

    report = ConsoleReport()
    console = report.console
    with report.working("Examining this machine"):
        findings = examine() + (selfcheck_published() if check else [])
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        styles = {"ok": "green", "note": "yellow", "missing": "red"}
        for finding in findings:
            console.print(f"{finding.state:8}", style=styles[finding.state], end="")
            console.print(f"{finding.what}: {finding.value}", highlight=False, markup=False, soft_wrap=True)
            if finding.fix:
                console.print(f"        → {finding.fix}", highlight=False, markup=False, soft_wrap=True)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line.

    An explained error is printed on standard error without a traceback. The exit status is that of the command. It is
    130 after Ctrl-C and 143 after SIGTERM. Finished results are written before a stopped command ends.
    """
    for stream in (sys.stdout, sys.stderr):  # an escape is printed for a character that the terminal lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with heard() as asked:
        try:
            app()
        except SystemExit as ended:
            if Terminated in asked and ended.code == _INTERRUPTED:
                sys.exit(_TERMINATED)
            raise
        except KeyboardInterrupt:  # while the commands are set up, before one starts
            sys.exit(_TERMINATED if Terminated in asked else _INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - `explain` raises an unknown error again
            if asked:  # an import that a stop interrupts can leave modules that raise any error
                sys.exit(_TERMINATED if Terminated in asked else _INTERRUPTED)
            text, status = explain(error)
            print(f"lse-bench: {text}", file=sys.stderr)
            sys.exit(status)
