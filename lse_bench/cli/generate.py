"""`generate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lse_bench.choices import FaceChoice, Faceless, NanSound, Paste, Short, Smoothing
from lse_bench.cli.common import (
    MAKE,
    Device,
    Json,
    Offline,
    Trust,
    app,
    command_line,
    find_weights,
    make_console,
    progress_bar,
    working,
)
from lse_bench.cli.face_options import Boxes, Detector, DetectorWeights, find_detector, parse_pads
from lse_bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lse_bench.generators.registry import Plugin
    from lse_bench.manifests.generated import Generation, Row

_SHOWN_FAILURES = 20

_EXAMPLES = """
**Examples**

    lse-bench generate --list

    lse-bench generate wav2lip --manifest lrs2-test.json --root LRS2 --checkpoint wav2lip.pth --out videos/wav2lip

    lse-bench generate command --command "python infer.py {video} {audio} {output}" --manifest pairs.json --out mine

    lse-bench score videos/wav2lip --out runs/wav2lip

A generation that was stopped goes on when the same command names the same --out.
Exit status: 0 done, 1 more jobs failed than --max-failed, 2 wrong usage.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=MAKE)
def generate(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A generator of `generate --list`.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="The pairs: a file of `lse-bench manifest`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the videos and what is known of them.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder with the files; default: the manifest's own.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="The generator's weights: a file, or a name of `lse-bench weights list`.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the generators and where they come from.")] = False,
    legacy: Annotated[
        bool,
        typer.Option(
            "--legacy",
            help="The published evaluation script's choices: detector s3fd, no padding, short sources and sources with "
            "a faceless frame dropped.",
        ),
    ] = False,
    detector: Detector = None,
    boxes: Boxes = None,
    detector_weights: DetectorWeights = "s3fd",
    pads: Annotated[
        str | None, typer.Option(metavar="T,B,L,R", help="Pixels added to a face box; default: the generator's.")
    ] = None,
    smoothing: Annotated[
        Smoothing | None, typer.Option(help="Of boxes: original, exponential or none; default: the generator's.")
    ] = None,
    face: Annotated[
        FaceChoice | None, typer.Option(help="Of several faces the surest or the largest; default: the generator's.")
    ] = None,
    faceless: Annotated[
        Faceless, typer.Option(help="A frame without a face: skip-clip, as published, or keep-frame.")
    ] = "skip-clip",
    short: Annotated[
        Short, typer.Option(help="A source shorter than the sound: skip, as published, loop or ping-pong.")
    ] = "skip",
    nan_sound: Annotated[
        NanSound, typer.Option(help="Digital silence, which some features cannot take: skip, as published, or noise.")
    ] = "skip",
    paste: Annotated[Paste, typer.Option(help="overwrite, as published, or feather: soft edges.")] = "overwrite",
    sound_offset: Annotated[
        int, typer.Option(help="Frames by which the sound is heard later (positive) or earlier.")
    ] = 0,
    command: Annotated[
        str | None, typer.Option(help='For `command`: "program --face {video} --audio {audio} --out {output}".')
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="For `command`: seconds for one job.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the generator, see --list.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For generators that draw at random.")] = 0,
    device: Device = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try jobs again that failed before.")] = False,
    max_failed: Annotated[int, typer.Option(min=0, help="How many jobs may fail before the exit status is 1.")] = 0,
    offline: Offline = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Make videos: each pair of a manifest through a generator, ready for `lse-bench score`."""
    console = make_console()
    if list_:
        _print_list(console, as_json)
        return
    if name is None or manifest is None or out is None:
        raise UsageError("generate needs NAME, --manifest and --out; --list shows the generators")
    settings = _settings(set_ or [], command, timeout)
    with working(console, "Loading the generator"):
        from lse_bench.generation import call_for
        from lse_bench.generators.run import generate_run

    call = call_for(
        name,
        manifest,
        out=out,
        root=root,
        checkpoint=checkpoint,
        settings=settings,
        detector=detector or ("boxes" if boxes is not None else None),
        pads=None if pads is None else parse_pads(pads),
        smoothing=smoothing,
        face=face,
        faceless=faceless,
        short=short,
        nan_sound=nan_sound,
        paste=paste,
        legacy=legacy,
        sound_offset=sound_offset,
        seed=seed,
        device=device,
        offline=offline,
        trust=trust,
        find_weights=lambda wanted: find_weights(console, wanted, offline, trust),
        find_detector=lambda kind: find_detector(console, kind, boxes, detector_weights, device, offline, trust),
        command=command_line(),
    )
    total = len(call.manifest.jobs)
    console.print(f"{total} jobs, {name}, {call.options.device} → {out}", highlight=False, markup=False)
    try:
        with progress_bar(console, "generating", total) as (progress, advance):
            summary = generate_run(
                call,
                _on_row(progress, advance),
                lambda text: progress.update(progress.task_ids[0], description=text[-40:]),
                lambda text: progress.console.print(text, highlight=False, markup=False),
                retry_failed=retry_failed,
            )
    except KeyboardInterrupt:
        console.print(f"stopped; the same command with --out {out} goes on from here", highlight=False, markup=False)
        raise typer.Exit(130) from None
    _finish(console, summary, out, as_json, max_failed)


def _on_row(progress: Any, advance: Callable[[str], None]) -> Callable[[Row], None]:
    from rich.markup import escape

    failed = 0

    def on_row(row: Row) -> None:
        nonlocal failed
        if row.status != "ok":
            failed += 1
            if failed <= _SHOWN_FAILURES:
                text = escape(f"{row.id}: {row.status}: {row.reason}")
                progress.console.print(text, style="red", highlight=False, soft_wrap=True)
        advance("generating" + (f" ({failed} failed)" if failed else ""))

    return on_row


def _settings(pairs: list[str], command: str | None, timeout: float | None) -> dict[str, str]:
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: written NAME=VALUE")
        settings[key] = value
    if command is not None:
        settings["command"] = command
    if timeout is not None:
        settings["timeout"] = str(timeout)
    return settings


def _print_list(console: Console, as_json: bool) -> None:
    from lse_bench.generators.registry import load, names

    with working(console, "Importing the generators"):
        plugins = [load(name) for name in names()]
    if as_json:
        rows = [
            {
                "name": plugin.name,
                "package": plugin.package,
                "what": plugin.what,
                "broken": plugin.broken,
                "weights": _weights_of(plugin),
                "settings": dict(plugin.make.settings) if plugin.make else {},
            }
            for plugin in plugins
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console as Out

    shown = Out()
    for plugin in plugins:
        line = plugin.what if plugin.broken is None else f"broken: {plugin.broken}"
        shown.print(f"{plugin.name} ({plugin.package}): {line}", highlight=False, markup=False)
        if (weights := _weights_of(plugin)) is not None:
            shown.print(f"    weights: {weights}", highlight=False, markup=False)
        for setting, what in (plugin.make.settings if plugin.make else {}).items():
            shown.print(f"    --set {setting}=…: {what}", highlight=False, markup=False)


def _weights_of(plugin: Plugin) -> str | None:
    return None if plugin.make is None else plugin.make.weights


def _finish(console: Console, summary: Generation, out: Path, as_json: bool, max_failed: int) -> None:
    from lse_bench.manifests.generated import FAULTS
    from lse_bench.stored import to_json

    if as_json:
        print(json.dumps(to_json(summary), indent=2, ensure_ascii=False))
    failed = sum(summary.failed.values())
    text = f"{summary.made} of {summary.listed} videos made from {summary.videos} sources: {out}"
    console.print(text, highlight=False, markup=False)
    for reason, count in summary.reasons.items():
        console.print(f"without a video: {count}, {reason}", style="yellow", highlight=False, markup=False)
    for fault, count in (summary.looked or {}).items():
        told = FAULTS.get(fault, "not looked at: made by an older version")
        console.print(f"not as asked: {count}, {told}", style="yellow", highlight=False, markup=False)
    if summary.warnings:
        console.print(f"made with a warning: {summary.warnings} (see generation.jsonl)", style="yellow")
    if failed > max_failed:
        console.print(f"{failed} jobs failed, --max-failed allows {max_failed}", style="red", highlight=False)
        raise typer.Exit(1)
