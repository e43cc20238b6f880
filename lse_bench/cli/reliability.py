"""The commands `lse-bench reliability` and `lse-bench reliability compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lse_bench.cli.common import COMPARE, Json, app, command_line
from lse_bench.cli.console import ConsoleReport, warn_of_weights
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared_execution import ExecutionOptions
from lse_bench.tasks.declared_reliability import ReliabilityOptions

_CARD = "card"


class _CardFirst(TyperGroup):
    """The group of commands. `card` need not be written: words that begin with no command are its arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [_CARD, *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    cls=_CardFirst,
    no_args_is_help=True,
    help="Make a card of how far measures can be believed: `lse-bench reliability CLIPS`. Set cards side by side. "
    "`lse-bench reliability card --help` lists the options.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="reliability", rich_help_panel=COMPARE)

_EXAMPLES = """
**Examples**

    lse-bench reliability clips/ --weights syncnet_v2.model --out card

    lse-bench reliability clips/ --measures "lse_d,lse_c,lse_d_at_0,abs(offset_ms),lmd,silence,psnr,ssim"
    --weights syncnet-mini --clips 100 --devices cpu:2 --out card

    lse-bench reliability clips/ --method wav2lip=runs/wav2lip --method ours=runs/ours --out card

    lse-bench reliability outputs/seed0 --again seed1=runs/seed1 --again bf16=runs/bf16 --parts oracle --out card

    lse-bench reliability clips/ --study report/report.json --out card

    lse-bench reliability compare card other

`reliability CLIPS` is short for `reliability card CLIPS`. OUT gets card.html, card.md, card.tex, card.json and the run
of the copies. Run the same command with the same --out again to continue a stopped one.
"""


@group.command(_CARD, epilog=_EXAMPLES)
@offers(ReliabilityOptions)
@offers(ExecutionOptions, "execution")
def card(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="CLIPS...", help="Clips of real talking faces: videos, folders or lists, as in score."),
    ],
    options: ReliabilityOptions,
    execution: ExecutionOptions,
    out: Annotated[Path, typer.Option(help="Folder for the card.")],
    root: Annotated[Path | None, typer.Option(help="Folder that file names in a list are relative to.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD=RUN",
            help="Runs of methods, or of checkpoints of one training, on one list: how many clips tell them apart. "
            "Repeatable.",
        ),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RUN",
            help="A run of the same clips with another seed, device, precision or FFmpeg: how far it repeats. "
            "Repeatable.",
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(help="The report.json of `lse-bench study report`: how far measures agree with people."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Damage clips in known steps, measure every copy, and write down what each measure sees, and what moves it."""
    console = ConsoleReport()
    with console.importing():
        from lse_bench.manifests.clips import Source
        from lse_bench.reliability.page import markdown
        from lse_bench.tasks.options import settings_of
        from lse_bench.tasks.reliability import make_card

    runs = [settings_of(tuple(given or ()), option) for given, option in ((method, "--method"), (again, "--again"))]
    try:
        found = make_card(
            out,
            Source(inputs, root),
            options,
            console,
            methods={name: Path(path) for name, path in runs[0].items()},
            again={name: Path(path) for name, path in runs[1].items()},
            study=study,
            execution=execution,
            command=command_line(),
        )
    except KeyboardInterrupt:
        console.say(f"stopped; run the same command with --out {out} again to continue")
        raise typer.Exit(130) from None
    print(found.model_dump_json(indent=2, by_alias=True) if as_json else markdown(found))
    warn_of_weights(console, found.weights)
    console.say(f"card: {out / 'card.html'}")


@group.command(epilog="**Example**\n\n    lse-bench reliability compare card other --out beside.md")
def compare(
    cards: Annotated[list[Path], typer.Argument(metavar="CARD...", help="Folders of cards, or card.json files.")],
    out: Annotated[Path | None, typer.Option(help="Markdown file to write. Default: standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Set cards side by side: what each measure sees, what spreads it and what it resolves, card by card."""
    import json

    with ConsoleReport().importing():
        from lse_bench.reliability.beside import beside, read_card
        from lse_bench.storage import write_atomically

    read = [read_card(path) for path in cards]
    if as_json:
        print(json.dumps([one.model_dump(mode="json", by_alias=True) for one in read], indent=2, ensure_ascii=False))
        return
    text = beside({str(path): one for path, one in zip(cards, read, strict=True)})
    if out is None:
        print(text, end="")
        return
    write_atomically(out, text.encode())
    ConsoleReport().say(f"{len(read)} cards: {out}")
