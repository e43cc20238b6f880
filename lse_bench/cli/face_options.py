"""What the commands that look for faces share: options, the detector, `score --tracks-only`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lse_bench import choices
from lse_bench.cli.common import find_weights, progress_bar, working
from lse_bench.errors import ClipError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lse_bench.faces.detectors import FaceDetector
    from lse_bench.faces.tracking import Tracking
    from lse_bench.manifests.listed import ListedClip

Detector = Annotated[
    str | None,
    typer.Option(help="Finds faces: centerface (default, offline), s3fd (as published), boxes (files, see --boxes)."),
]
Boxes = Annotated[
    Path | None, typer.Option(help="Folder with CLIP.json or CLIP.npz of face boxes, for --detector boxes.")
]
DetectorWeights = Annotated[str, typer.Option(help="S3FD's checkpoint: a file, or a name of `lse-bench weights list`.")]
TrackRule = Annotated[
    choices.TrackRule,
    typer.Option(
        help="all: each face track counts once, as published; mean: each clip; best: its most confident track."
    ),
]
Tracker = Annotated[
    choices.Tracker, typer.Option(help="original, as published, or matched: corrected for faces near each other.")
]
MinTrack = Annotated[
    int,
    typer.Option(
        min=0,
        help="A track needs more detections than this. Lower it for clips under 4 s; it is part of the protocol id.",
    ),
]
Stride = Annotated[int, typer.Option(min=1, max=25, help="Detect faces in every N-th frame; part of the id.")]
FfmpegProgram = Annotated[Path | None, typer.Option("--ffmpeg", help="The ffmpeg program for tracked-legacy.")]

SFD_FACE = "sfd_face"


def parse_pads(text: str) -> tuple[int, int, int, int]:
    """Top, bottom, left, right out of `T,B,L,R`."""
    try:
        top, bottom, left, right = (int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--pads {text}: four whole numbers, top,bottom,left,right, as in 0,10,0,0") from None
    return top, bottom, left, right


def find_detector(
    console: Console, name: str, boxes: Path | None, weights: str, device: str, offline: bool, trust: bool
) -> FaceDetector:
    """The detector asked for, its weights fetched if need be."""
    from lse_bench.errors import WeightsError

    if boxes is not None and name != "boxes":
        raise UsageError(f"--boxes is for --detector boxes, not {name}")
    path = None
    if name == "s3fd":
        try:
            path = find_weights(console, weights, offline, trust)
        except WeightsError as error:
            raise WeightsError(
                f"{error}. With the network, `lse-bench weights fetch {weights}` gets S3FD's weights; --detector "
                "centerface, of tracked@1 and of generate without --legacy, needs none"
            ) from None
    with working(console, "Loading the face detector"):
        from lse_bench.devices import choose_device
        from lse_bench.faces.detectors import load_detector

        return load_detector(name, weights=path, boxes=boxes, device=choose_device(device))


def find_scenes(
    console: Console, clips: list[ListedClip], tracking: Tracking, fps_policy: str, out: Path
) -> list[tuple[str, str]]:
    """Write shots and tracks of each clip below `out`; returns (clip, why) for those without any."""
    from lse_bench.runs.timeline import write_scene
    from lse_bench.sync.clip_facts import ClipFacts
    from lse_bench.sync.tracked import look_at

    failed: list[tuple[str, str]] = []
    with progress_bar(console, "finding faces", len(clips)) as (progress, advance):
        task = progress.task_ids[0]
        for clip in clips:
            facts = ClipFacts(
                on_step=lambda text, clip=clip: progress.update(  # type: ignore[misc]
                    task, description=f"{clip.path.name}: {text}"
                )
            )
            try:
                look_at(clip.path, fps_policy, tracking, facts)  # type: ignore[arg-type]
            except ClipError as error:
                failed.append((clip.clip, f"{error.status}: {error.reason}"))
            except Exception as error:  # noqa: BLE001 - whatever a file provokes is that file's row
                failed.append((clip.clip, f"error: {type(error).__name__}: {error}"))
            if failed and failed[-1][0] == clip.clip:
                progress.console.print(f"{clip.clip}: {failed[-1][1]}", style="red", highlight=False, markup=False)
            if facts.scene is not None:
                write_scene(clip.path, clip.clip, facts.scene, tracking, out / clip.id, fps_policy)  # type: ignore[arg-type]
            advance("finding faces")
    return failed
