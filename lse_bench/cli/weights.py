"""The commands `lse-bench weights list`, `fetch`, `verify` and `path`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lse_bench.cli.common import SET_UP, Json, Offline, Trust, app
from lse_bench.cli.console import ConsoleReport

group = typer.Typer(
    no_args_is_help=True,
    help="List, fetch and verify files of weights, with their licences and digests.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="weights", rich_help_panel=SET_UP)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `lse-bench weights list`.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names from `lse-bench weights list`.")]


@group.command("list")
def list_weights(as_json: Json = False) -> None:
    """List every file of the table, with its size, digest and licence, and whether it is in the weights folder."""
    from rich.table import Table

    from lse_bench.weights.store import folder, path_of
    from lse_bench.weights.table import table

    if as_json:
        rows = [
            item.model_dump() | {"path": str(path_of(item)), "here": path_of(item).exists()}
            for item in table().values()
        ]
        print(json.dumps(rows, indent=2))
        return
    shown = Table(title=f"weights in {folder()}")
    shown.add_column("name", no_wrap=True, min_width=max(map(len, table())))
    for heading in ("here", "MB", "sha256"):
        shown.add_column(heading, min_width=len(heading))
    shown.add_column("licence", overflow="fold")
    for item in table().values():
        digest = (
            "none published" if item.sha256 is None else item.sha256[:8] + ("" if item.confirmed else " (unconfirmed)")
        )
        size = "" if item.bytes is None else f"{item.bytes / 1e6:.1f}"
        here = "yes" if path_of(item).exists() else "manual" if item.by_hand else "no"
        shown.add_row(item.name, here, size, digest, item.licence)
    from rich.console import Console

    Console().print(shown)


@group.command(epilog="**Example**\n\n    lse-bench weights fetch syncnet_v2 inception")
def fetch(names: Names, offline: Offline = False, trust: Trust = False) -> None:
    """Download files and verify their digests. A broken download is resumed."""
    from lse_bench.weights import store
    from lse_bench.weights.table import entry

    report = ConsoleReport()
    for item in [entry(name) for name in names]:
        with report.fetching(offline, trust) as options:
            print(store.fetch(item, options))


@group.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Names of weights. Default: all files in the weights folder."),
    ] = None,
) -> None:
    """Compare the digests of files with the table. The exit status is 1 if a file is wrong or absent."""
    from lse_bench.weights.store import path_of, state_of
    from lse_bench.weights.table import entry, table

    chosen = [entry(name) for name in names] if names else [item for item in table().values() if path_of(item).exists()]
    states = {item.name: state_of(item) for item in chosen}
    for name, state in states.items():
        print(f"{state:8} {name}  {path_of(entry(name))}")
    if any(state in ("wrong", "absent") for state in states.values()):
        raise typer.Exit(1)


@group.command()
def path(name: Name) -> None:
    """Print the path of a file, or where to put it. The exit status is 1 if the file is absent."""
    from lse_bench.weights.store import path_of
    from lse_bench.weights.table import entry

    target = path_of(entry(name))
    print(target)
    if not target.exists():
        raise typer.Exit(1)
