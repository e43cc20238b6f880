"""One clip that is in memory already: frames and sound as arrays into SyncNet's windows.

Conventions: frames are RGB, uint8, 0-255, as a NumPy array (T,H,W,3) or a torch tensor (T,3,H,W). Sound is mono, int16
or floating point in -1...1; it is resampled to 16 kHz as the ffmpeg program does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.choices import FpsPolicy
from lse_bench.errors import ClipError, LseBenchError, UsageError
from lse_bench.faces.tracking import Tracking, find_tracks
from lse_bench.media.audio import SAMPLE_RATE, Sound, resample
from lse_bench.media.bounds import MAX_FPS
from lse_bench.media.video import DecodeReport, Frame, TimedFrame, at_constant_rate
from lse_bench.sync.clip_facts import ClipFacts, why_too_short
from lse_bench.sync.protocol import FPS, Protocol, counts_as_25
from lse_bench.sync.remarks import silent_sound, still_picture, unequal_lengths
from lse_bench.sync.tracked import HeldSound, keep_scene, refuse_too_short, windows_of_faces, windows_of_pictures
from lse_bench.sync.windows import Chunk

_FULL_SCALE = 2.0  # decoded music may pass 1 a little; samples of 16 bits are in the thousands
HERE = Path("arrays")  # what messages call the clip


def read_arrays(
    frames: NDArray[np.uint8] | torch.Tensor | Sequence[NDArray[np.uint8]],
    sound: NDArray[Any] | torch.Tensor,
    fps: float | Fraction,
    sample_rate: int,
    *,
    protocol: Protocol,
    fps_policy: FpsPolicy,
    tracking: Tracking | None,
    facts: ClipFacts,
) -> Iterator[Chunk]:
    """The windows of a clip in memory, in chunks; `facts` is complete once the iterator ends.

    Raises UsageError for arrays of another kind, and for protocols that need the file; ClipError as reading a file
    does: `wrong_fps`, `too_short`, `no_face`, `no_track`.
    """
    if protocol.codec != "none":
        raise UsageError(
            f"{protocol.id} compresses the planes that a file stores, and arrays have none of them. Score arrays under "
            "lrs-lossless@1 or tracked@1, or write a file first"
        )
    pictures = list(bgr_frames(frames))
    samples = resample(mono(sound), whole_rate(sample_rate))
    shown = _at_25(pictures, fps, fps_policy, facts)
    facts.fps, facts.samples = round(float(fps), 4), len(samples)
    facts.seconds = round(len(pictures) / float(fps), 4)
    if tracking is None:
        facts.frames = len(shown)
        yield from windows_of_pictures(shown, samples, motion=facts.motion)
    else:
        yield from _tracked(shown, samples, tracking, facts)
    rate = FPS if fps_policy != "as-is" else Fraction(fps)
    facts.warnings += [
        *silent_sound(int(np.abs(samples.astype(np.int32)).max(initial=0))),
        *unequal_lengths(len(samples) / SAMPLE_RATE, facts.frames / float(rate)),
        *still_picture(facts),
    ]
    if tracking is not None:
        refuse_too_short(HERE, facts)
    elif not facts.windows:
        raise ClipError(HERE, "too_short", why_too_short(facts.frames, facts.samples))


def _tracked(pictures: Sequence[Frame], samples: Sound, tracking: Tracking, facts: ClipFacts) -> Iterator[Chunk]:
    try:
        scene = find_tracks(HERE, pictures, tracking, lambda number: None)
    except ClipError:
        raise
    except LseBenchError as error:  # frames that the detector cannot take
        raise ClipError(HERE, "no_face", str(error)) from None
    keep_scene(HERE, facts, scene)
    yield from windows_of_faces(pictures, HeldSound(samples), scene, facts)


def _at_25(pictures: Sequence[Frame], fps: float | Fraction, policy: FpsPolicy, facts: ClipFacts) -> Sequence[Frame]:
    """The frames that are scored, by the frame rate policy."""
    if not 0 < float(fps) <= MAX_FPS:
        raise UsageError(f"fps={fps}: frames per second above 0 and up to {MAX_FPS:,} are needed")
    if counts_as_25(fps):
        return pictures
    if policy == "require-25":
        raise ClipError(
            HERE,
            "wrong_fps",
            f"{float(fps):g} fps, but LSE is defined at 25 fps. fps_policy='resample' converts by presentation time, "
            "'as-is' counts each frame as 40 ms; the signature says so",
        )
    if policy == "as-is":
        facts.warnings.append(f"{float(fps):.2f} fps counted as 25: picture and sound drift apart")
        return pictures
    rate, report = Fraction(fps), DecodeReport()
    timed = (TimedFrame(number / rate, 1 / rate, picture) for number, picture in enumerate(pictures))
    shown = list(at_constant_rate(timed, FPS, report))
    moved = f"{report.repeated} frames repeated, {report.dropped} dropped"
    facts.warnings.append(f"resampled from {float(fps):.2f} to 25 fps: {moved}")
    return shown


def bgr_frames(frames: NDArray[np.uint8] | torch.Tensor | Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Frames (T,H,W,3), BGR, of what a caller has. Raises UsageError with a guess at what went wrong."""
    if isinstance(frames, torch.Tensor):
        if frames.ndim != 4 or frames.shape[1] != 3:
            hint = " Did you pass (T, H, W, 3)?" if frames.ndim == 4 and frames.shape[-1] == 3 else ""
            raise UsageError(f"frames of shape {tuple(frames.shape)}: a torch tensor is (T, 3, H, W).{hint}")
        pixels = frames.detach().cpu().permute(0, 2, 3, 1).numpy()
    else:
        try:
            pixels = np.asarray(frames)
        except ValueError:
            raise UsageError("frames of several sizes: all frames of a clip have one size; resize them first") from None
        if pixels.ndim != 4 or pixels.shape[-1] != 3:
            hint = " Did you pass (T, 3, H, W)?" if pixels.ndim == 4 and pixels.shape[1] == 3 else ""
            raise UsageError(f"frames of shape {pixels.shape}: a NumPy array is (T, H, W, 3).{hint}")
    if pixels.dtype != np.uint8:
        hint = " Were they normalised? Multiply by 255 and round" if pixels.dtype.kind == "f" else ""
        raise UsageError(f"frames of {pixels.dtype}: uint8 from 0 to 255 is needed.{hint}")
    if not pixels.size:
        raise ClipError(HERE, "too_short", f"frames of shape {pixels.shape}: there is no picture")
    return np.ascontiguousarray(pixels[..., ::-1])


def whole_rate(sample_rate: float) -> int:
    """Samples per second as a whole number. Raises UsageError for anything else."""
    if sample_rate != sample_rate // 1:
        raise UsageError(f"sample_rate={sample_rate}: a whole number of samples per second is needed")
    return int(sample_rate)


def mono(sound: NDArray[Any] | torch.Tensor) -> NDArray[Any]:
    """Samples (N,), int16 or float32, of what a caller has. Raises UsageError with a guess at what went wrong."""
    if isinstance(sound, torch.Tensor):
        samples = (sound.float() if sound.is_floating_point() else sound).detach().cpu().numpy()
    else:
        samples = np.asarray(sound)
    if samples.ndim == 2 and 1 in samples.shape:
        samples = samples.reshape(-1)
    if samples.ndim != 1:
        raise UsageError(f"sound of shape {samples.shape}: one channel (N,) is needed; average the channels first")
    if samples.dtype == np.int16:
        return samples
    if samples.dtype.kind != "f":
        raise UsageError(f"sound of {samples.dtype}: int16, or floating point from -1 to 1, is needed")
    samples = samples.astype(np.float32)
    if not np.isfinite(samples).all():
        raise UsageError("sound with values that are not finite")
    if (peak := float(np.abs(samples).max(initial=0))) > _FULL_SCALE:
        raise UsageError(f"sound up to {peak:g}: floating point is from -1 to 1. Were these int16 samples?")
    return samples
