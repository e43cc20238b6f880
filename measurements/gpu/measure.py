"""Every part by its name, and a part in a process of its own."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from drawing import KINDS, generator
from parts import Row, Setting
from scoring import inception, s3fd, scorer, shared
from training import TRAINERS, full, resumed, trainer

Rows = list[dict[str, Any]]
# A server that has imported everything and touched no device: a part then begins at once, on a card too.
FORKS = multiprocessing.get_context("forkserver")
# The server of older Pythons looks for what it shall import on this path alone, and says nothing when it finds nothing.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
FORKS.set_forkserver_preload(["measure"])


def parts_of() -> dict[str, Callable[[Setting], list[Row]]]:
    """Every part by its name."""
    found: dict[str, Callable[[Setting], list[Row]]] = {"scorer": scorer, "inception": inception, "s3fd": s3fd}
    found |= {name: functools.partial(generator, name) for name in KINDS}
    found |= {name: functools.partial(trainer, name) for name in TRAINERS}
    found |= {"resume": resumed, "several": shared, "full": full}
    for name in TRAINERS:
        found[f"compile-{name.removeprefix('train-')}"] = functools.partial(trainer, name, compiled=True)
    return found


def run_part(name: str, setting: Setting, limit: float) -> Rows:
    """A part in a process of its own; one row that says why where it has no figures."""
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=answer, args=(name, setting, theirs))
    process.start()
    theirs.close()
    if not ours.poll(limit):
        process.kill()
        return [{"failed": f"not done within {limit:g} s"}]
    try:
        rows: Rows = ours.recv()
    except EOFError:  # the process died
        process.join()
        return [{"failed": f"ended with {process.exitcode}"}]
    process.join()
    return rows


def answer(name: str, setting: Setting, pipe: Connection) -> None:
    """The rows of a part, into the pipe."""
    try:
        rows = [dataclasses.asdict(row) for row in parts_of()[name](setting)]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this part's row
        rows = [{"failed": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}]
    pipe.send(rows)
