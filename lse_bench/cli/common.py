"""The parts that all commands share: the application, common options, and error messages."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lse_bench.errors import LseBenchError, UsageError, WeightsError
from lse_bench.remote.addresses import without_secrets
from lse_bench.supervisor import STARTED

# Groups of commands, in the order of `lse-bench --help`.
SCORE, COMPARE, MAKE, SET_UP = "Score", "Compare", "Generate and train", "Set up"

_ORDER = (
    *("demo", "score", "gate", "fid", "fvd", "fd-sync", "measures", "merge"),
    *("compare", "benchmark", "leaderboard", "study", "reliability", "verify", "cite"),
    *("generate", "manifest", "train", "prepare", "minilrs"),
    *("doctor", "weights"),
)
RENAMED = {"run": "benchmark"}  # old name of a command to its new name


class _Commands(TyperGroup):
    """The group of commands. It names the new command when an old name is used."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in RENAMED:
            raise UsageError(f"lse-bench {cmd_name} is now lse-bench {RENAMED[cmd_name]}, with the same options")
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(
            super().list_commands(ctx), key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)
        )


app = typer.Typer(
    name="lse-bench",
    cls=_Commands,
    help="Compute reproducible lip-sync scores of talking-face videos: LSE-D, LSE-C, AV offset, FID and KID.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command_line() -> list[str]:
    """Return the words of the running command, to be stored with its result. Keys in addresses are cut."""
    return ["lse-bench", *map(without_secrets, sys.argv[1:])]


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch weights from the network.")]
Trust = Annotated[bool, typer.Option("--trust", help="Accept a download for which no digest is published.")]
Device = Annotated[str, typer.Option(help="Device that networks run on: auto, cpu, cuda or cuda:N.")]


def explain(error: Exception) -> tuple[str, int]:
    """Return the message for the user and the exit status.

    The status is 2 for UsageError and WeightsError, and 1 for other explained errors. An unknown error is raised again.
    """
    if isinstance(error, UsageError | WeightsError):
        return str(error), 2
    if isinstance(error, LseBenchError):
        return str(error), 1
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}. Results recorded so far are kept", 1
    if isinstance(error, ImportError):
        from lse_bench.doctor import explain_import_error

        explained = explain_import_error(error)
        if explained is not None:
            return explained, 1
    raise error


def started() -> datetime:
    """Return the time at which the command was started. It stays the same when the supervisor restarts the command."""
    told = os.environ.get(STARTED)
    return datetime.fromisoformat(told) if told else datetime.now()
