"""`prepare`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import MAKE, Json, Offline, Trust, app, find_weights, make_console, progress_bar
from lse_bench.cli.face_options import SFD_FACE, Boxes, Detector, DetectorWeights, parse_pads
from lse_bench.errors import UsageError

_SHOWN = 5

_EXAMPLES = """
**Examples**

    lse-bench prepare lrs2 --root /data/lrs2 --out prepared/lrs2

    lse-bench prepare minilrs --root minilrs --pads 0,10,0,0 --out prepared/mini

    lse-bench prepare lrs3 --root /data/lrs3 --crop aligned --sync-weights syncnet_v2 --out prepared/lrs3-aligned

Speech2Vid trains on aligned faces, all others on boxes. The same command with the same --out goes on where it was
stopped.
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=MAKE)
def prepare(
    corpus: Annotated[str, typer.Argument(help="lrs2, lrs3, lrw or minilrs.")],
    root: Annotated[Path, typer.Option(help="Folder of the corpus.")],
    out: Annotated[Path, typer.Option(help="Folder for the prepared clips.")],
    crop: Annotated[str, typer.Option(help="box, 96x96; or aligned by landmarks, 112x112, for Speech2Vid.")] = "box",
    pads: Annotated[
        str, typer.Option(metavar="T,B,L,R", help="Pixels added to a face box; 0, as the originals train.")
    ] = "0,0,0,0",
    split: Annotated[list[str] | None, typer.Option(help="Only this split; may be repeated. Default: all.")] = None,
    detector: Detector = None,
    boxes: Boxes = None,
    detector_weights: DetectorWeights = SFD_FACE,
    sync_weights: Annotated[
        str | None, typer.Option(help="SyncNet's weights: clips out of sync are corrected or dropped.")
    ] = None,
    min_confidence: Annotated[float, typer.Option(help="With --sync-weights: clips under it are dropped.")] = 3.0,
    max_offset: Annotated[int, typer.Option(min=0, help="With --sync-weights: frames beyond which to drop.")] = 13,
    drop_offsets: Annotated[
        bool, typer.Option("--drop-offsets", help="With --sync-weights: drop clips with any offset, correct none.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; changes nothing but time.")] = None,
    offline: Offline = False,
    trust: Trust = False,
    json_: Json = False,
) -> None:
    """Crop faces and compute sound features of a corpus once, for training."""
    from lse_bench.manifests.layouts import read_corpus
    from lse_bench.minilrs.corpus import read_summary
    from lse_bench.processor import usable_cores
    from lse_bench.training.prepare import BoxCropper, Cropper, Preparation, SyncFilter
    from lse_bench.training.prepare import prepare as prepare_clips

    console = make_console()
    if corpus not in ("lrs2", "lrs3", "lrw", "minilrs"):
        raise UsageError(f"{corpus}: there are lrs2, lrs3, lrw and minilrs")
    flavour, clips = read_corpus(root)
    if corpus == "minilrs" and read_summary(root) is None:
        raise UsageError(f"{root}: a {flavour} corpus, but not MiniLRS")
    if corpus not in ("minilrs", flavour):
        raise UsageError(f"{root}: this is {flavour}, not {corpus}")
    if split:
        there = sorted({clip.split for clip in clips})
        if unknown := set(split) - set(there):
            raise UsageError(f"--split {', '.join(sorted(unknown))}: {root} has {', '.join(there)}")
        clips = [clip for clip in clips if clip.split in split]
    cropper: Cropper
    if crop == "aligned":
        from lse_bench.baselines.speech2vid.alignment import AlignedCropper

        if pads != "0,0,0,0":
            raise UsageError("--pads is for --crop box")
        cropper = AlignedCropper()
    elif crop == "box":
        cropper = BoxCropper(parse_pads(pads))
    else:
        raise UsageError(f"--crop {crop}: box or aligned")
    weights = find_weights(console, detector_weights, offline, trust) if detector == "s3fd" else None
    sync = None
    if sync_weights is not None:
        found = find_weights(console, sync_weights, offline, trust)
        sync = SyncFilter(found, min_confidence, max_offset, not drop_offsets)
    preparation = Preparation(cropper, detector or "centerface", weights, boxes, sync)
    processes = workers or usable_cores()
    with progress_bar(console, "preparing", len(clips)) as (_, advance):
        index = prepare_clips(clips, root, out, preparation, processes, lambda id: advance("preparing"))
    problems: dict[str, str] = index["problems"]
    if json_:
        shown = {name: index[name] for name in ("digest", "problem_counts", "problems")}
        json.dump(shown | {"clips": len(index["clips"])}, sys.stdout, indent=2)
        print()
    for name, problem in list(problems.items())[:_SHOWN]:
        console.print(f"left out {name}: {problem}", highlight=False, markup=False)
    if len(problems) > _SHOWN:
        console.print(f"… and {len(problems) - _SHOWN} more, all in {out / 'prepared.json'}", highlight=False)
    console.print(
        f"{len(index['clips'])} clips prepared, {len(problems)} left out, {len(index['corrected'])} corrected; "
        f"digest {index['digest'][:16]}… → {out}",
        highlight=False,
    )
