"""Make SyncNet's windows from one clip in memory, whose frames and sound are arrays.

Frames are RGB, uint8, 0-255: a NumPy array (T,H,W,3) or a torch tensor (T,3,H,W). Sound is mono, int16 or floating
point in -1...1. It is resampled to 16 kHz with the resampler of the ffmpeg program.
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
from lse_bench.media.audio import Sound, resample
from lse_bench.media.bounds import MAX_FPS
from lse_bench.media.clip_files import ClipFiles, part_of
from lse_bench.media.video import DecodeReport, Frame, TimedFrame, at_constant_rate
from lse_bench.rates import FRAME_RATE, SAMPLE_RATE
from lse_bench.sync.clip_facts import ClipFacts, conversion_of, why_too_short
from lse_bench.sync.protocol import Protocol, counts_as_25
from lse_bench.sync.remarks import silent_sound, still_picture, unequal_lengths
from lse_bench.sync.tracked import HeldSound, keep_scene, refuse_too_short, windows_of_faces, windows_of_pictures
from lse_bench.sync.windows import Chunk

_FULL_SCALE = 2.0  # decoded music can slightly exceed 1, but int16 samples cast to float are in the thousands
HERE = Path("arrays")  # the name of the clip in messages


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
    start: float | None = None,
    end: float | None = None,
) -> Iterator[Chunk]:
    """Yield the windows of a clip in memory, in chunks. `facts` is complete when the iterator ends.

    `frames`: RGB, uint8, (T,H,W,3), or a torch tensor (T,3,H,W). `sound`: mono, (N,), int16 or floating point in
    -1...1. `fps`: frames per second. `sample_rate`: Hz, a whole number. `tracking`: None if faces are not tracked.
    `start`, `end`: the part that counts, in seconds, None for the beginning and the end.

    Raises UsageError if the arrays have another shape, dtype, range or rate, if the part is no part, or if the protocol
    needs a file. Raises ClipError `wrong_fps`, `too_short`, `no_face` or `no_track` if the clip cannot be scored.
    """
    if protocol.codec != "none":
        raise UsageError(
            f"{protocol.id} re-encodes the picture that a file stores, so it cannot score arrays. Score them under "
            "lrs-lossless@1 or tracked@1, or write the clip to a file first"
        )
    pictures = list(bgr_frames(frames))
    samples = resample(mono(sound), whole_rate(sample_rate))
    shown = _at_25(pictures, fps, fps_policy, facts)
    rate = FRAME_RATE if fps_policy != "as-is" else Fraction(fps)
    part = part_of(ClipFiles(HERE, None, start, end), len(pictures) / float(fps), rate)
    shown, samples = shown[part.first : part.stop], samples[part.first_sample : part.stop_sample]
    facts.fps, facts.samples = round(float(fps), 4), len(samples)
    facts.seconds = round(part.seconds(len(pictures) / float(fps), rate), 4)
    if tracking is None:
        facts.frames = len(shown)
        yield from windows_of_pictures(shown, samples, motion=facts.motion)
    else:
        yield from _tracked(shown, samples, tracking, facts)
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
    except LseBenchError as error:  # the detector cannot process these frames
        raise ClipError(HERE, "no_face", str(error)) from None
    keep_scene(HERE, facts, scene)
    yield from windows_of_faces(pictures, HeldSound(samples), scene, facts)


def _at_25(pictures: Sequence[Frame], fps: float | Fraction, policy: FpsPolicy, facts: ClipFacts) -> Sequence[Frame]:
    """Return the frames to score under the frame rate policy.

    Raises UsageError if `fps` is not above 0 and at most 1000, and ClipError `wrong_fps` if the policy refuses it.
    """
    if not 0 < float(fps) <= MAX_FPS:
        raise UsageError(f"fps={fps}: the frame rate must be above 0 and at most {MAX_FPS:,} frames per second")
    if counts_as_25(fps):
        return pictures
    if policy == "require-25":
        raise ClipError(
            HERE,
            "wrong_fps",
            f"{float(fps):g} fps, but LSE is defined at 25 fps. Pass fps_policy='resample' to convert by presentation "
            "time, or 'as-is' to count each frame as 40 ms; the signature records the policy",
        )
    if policy == "as-is":
        facts.warnings.append(f"{float(fps):.2f} fps counted as 25: picture and sound drift apart")
        return pictures
    rate, report = Fraction(fps), DecodeReport()
    step, base = rate.denominator, rate.numerator
    timed = (TimedFrame(number * step, step, base, picture) for number, picture in enumerate(pictures))
    shown = list(at_constant_rate(timed, FRAME_RATE, report))
    facts.conversion_ms = conversion_of(report)
    moved = f"{report.repeated} frames repeated, {report.dropped} dropped"
    facts.warnings.append(f"resampled from {float(fps):.2f} to 25 fps: {moved}")
    return shown


def bgr_frames(frames: NDArray[np.uint8] | torch.Tensor | Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return frames as an array (T,H,W,3), uint8, BGR, contiguous.

    `frames`: RGB, uint8, a NumPy array or a sequence of frames (T,H,W,3), or a torch tensor (T,3,H,W). Raises
    UsageError with a probable cause if the shape or the dtype is another, and ClipError `too_short` if there are no
    pixels.
    """
    if isinstance(frames, torch.Tensor):
        if frames.ndim != 4 or frames.shape[1] != 3:
            hint = " Did you pass (T, H, W, 3)?" if frames.ndim == 4 and frames.shape[-1] == 3 else ""
            raise UsageError(f"frames of shape {tuple(frames.shape)}: a torch tensor must be (T, 3, H, W).{hint}")
        pixels = frames.detach().cpu().permute(0, 2, 3, 1).numpy()
    else:
        try:
            pixels = np.asarray(frames)
        except ValueError:
            raise UsageError(
                "frames of several sizes: all frames of a clip must have one size; resize them first"
            ) from None
        if pixels.ndim != 4 or pixels.shape[-1] != 3:
            hint = " Did you pass (T, 3, H, W)?" if pixels.ndim == 4 and pixels.shape[1] == 3 else ""
            raise UsageError(f"frames of shape {pixels.shape}: a NumPy array must be (T, H, W, 3).{hint}")
    if pixels.dtype != np.uint8:
        hint = " Were they normalised? Then multiply by 255 and round" if pixels.dtype.kind == "f" else ""
        raise UsageError(f"frames of {pixels.dtype}: the dtype must be uint8, with values from 0 to 255.{hint}")
    if not pixels.size:
        raise ClipError(HERE, "too_short", f"frames of shape {pixels.shape}: there are no pixels")
    return np.ascontiguousarray(pixels[..., ::-1])


def whole_rate(sample_rate: float) -> int:
    """Return the sample rate, Hz, as an int. Raises UsageError if it is not a whole number."""
    if sample_rate != sample_rate // 1:
        raise UsageError(f"sample_rate={sample_rate}: the rate must be a whole number of samples per second")
    return int(sample_rate)


def mono(sound: NDArray[Any] | torch.Tensor) -> NDArray[Any]:
    """Return mono sound as an array (N,), int16 or float32.

    `sound`: int16 or floating point in -1...1, (N,), (N,1) or (1,N). Raises UsageError with a probable cause if there
    are several channels, if the dtype is another, or if values are non-finite or beyond 2.
    """
    if isinstance(sound, torch.Tensor):
        samples = (sound.float() if sound.is_floating_point() else sound).detach().cpu().numpy()
    else:
        samples = np.asarray(sound)
    if samples.ndim == 2 and 1 in samples.shape:
        samples = samples.reshape(-1)
    if samples.ndim != 1:
        raise UsageError(f"sound of shape {samples.shape}: it must be one channel (N,); average the channels first")
    if samples.dtype == np.int16:
        return samples
    if samples.dtype.kind != "f":
        raise UsageError(f"sound of {samples.dtype}: it must be int16, or floating point from -1 to 1")
    samples = samples.astype(np.float32)
    if not np.isfinite(samples).all():
        raise UsageError("sound with non-finite values: all samples must be finite")
    if (peak := float(np.abs(samples).max(initial=0))) > _FULL_SCALE:
        raise UsageError(f"sound up to {peak:g}: floating-point sound must be from -1 to 1. Were these int16 samples?")
    return samples
