"""The command `lse-bench`: the one package that may know every other. Each command imports what it needs, late."""

from __future__ import annotations

import json
import sys

import typer

from lse_bench.cli import demo, fd_sync, fid, generate, manifest, minilrs, prepare, score, train, weights
from lse_bench.cli.common import Json, app, make_console
from lse_bench.errors import LseBenchError, UsageError, WeightsError

__all__ = [
    "app",
    "demo",
    "fd_sync",
    "fid",
    "generate",
    "main",
    "manifest",
    "minilrs",
    "prepare",
    "score",
    "train",
    "weights",
]


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has and lacks (libraries, codecs, devices), and how to get what is missing."""
    from dataclasses import asdict

    from lse_bench.doctor import examine

    console = make_console()
    with console.status("Looking around"):
        findings = examine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        styles = {"ok": "green", "note": "yellow", "missing": "red"}
        for finding in findings:
            console.print(f"{finding.state:8}", style=styles[finding.state], end="")
            console.print(f"{finding.what}: {finding.value}", highlight=False, markup=False)
            if finding.fix:
                console.print(f"        → {finding.fix}", highlight=False, markup=False)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: every error we can explain is one sentence on standard error, without a traceback."""
    try:
        app()
    except (UsageError, WeightsError) as error:
        _complain(str(error), 2)
    except LseBenchError as error:
        _complain(str(error), 1)
    except OSError as error:
        _complain(f"{error.filename or 'a file'}: {error.strerror or error}; what was recorded until now is kept", 1)
    except ImportError as error:
        from lse_bench.doctor import explain_import_error

        explained = explain_import_error(error)
        if explained is None:
            raise
        _complain(explained, 1)


def _complain(text: str, status: int) -> None:
    print(f"lse-bench: {text}", file=sys.stderr)
    sys.exit(status)
