"""Write the shots and face tracks of a clip as JSON and as a picture, to check them before scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lse_bench.faces.crops import crop_face, crop_path
from lse_bench.faces.tracking import Scene, Tracking
from lse_bench.media.video import Frame, read_frames
from lse_bench.runs.outcomes import track_facts
from lse_bench.storage import write_atomically
from lse_bench.sync.open_clip import OpenClip

_WIDTH, _ROW, _FACE, _LEFT = 1200, 74, 64, 90  # sizes in the picture, in pixels
_SHOWN_DROPPED = 40  # at most this many dropped tracks are drawn
_SHOT_COLOURS = ((225, 225, 225), (245, 245, 245))
_KEPT, _DROPPED, _INK = (90, 160, 60), (170, 170, 170), (40, 40, 40)


def scene_as_json(clip: str, scene: Scene, tracking: Tracking) -> dict[str, Any]:
    """Return the shots and face tracks of a clip as JSON content.

    `clip`: the clip's name. Frames are numbered at the scored frame rate, and `last` is inclusive. Dropped tracks have
    the reason.
    """
    tracks: list[dict[str, Any]] = [
        {"track": number, **track_facts(track), "kept": True} for number, track in enumerate(scene.tracks.kept)
    ]
    tracks += [
        {"track": None, **track_facts(track), "kept": False, "reason": reason} for track, reason in scene.tracks.dropped
    ]
    shots = [{"first": first, "last": stop - 1, "frames": stop - first} for first, stop in scene.shots]
    return {
        "schema": 1,
        "clip": clip,
        "tracking": tracking.key,
        "frames": scene.frames,
        "detections": scene.faces,
        "shots": shots,
        "tracks": tracks,
    }


def draw_scene(clip: OpenClip, scene: Scene, title: str) -> Frame:
    """Draw the clip's time line and return it as a BGR picture, uint8, 1200 pixels wide.

    Shots are bands and tracks are bars. A kept track shows the face of its middle frame. Of the dropped tracks, the 40
    with the most detections are drawn. `title`: the text at the top.
    """
    dropped = sorted(scene.tracks.dropped, key=lambda pair: -pair[0].detections)
    tracks = [(track, "") for track in scene.tracks.kept] + dropped[:_SHOWN_DROPPED]
    height = 60 + _ROW * max(1, len(tracks)) + 30
    sheet = np.full((height, _WIDTH, 3), 255, np.uint8)
    per_frame = (_WIDTH - _LEFT - 20) / max(1, scene.frames)

    def x(frame: int) -> int:
        return _LEFT + round(frame * per_frame)

    for number, (first, stop) in enumerate(scene.shots):
        cv2.rectangle(sheet, (x(first), 40), (x(stop), height - 30), _SHOT_COLOURS[number % 2], -1)
        _text(sheet, f"shot {number}: {first}-{stop - 1}", (x(first) + 2, 54), 0.36)
    faces = _middle_faces(clip, scene)
    for row, (track, reason) in enumerate(tracks):
        y = 62 + row * _ROW
        if row < len(faces):
            sheet[y : y + _FACE, 10 : 10 + _FACE] = faces[row]
        colour = _DROPPED if reason else _KEPT
        cv2.rectangle(sheet, (x(track.first), y + 14), (x(track.stop), y + 30), colour, -1)
        told = f"dropped: {reason}" if reason else f"track {row}: frames {track.first}-{track.stop - 1}"
        _text(sheet, f"{told}; {track.detections} detections, {track.size:.0f} px", (x(track.first), y + 46), 0.4)
    _text(sheet, title, (10, 24), 0.55)
    more = f", {len(dropped) - _SHOWN_DROPPED} more tracks dropped" if len(dropped) > _SHOWN_DROPPED else ""
    _text(sheet, f"{scene.frames} frames, {scene.faces} detections{more}", (10, height - 10), 0.4)
    return sheet


def write_scene(clip: OpenClip, name: str, scene: Scene, tracking: Tracking, stem: Path) -> None:
    """Write `STEM.json` and `STEM.png`. `name`: the clip's name in both."""
    text = json.dumps(scene_as_json(name, scene, tracking), indent=2) + "\n"
    write_atomically(stem.with_name(f"{stem.name}.json"), text.encode())
    _, data = cv2.imencode(".png", draw_scene(clip, scene, f"{name}  ({':'.join(tracking.marks)})"))
    write_atomically(stem.with_name(f"{stem.name}.png"), data.tobytes())


def _middle_faces(clip: OpenClip, scene: Scene) -> list[Frame]:
    """Return the face in the middle frame of each kept track, 64 x 64 BGR; grey if the frame cannot be read."""
    found: dict[int, Frame] = {}
    wanted = {number: (track.first + track.stop) // 2 for number, track in enumerate(scene.tracks.kept)}
    last = max(wanted.values(), default=-1)
    for number, frame in enumerate(clip.frames(read_frames(clip.picture, clip.rate))):
        if number > last:
            break
        for track in (track for track, middle in wanted.items() if middle == number):
            path = crop_path(scene.tracks.kept[track])
            at = number - path.first
            crop = crop_face(frame, float(path.x[at]), float(path.y[at]), float(path.half[at]))
            found[track] = np.asarray(cv2.resize(crop, (_FACE, _FACE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return [found.get(number, np.full((_FACE, _FACE, 3), 200, np.uint8)) for number in wanted]


def _text(sheet: Frame, text: str, at: tuple[int, int], scale: float) -> None:
    printable = text.encode("ascii", "replace").decode()  # OpenCV can draw ASCII only
    cv2.putText(sheet, printable, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
