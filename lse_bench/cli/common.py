"""What the commands share: the application, options that many have, errors as sentences."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lse_bench.errors import LseBenchError, UsageError, WeightsError
from lse_bench.supervisor import STARTED

# Groups of `lse-bench --help`, in its order.
SCORE, COMPARE, MAKE, SET_UP = "Score", "Compare", "Generate and train", "Set up"

_ORDER = (
    *("demo", "score", "fid", "fd-sync", "merge"),
    *("compare", "benchmark", "leaderboard", "verify", "cite"),
    *("generate", "manifest", "train", "prepare", "minilrs"),
    *("doctor", "weights"),
)
RENAMED = {"run": "benchmark"}  # old names of commands


class _Commands(TyperGroup):
    """Answers an old name with the new one."""

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
    help="Lip-sync scores that anyone can reproduce: LSE-D, LSE-C, AV offset, FID and KID of talking-face videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command_line() -> list[str]:
    """The command that is running, for the record."""
    return ["lse-bench", *sys.argv[1:]]


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch weights from the network.")]
Trust = Annotated[bool, typer.Option("--trust", help="Accept a download whose digest nobody has published.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def explain(error: Exception) -> tuple[str, int]:
    """What an error says to a user, and the exit status. One that cannot be explained is raised again."""
    if isinstance(error, UsageError | WeightsError):
        return str(error), 2
    if isinstance(error, LseBenchError):
        return str(error), 1
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}; what was recorded until now is kept", 1
    if isinstance(error, ImportError):
        from lse_bench.doctor import explain_import_error

        explained = explain_import_error(error)
        if explained is not None:
            return explained, 1
    raise error


def started() -> datetime:
    """When the command was started; the same in every life that a supervisor gives it."""
    told = os.environ.get(STARTED)
    return datetime.fromisoformat(told) if told else datetime.now()
