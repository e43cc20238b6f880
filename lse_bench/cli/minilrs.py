"""`minilrs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench.cli.common import MAKE, Json, app, make_console, progress_bar

if TYPE_CHECKING:
    from lse_bench.minilrs.corpus import Made

_EXAMPLES = """
**Examples**

    lse-bench minilrs --speakers 10 --clips 8 --out minilrs

    lse-bench minilrs --flavour lrw --speakers 40 --clips 25 --seed 3 --out minilrw

    lse-bench minilrs --split test --style marked --frames 75 --speakers 25 --clips 8 --out hard

The same command with the same --out goes on where it was stopped. The voices are espeak-ng's:
`pip install 'lse-bench[minilrs]'`.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=MAKE)
def minilrs(
    out: Annotated[Path, typer.Option(help="Folder of the corpus; new, empty, or one to go on with.")],
    flavour: Annotated[str, typer.Option(help="Whose layout and format: lrs2, lrs3 or lrw.")] = "lrs2",
    speakers: Annotated[int, typer.Option(help="How many people.")] = 10,
    clips: Annotated[int, typer.Option(help="Clips of each.")] = 8,
    seed: Annotated[int, typer.Option(help="Other seeds give other people, voices and words.")] = 0,
    split: Annotated[
        str, typer.Option(help="auto parts the speakers into train, val and test; or put all into one of these.")
    ] = "auto",
    style: Annotated[
        str, typer.Option(help="plain faces, marked ones (beard, glasses, dark light), or mixed.")
    ] = "mixed",
    voices: Annotated[str, typer.Option(help="american, or foreign: Scots, Caribbean, London, German, Spanish.")] = (
        "american"
    ),
    frames: Annotated[int | None, typer.Option(help="Length of every clip; default 50 to 125, and 29 for lrw.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; changes nothing but time.")] = None,
    as_json: Json = False,
) -> None:
    """Make a corpus of made-up talking faces in the layout of LRS2, LRS3 or LRW; the same seed makes the same one."""
    from lse_bench.minilrs.corpus import make_corpus
    from lse_bench.minilrs.plan import Spec

    console = make_console()
    spec = Spec(
        flavour=flavour,  # type: ignore[arg-type]
        speakers=speakers,
        clips=clips,
        seed=seed,
        split=split,  # type: ignore[arg-type]
        style=style,  # type: ignore[arg-type]
        voices=voices,  # type: ignore[arg-type]
        frames=frames,
    )
    try:
        with progress_bar(console, "making clips", speakers * clips) as (_, advance):

            def on_clip(made: Made) -> None:
                advance("making clips")

            summary = make_corpus(spec, out, workers, on_clip)
    except KeyboardInterrupt:
        console.print(f"stopped; the same command with --out {out} goes on from here", highlight=False, markup=False)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    splits = ", ".join(f"{count} {name}" for name, count in summary["splits"].items())
    console.print(
        f"{summary['clips']} clips ({splits}), {summary['frames']:,} frames, digest {summary['digest'][:16]}… → {out}",
        highlight=False,
        markup=False,
    )
