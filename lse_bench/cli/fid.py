"""`fid`: FID and KID between two sets of frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lse_bench.choices import ReferenceFrames, Region, Resize
from lse_bench.cli.common import (
    SCORE,
    Device,
    Json,
    Offline,
    Trust,
    app,
    find_weights,
    make_console,
    progress_bar,
    tell_passed,
    working,
)
from lse_bench.cli.face_options import SFD_FACE, Boxes, Detector, DetectorWeights, find_detector
from lse_bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lse_bench.fidelity.fid import FidProtocol, FrameSet
    from lse_bench.fidelity.inception import FidInception
    from lse_bench.fidelity.sources import BoxSource, Item

_EXAMPLES = """
**Examples**

    lse-bench fid outputs/ originals/

    lse-bench fid outputs/ originals/ --reference-frames matched --frame-step 5

    lse-bench fid outputs/ originals/ --save-statistics lrs2-test.npz

    lse-bench fid outputs/ lrs2-test.npz --out fid.json
"""


@app.command(epilog=_EXAMPLES, rich_help_panel=SCORE)
def fid(
    generated: Annotated[
        Path, typer.Argument(help="Folder of videos or pictures, run directory, or saved statistics (.npz).")
    ],
    reference: Annotated[Path, typer.Argument(help="The same; pytorch-fid's statistics serve too.")],
    weights: Annotated[
        str, typer.Option(help="Inception: a file, or a name of `lse-bench weights list`.")
    ] = "inception",
    region: Annotated[
        Region, typer.Option(help="frame: all of it; face: cut to the most confident face of each frame.")
    ] = "frame",
    detector: Detector = None,
    boxes: Boxes = None,
    detector_weights: DetectorWeights = SFD_FACE,
    reference_frames: Annotated[
        ReferenceFrames, typer.Option(help="pooled: all frames of both sets; matched: only clips whose id is in both.")
    ] = "pooled",
    resize: Annotated[
        Resize, typer.Option(help="bilinear, as pytorch-fid; antialias for frames above 299 px.")
    ] = "bilinear",
    frame_step: Annotated[int, typer.Option(min=1, help="Take every N-th frame of a video.")] = 1,
    groups: Annotated[
        int, typer.Option(min=0, help="Groups of clips for FID's jackknife (34 MB each); 0 for none.")
    ] = 5,
    seed: Annotated[int, typer.Option(help="Seed of KID's subsets.")] = 2020,
    save_statistics: Annotated[Path | None, typer.Option(help="Save the reference's statistics as .npz.")] = None,
    max_failed: Annotated[int, typer.Option(min=0, help="How many clips may fail before the exit status is 1.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the result to this JSON file too.")] = None,
    device: Device = "auto",
    offline: Offline = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """FID (lower is better) and KID between the frames of two sets, with the id of everything that moves them."""
    from lse_bench.fidelity.sources import files_digest, matched
    from lse_bench.manifests.search import Passed
    from lse_bench.runs.scored_clips import items_to_compare

    if region == "frame" and (detector or boxes):
        raise UsageError("--detector and --boxes are for --region face")
    if boxes is not None and frame_step != 1:
        raise UsageError("--boxes hold one entry per frame; use --frame-step 1 with them")
    saved = [path for path in (generated, reference) if path.suffix == ".npz"]
    if saved and reference_frames == "matched":
        raise UsageError(f"{saved[0]}: saved statistics cannot be matched clip by clip; use --reference-frames pooled")
    for path in (out, save_statistics):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"{path}: its folder does not exist")
    if save_statistics is not None and save_statistics.suffix != ".npz":
        raise UsageError(f"{save_statistics}: saved statistics end in .npz")
    console = make_console()
    passed = Passed()
    ours, theirs = ([] if path in saved else items_to_compare(path, passed) for path in (generated, reference))
    tell_passed(console, passed)
    with working(console, "Digesting the files"):
        digests = [files_digest(items) if items else None for items in (ours, theirs)]
    if reference_frames == "matched":
        ours, theirs = matched(ours, theirs)
    source: BoxSource | None = None
    if region == "face":
        from lse_bench.fidelity.boxes import DetectedBoxes

        source = DetectedBoxes(
            find_detector(console, detector or "centerface", boxes, detector_weights, device, offline, trust)
        )
    checkpoint = find_weights(console, weights, offline, trust)
    with working(console, "Loading torch and the weights"):
        from lse_bench.devices import choose_device
        from lse_bench.fidelity.fid import FidProtocol, compare, save_set
        from lse_bench.fidelity.inception import FidInception
        from lse_bench.weights.readers import file_digest

        network = FidInception.load(checkpoint, choose_device(device))
    protocol = FidProtocol(
        weights_sha256=file_digest(checkpoint),
        region=region,
        boxes=None if source is None else source.name,
        reference_frames=reference_frames,
        resize=resize,
        step=frame_step,
    )
    loaded = {path: _load(path, protocol) for path in saved}  # before hours are spent on the other set
    in_step = groups if reference_frames == "matched" else 0
    made = loaded.get(generated) or _measure(console, "generated", ours, network, protocol, groups, source)
    other = loaded.get(reference) or _measure(console, "reference", theirs, network, protocol, in_step, source)
    if save_statistics is not None:
        save_set(save_statistics, other, protocol)
        console.print(f"reference statistics: {save_statistics}", highlight=False, markup=False)
    with working(console, "Computing FID, its jackknife and KID"):
        result = compare(made, other, protocol, seed)
        for which, digest in zip(("generated", "reference"), digests, strict=True):
            result[which]["files_sha256"] = digest
    text = json.dumps(result, indent=2, ensure_ascii=False)
    if as_json:
        print(text)
    else:
        _print(console, result)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    failed = len(made.failed) + len(other.failed)
    if failed > max_failed:
        console.print(f"{failed} clips failed, --max-failed allows {max_failed}", style="red", highlight=False)
        raise typer.Exit(1)


def _load(path: Path, protocol: FidProtocol) -> FrameSet:
    from lse_bench.fidelity.fid import load_set

    frames, fid_id = load_set(path)
    if fid_id is not None and fid_id != protocol.id:
        raise UsageError(f"{path}: made as {fid_id}, this is {protocol.id}; the two cannot be compared")
    return frames


def _measure(
    console: Console,
    label: str,
    items: list[Item],
    network: FidInception,
    protocol: FidProtocol,
    groups: int,
    boxes: BoxSource | None,
) -> FrameSet:
    from lse_bench.fidelity.compute import measure_set

    with progress_bar(console, label, len(items)) as (_, advance):
        return measure_set(items, network, protocol, groups, boxes, lambda item: advance(label))


def _print(console: Console, result: dict[str, Any]) -> None:
    error = result["fid_standard_error"]
    shown = "" if error is None else f" ± {error:.4f} ({result['fid_error_method']})"
    console.print(f"FID {result['fid']:.4f}{shown}", highlight=False)
    if result["kid"] is not None:
        interval = result["kid_ci95"]
        spread = "" if interval is None else f", 95 % {interval[0]:.6f} … {interval[1]:.6f} ({result['kid_ci_method']})"
        console.print(f"KID {result['kid']:.6f}{spread}", highlight=False)
    for which in ("generated", "reference"):
        console.print(f"{which}: {result[which]['frames']} frames of {result[which]['clips']} clips", highlight=False)
    console.print(f"id: {result['fid_id']}", highlight=False)
    for warning in result["warnings"]:
        console.print(warning, style="yellow", highlight=False)
