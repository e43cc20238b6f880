"""Measures of pictures: PSNR, SSIM and sharpness, of the whole frame, the face or the mouth."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.measures.interface import Measure, MeasuredClip, Meter, Need, NoValueError, needs_original
from lse_bench.media.video import Frame

_LEVELS = 255.0
_ORIGINAL: frozenset[Need] = frozenset({"frames", "original"})
_IN_FACE: frozenset[Need] = frozenset({"frames", "original", "landmarks"})
_MOUTH = slice(48, 68)  # of 68 landmarks
_ROOM = 0.25  # share of its size by which a box of landmarks is enlarged on each side
_LEAST = 11  # pixels of a region's side: SSIM's window
_WINDOW = cv2.getGaussianKernel(_LEAST, 1.5, cv2.CV_64F)
_C1, _C2 = (0.01 * _LEVELS) ** 2, (0.03 * _LEVELS) ** 2
Region = Literal["frame", "face", "mouth"]


class RegionMeasure(Measure):
    """The base of measures that compare a region of the picture with the original's.

    `region`: the whole frame, the face or the mouth. The last two are placed by the original's landmarks.
    """

    region: ClassVar[Region] = "frame"

    @property
    def settings(self) -> dict[str, str]:
        return {"region": self.region}

    def start(self, clip: MeasuredClip) -> Meter:
        needs_original(clip)
        return self._meter()

    @abstractmethod
    def _meter(self) -> Meter:
        """Return the meter of a clip."""


class _RegionMeter(Meter):
    """Gets frames cut to a region. A frame without a face is left out."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._points: NDArray[np.float64] | None = None

    def landmarks(self, points: NDArray[np.float64] | None, original: NDArray[np.float64] | None) -> None:
        self._points = original

    def frame(self, frame: Frame, original: Frame | None) -> None:
        other = _alike(frame, original)
        if self._region == "frame":
            self._compare(frame, other)
        elif self._points is not None:
            part = _box(self._points if self._region == "face" else self._points[_MOUTH], frame.shape)
            if part is not None:
                self._compare(frame[part], other[part])

    @abstractmethod
    def _compare(self, frame: Frame, other: Frame) -> None:
        """Take a region and the original's."""


class Psnr(RegionMeasure):
    """Peak signal-to-noise ratio of the whole frame against the original, from the clip's mean squared error."""

    name = "psnr"
    needs = _ORIGINAL
    unit = "dB"
    higher_is_better = True
    range = (0.0, None)
    sources = ("torchmetrics peak_signal_noise_ratio, data_range=255",)
    deviations = (
        "One value of a clip comes from the mean squared error of all its frames, not from the mean over frames."
    )

    def _meter(self) -> Meter:
        return _PsnrMeter(self.region)


class PsnrFace(Psnr):
    """Peak signal-to-noise ratio of the face, as the original's landmarks place it."""

    name = "psnr_face"
    needs = _IN_FACE
    region = "face"


class PsnrMouth(Psnr):
    """Peak signal-to-noise ratio of the mouth, as the original's landmarks place it."""

    name = "psnr_mouth"
    needs = _IN_FACE
    region = "mouth"


class _PsnrMeter(_RegionMeter):
    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self._sum = self._count = 0

    def _compare(self, frame: Frame, other: Frame) -> None:
        # Whole numbers: a frame of 67 million pixels stays far below 2^63, so no order of frames moves the sum.
        difference = frame.astype(np.int32) - other
        self._sum += int(np.sum(difference * difference, dtype=np.int64))
        self._count += difference.size

    def finish(self) -> float:
        if not self._count:
            raise NoValueError(_nothing(self._region))
        if not self._sum:
            raise NoValueError("all frames equal those of the original, so the ratio is infinite")
        return 10 * math.log10(_LEVELS**2 * self._count / self._sum)


class Ssim(RegionMeasure):
    """Structural similarity of the whole frame to the original: the mean over frames."""

    name = "ssim"
    version = 2  # version 1 was torchmetrics' own: its version moved the fifth digit, the number of threads the eighth
    needs = _ORIGINAL
    higher_is_better = True
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    sources = (
        "Wang and others, 2004",
        "torchmetrics 1.9 structural_similarity_index_measure, data_range=255, Gaussian window of 11, sigma 1.5",
    )
    deviations = "All pixels count, as in torchmetrics 1.9; version 1.4 and scikit-image leave out the edges."

    @property
    def settings(self) -> dict[str, str]:
        return super().settings | {"window": "gauss11-1.5"}

    def _meter(self) -> Meter:
        return _SsimMeter(self.region)


class SsimFace(Ssim):
    """Structural similarity of the face, as the original's landmarks place it: the mean over frames."""

    name = "ssim_face"
    needs = _IN_FACE
    region = "face"


class SsimMouth(Ssim):
    """Structural similarity of the mouth, as the original's landmarks place it: the mean over frames."""

    name = "ssim_mouth"
    needs = _IN_FACE
    region = "mouth"


class _SsimMeter(_RegionMeter):
    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self._values: list[float] = []

    def _compare(self, frame: Frame, other: Frame) -> None:
        if min(frame.shape[:2]) < _LEAST:
            raise NoValueError(f"the picture is smaller than SSIM's window of {_LEAST} pixels")
        self._values.append(structural_similarity(frame, other))

    def finish(self) -> float:
        if not self._values:
            raise NoValueError(_nothing(self._region))
        return math.fsum(self._values) / len(self._values)


def structural_similarity(frame: Frame, other: Frame) -> float:
    """Return the SSIM of two pictures (H,W,3), uint8, as torchmetrics defines it.

    Edges are mirrored without repeating the last pixel, and all pixels count. The filter is OpenCV's in float64, which
    takes a tenth of torch's time and gives the same digits with any number of threads.
    """
    x, y = frame.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    means = mean_x * mean_y
    # In place from here on: new arrays of this size take as long as the sums.
    np.square(mean_x, out=mean_x)
    np.square(mean_y, out=mean_y)
    spread_x, spread_y = _blurred(x * x), _blurred(y * y)
    for spread, square in ((spread_x, mean_x), (spread_y, mean_y)):
        spread -= square
        np.maximum(spread, 0, out=spread)
    x *= y
    together = _blurred(x)
    together -= means
    above = _raised(means, 2, _C1)
    above *= _raised(together, 2, _C2)
    mean_x += mean_y
    spread_x += spread_y
    below = _raised(mean_x, 1, _C1)
    below *= _raised(spread_x, 1, _C2)
    above /= below
    return float(np.mean(above))


def _raised(values: NDArray[np.float64], factor: float, constant: float) -> NDArray[np.float64]:
    """Return `factor` times the values plus a constant, in their place."""
    values *= factor
    values += constant
    return values


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(
        cv2.sepFilter2D(values, cv2.CV_64F, _WINDOW, _WINDOW, borderType=cv2.BORDER_REFLECT_101), np.float64
    )


class Sharpness(RegionMeasure):
    """Variance of the Laplacian of the lower half of the picture, relative to the original's: 1 is equally sharp."""

    name = "sharpness"
    needs = _ORIGINAL
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    sources = ("variance of the Laplacian: Pech-Pacheco and others, 2000",)
    deviations = "It is taken of the lower half of a face crop, where the mouth is, and as a ratio to the original."

    @property
    def settings(self) -> dict[str, str]:
        return {"region": "lower-half"} if self.region == "frame" else super().settings

    def _meter(self) -> Meter:
        return _SharpnessMeter(self.region)


class SharpnessMouth(Sharpness):
    """Variance of the Laplacian of the mouth, as the original's landmarks place it, relative to the original's."""

    name = "sharpness_mouth"
    needs = _IN_FACE
    deviations = "It is taken of the mouth only, and as a ratio to the original."
    region = "mouth"


class _SharpnessMeter(_RegionMeter):
    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self._ours: list[float] = []
        self._theirs: list[float] = []

    def _compare(self, frame: Frame, other: Frame) -> None:
        top = len(frame) // 2 if self._region == "frame" else 0
        self._ours.append(_laplacian(frame[top:]))
        self._theirs.append(_laplacian(other[top:]))

    def finish(self) -> float:
        if not self._theirs:
            raise NoValueError(_nothing(self._region))
        theirs = math.fsum(self._theirs)
        if not theirs:
            raise NoValueError("an original without any edge")
        return math.fsum(self._ours) / theirs


def _laplacian(frame: Frame) -> float:
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _alike(frame: Frame, original: Frame | None) -> Frame:
    """Return the original frame. Raises NoValueError if it has another size."""
    assert original is not None
    if frame.shape != original.shape:
        ours, theirs = (f"{shape[1]}x{shape[0]}" for shape in (frame.shape, original.shape))
        raise NoValueError(f"the picture is {ours}, that of the original {theirs}")
    return original


def _box(points: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return rows and columns of the box around landmarks with some room, or None if little of it is in the frame."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = _ROOM * (high - low)
    (left, top), (right, bottom) = np.rint(low - room).astype(int), np.rint(high + room).astype(int)
    top, left, bottom, right = max(0, top), max(0, left), min(shape[0], bottom), min(shape[1], right)
    if bottom - top < _LEAST or right - left < _LEAST:
        return None
    return slice(top, bottom), slice(left, right)


def _nothing(region: Region) -> str:
    return "no frames" if region == "frame" else f"no frame with a {region} of {_LEAST} pixels or more in the original"
