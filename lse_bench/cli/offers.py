"""Commands whose options are declared in `tasks`. One parameter of a command becomes all options of its type."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer

from lse_bench.naming import whole
from lse_bench.remote.stores import OFFLINE, OPTIONS
from lse_bench.tasks.options import Declared, TaskOptions, declared_by

Command = Callable[..., None]


def offers(kind: type[TaskOptions], parameter: str = "options") -> Callable[[Command], Command]:
    """Return a decorator that replaces a command's `parameter` by the options of `kind`. It gets them as one object."""
    declared = declared_by(kind)

    def decorate(command: Command) -> Command:
        parameters: list[inspect.Parameter] = []
        for one in inspect.signature(command, eval_str=True).parameters.values():
            if one.name == parameter:
                parameters += map(_parameter, declared)
            else:
                parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

        @functools.wraps(command)
        def offered(**given: Any) -> None:
            options = kind(**{one.field: _value(one, given.pop(one.field)) for one in declared})
            _tell_workers(options)
            command(**given, **{parameter: options})

        offered.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        offered.__annotations__ = {one.name: one.annotation for one in parameters}
        return offered

    return decorate


def _tell_workers(options: TaskOptions) -> None:
    """Set the environment variables of options that hold for every file that this command and its workers open."""
    if getattr(options, "offline", False):
        os.environ[OFFLINE] = "1"
    given: Path | None = getattr(options, "storage_options", None)
    if given is not None:
        os.environ[OPTIONS] = str(whole(given))


def _parameter(one: Declared) -> inspect.Parameter:
    flag, repeated = one.flag, get_origin(one.kind) is tuple
    option = typer.Option(
        one.option,
        help=flag.help,
        min=flag.least,
        max=flag.most,
        metavar=flag.metavar,
    )
    default = None if repeated else inspect.Parameter.empty if one.default is MISSING else one.default
    kind: Any = list[str] | None if repeated else one.type
    annotation: Any = Annotated[kind, option]
    return inspect.Parameter(one.field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _value(one: Declared, value: Any) -> Any:
    return tuple(value or ()) if get_origin(one.kind) is tuple else value
