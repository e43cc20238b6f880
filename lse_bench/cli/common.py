"""What the commands share: the application, console, progress, weights options."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lse_bench.cli.stops import check
from lse_bench.errors import LseBenchError, UsageError, WeightsError
from lse_bench.supervisor import STARTED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from lse_bench.manifests.search import Passed
    from lse_bench.weights.store import Options

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

_LONG, _EVERY = 2, 10  # seconds after which, and between which, lines tell what is going on where there is no terminal

# ClickException: of click, or in newer versions of the copy that typer carries.
_Refusal: Any = typer.BadParameter.__mro__[2]

ARGUMENTS: ContextVar[tuple[str, ...] | None] = ContextVar("arguments", default=None)


def command_line() -> list[str]:
    """The command that is running, for the record: the user's, or the one that a benchmark has called."""
    return ["lse-bench", *(sys.argv[1:] if (called := ARGUMENTS.get()) is None else called)]


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


def call(arguments: Sequence[str]) -> tuple[int, str | None]:
    """One of our commands inside this process: its exit status, and what it would have complained of."""
    mark = ARGUMENTS.set(tuple(arguments))
    try:
        status = app(args=list(arguments), standalone_mode=False)
    except _Refusal as error:
        return error.exit_code, error.format_message()
    except Exception as error:  # noqa: BLE001 - a step's failure is not the benchmark's
        try:
            text, code = explain(error)
        except Exception:  # noqa: BLE001 - raised again by explain
            return 1, f"{type(error).__name__}: {error}"
        return code, text
    finally:
        ARGUMENTS.reset(mark)
    return (status if isinstance(status, int) else 0), None


def refuse_wrong_arguments(arguments: Sequence[str]) -> None:
    """Raise UsageError, naming the option, for arguments that a command would refuse before any work."""
    rest, chosen = list(arguments), typer.main.get_command(app)
    while hasattr(chosen, "commands"):
        chosen = chosen.commands[rest.pop(0)]
    try:
        chosen.make_context(" ".join(arguments[:1]), rest)
    except _Refusal as error:
        raise UsageError(f"{' '.join(arguments[:2])}: {error.format_message()}") from None


def make_console() -> Console:
    """Messages go to standard error; standard output is for results."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress_bar(console: Console, label: str, total: int | None) -> Iterator[tuple[Progress, Callable[[str], None]]]:
    """A bar that counts to `total`; yields it and a function that counts one more under a new label. Where there is no
    terminal a line tells how far it is, now and then.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), Remaining(), console=console) as progress:
        task = progress.add_task(label, total=total)
        told = time.monotonic()

        def advance(text: str) -> None:
            nonlocal told
            check()
            progress.update(task, advance=1, description=text)
            if not console.is_terminal and time.monotonic() - told >= _EVERY:
                told, at = time.monotonic(), progress.tasks[0]
                of = "" if total is None else f" of {total:,}"
                left = "" if at.time_remaining is None else f", {timedelta(seconds=round(at.time_remaining))} left"
                console.print(f"{text}: {at.completed:,.0f}{of}{left}", highlight=False, markup=False, soft_wrap=True)

        yield progress, advance


@contextmanager
def working(console: Console, text: str) -> Iterator[None]:
    """Say what is being done that has no count: a spinner, or a line once it takes long where there is no terminal."""
    if console.is_terminal:
        with console.status(text):
            yield
        return
    timer = threading.Timer(_LONG, console.print, [f"{text} …"], {"highlight": False, "markup": False})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def started() -> datetime:
    """When the command was started; the same in every life that a supervisor gives it."""
    told = os.environ.get(STARTED)
    return datetime.fromisoformat(told) if told else datetime.now()


def tell_passed(console: Console, passed: Passed) -> None:
    """Say what a search for files has passed over."""
    if (told := passed.sentence()) is not None:
        console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)


def find_weights(console: Console, name_or_path: str, offline: bool, trust: bool) -> Path:
    """The file of weights that is meant, fetched with a progress bar if need be."""
    from lse_bench.weights.store import resolve

    with fetching(console, offline, trust) as options:
        return resolve(name_or_path, options)


def warn_of_weights(console: Console, sha256: str) -> None:
    """Say so when scores come from another network than the published one."""
    from lse_bench.weights.table import name_of_digest

    name = name_of_digest(sha256)
    if name == "syncnet-mini":
        text = (
            "syncnet-mini was trained on synthetic faces. On real faces its scores mean nothing; do not compare them "
            "with published ones"
        )
        console.print(text, style="yellow")
    elif name != "syncnet_v2":
        text = f"weights {sha256[:12]}… are not the published syncnet_v2: not comparable with any paper"
        console.print(text, style="yellow", highlight=False)


@contextmanager
def fetching(console: Console, offline: bool, trust: bool) -> Iterator[Options]:
    """Store options that announce a download and show its bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from lse_bench.weights.store import Options

    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console) as progress:
        task = progress.add_task("fetching", visible=False)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        def say(text: str) -> None:
            progress.console.print(text, highlight=False, markup=False)

        yield Options(offline=offline, trust=trust, say=say, progress=show)
